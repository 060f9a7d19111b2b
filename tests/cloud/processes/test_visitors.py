"""Who asks, by the connection and by what proxies say: remembered, but never with much memory."""

import tracemalloc

from cloud.http.addresses import parse_networks
from cloud.processes.app import VISITORS, _visitors
from cloud.settings import Settings
from tests.cloud.worlds import SECRET_KEY

PROXY = "10.0.0.1"
SETTINGS = Settings(secret_key=SECRET_KEY, trusted_proxies=parse_networks(PROXY))


def test_what_the_proxy_says_counts_however_much_the_sender_wrote_before_it() -> None:
    visitor_of = _visitors(SETTINGS)
    assert visitor_of(PROXY, "198.51.100.1, 203.0.113.9") == "203.0.113.9"
    assert visitor_of(PROXY, "198.51.100.1, " * 500 + "203.0.113.9") == "203.0.113.9"


def test_long_headers_are_not_kept() -> None:
    """Regression: up to 8 MiB of them were."""
    visitor_of = _visitors(SETTINGS)
    tracemalloc.start()
    try:
        for number in range(VISITORS):
            visitor_of(PROXY, f"{number}{'x' * 8000}, 203.0.113.9")
        kept, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert kept < 1024 * 1024
