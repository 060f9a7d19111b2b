"""Counts HTTP requests by route, method and status; never by address, number or anything else a stranger chooses."""

import re
import time
from collections.abc import Iterable
from functools import lru_cache
from itertools import product
from typing import TYPE_CHECKING, Any

from flask import Request

from cloud.metrics.counts import Counter, Counts, Histogram

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

REQUEST_SECONDS = Histogram(
    "coffee_http_request_seconds",
    "Requests by route, method and status, until the answer begins; /health, /ready and /metrics are left out.",
    ("route", "method", "status"),
    (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30),
)
_ANSWERS = {"200": "stored", "400": "unreadable", "403": "stranger", "409": "key_used", "503": "try_later"}
"""What a provider's endpoint says by its status (docs/http.md)."""
OTHER, FAILED = "other", "failed"
WEBHOOKS_OF = {"/v1/yook-pay-webhook": "yookassa", "/v1/tbank-webhook": "tbank", "/v1/custom-callback": "custom"}
WEBHOOKS = Counter(
    "coffee_webhooks_total",
    "Notifications of providers by what they were answered.",
    ("provider", "answer"),
    known=tuple(product(WEBHOOKS_OF.values(), (*_ANSWERS.values(), FAILED, OTHER))),
)
UNCOUNTED = frozenset({"/health", "/ready", "/metrics"})
"""Asked by machines all day: an idle cloud writes nothing."""
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
NO_ROUTE = "none"


class CountedRequests:
    """Wraps the whole application. `front_route` is the one answered in front of Flask."""

    def __init__(self, app: "WSGIApplication", counts: Counts, front_route: str) -> None:
        self._app = app
        self._counts = counts
        self._front_route = front_route

    def __call__(self, environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        """One request."""
        status, route = "500", NO_ROUTE

        def start(told: str, headers: list[tuple[str, str]], exc_info: Any = None, /) -> Any:
            nonlocal status, route
            status, route = told[:3], self._route(environ.get("werkzeug.request"))
            return start_response(told, headers) if exc_info is None else start_response(told, headers, exc_info)

        began = time.perf_counter()
        try:
            return self._app(environ, start)
        finally:
            if route not in UNCOUNTED:
                self._count(route, environ["REQUEST_METHOD"], status, time.perf_counter() - began)

    def _route(self, request: object) -> str:
        """As the answer begins, Flask's request with its rule is in the environment; the front route has none."""
        if not isinstance(request, Request):
            return self._front_route
        return template_of(request.url_rule.rule) if request.url_rule is not None else NO_ROUTE

    def _count(self, route: str, method: str, status: str, seconds: float) -> None:
        self._counts.observe(REQUEST_SECONDS, seconds, route, method if method in _METHODS else OTHER, status)
        if (provider := WEBHOOKS_OF.get(route)) is not None:
            answer = _ANSWERS.get(status, FAILED if status.startswith("5") else OTHER)
            self._counts.count(WEBHOOKS, provider, answer)


@lru_cache
def template_of(rule: str) -> str:
    """`/v1/order-status/<order_id>` of `/v1/order-status/<order_id:order_id>`."""
    return re.sub(r"<[^:<>]+:", "<", rule)
