"""The Caddyfile keeps the cloud's figures from strangers and lets everything of the buyer's through. Read by its lines.

A path matcher of Caddy's takes decoded paths without regard to case, `*` being any ending; its `respond` is tried
before its `reverse_proxy`, in whatever order they are written.
"""

import re
from fnmatch import fnmatchcase

import pytest

from cloud.operators import metrics
from tests.deploy.shipped import DEPLOY

TEXT = (DEPLOY / "caddy" / "Caddyfile").read_text()
LINES = [line.strip() for line in TEXT.splitlines() if line.strip() and not line.strip().startswith("#")]


def refused() -> list[str]:
    """Patterns of paths that never reach the cloud."""
    named = {name: paths.split() for name, paths in re.findall(r"^\s*(@\w+) path (.+)$", TEXT, re.MULTILINE)}
    answered = re.findall(r"^\s*respond (\S+) 404$", TEXT, re.MULTILINE)
    return [pattern for matcher in answered for pattern in named.get(matcher, [matcher])]


def is_refused(path: str) -> bool:
    return any(fnmatchcase(path.lower(), pattern) for pattern in refused())


@pytest.mark.parametrize("path", ["/metrics", "/metrics/", "/METRICS", "/metrics/anything"])
def test_the_figures_are_not_shown_to_strangers(path: str) -> None:
    assert is_refused(path)


@pytest.mark.parametrize(
    "path",
    [
        "/v1/pay", "/v1/order-status-page", "/v1/order-status/metrics", "/v1/orders/1/events", "/v1/initiate-payment",
        "/v1/yook-pay-webhook", "/v1/tbank-webhook", "/v1/custom-callback", "/m/metrics", "/health", "/ready",
    ],
)  # fmt: skip
def test_what_buyers_and_providers_ask_for_goes_through(path: str) -> None:
    assert not is_refused(path)


def test_everything_else_is_the_clouds_and_nothing_routes_around_the_refusal() -> None:
    directives = {line.split()[0] for line in LINES}
    assert not directives & {"handle", "handle_path", "route", "rewrite", "redir", "uri"}
    assert [line for line in LINES if line.startswith("reverse_proxy")] == [
        "reverse_proxy {$UPSTREAM:127.0.0.1:8080} {",
        "reverse_proxy @file {$UPSTREAM:127.0.0.1:8080}",
    ]
    [files] = re.findall(r"^\s*@file path_regexp (\S+)$", TEXT, re.MULTILINE)
    assert not re.search(files, "/metrics/console/settings/north/import")


def test_the_cloud_itself_tells_a_proxied_stranger_nothing() -> None:
    """Should the proxy be another: Caddy adds this header, and it makes a near address a stranger's."""
    assert "X-Forwarded-For" in metrics._FORWARDED
