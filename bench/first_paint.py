"""`python -m bench.first_paint`: how soon a phone on slow 3G sees the order's page, by its address and by a scan.

Slow 3G is 400 kbit/s with a round trip of 400 ms (WebPageTest's profile); a connection costs two more, as with TLS.
A real Chromium with an empty cache; the first picture is the one the browser itself reports (First Contentful Paint).
"""

import argparse
import statistics
import sys
import tempfile
from pathlib import Path

import msgspec
import requests
from playwright.sync_api import Browser

from bench import orders
from bench.orders import Prepared
from bench.programs import ours
from bench.slow_line import SlowLine
from simulator.demo.programs import free_port
from tests.chromium import PHONE, a_browser

RTT_S, BYTES_A_SECOND = 0.4, 400_000 / 8
WITHIN_MS = 2000.0
START_WITHIN_S = 60.0
_PAINT = """async () => {
  for (let i = 0; i < 200; i += 1) {
    const [paint] = performance.getEntriesByName("first-contentful-paint");
    if (paint) return paint.startTime;
    await new Promise((again) => { setTimeout(again, 50); });
  }
  return -1;
}"""


class Result(msgspec.Struct, frozen=True):
    """Milliseconds, median of all tries; bytes as they cross the line."""

    tries: int
    page: float
    from_scan: float
    """By way of the machine's code: one redirect more."""
    bytes_in_all: int


def main(arguments: list[str] | None = None) -> int:
    """0 when both are under two seconds."""
    parser = argparse.ArgumentParser(prog="bench.first_paint", description=__doc__)
    parser.add_argument("--tries", type=int, default=5)
    options = parser.parse_args(arguments)
    result = measure(options.tries)
    print(msgspec.json.format(msgspec.json.encode(result), indent=1).decode())
    return 0 if max(result.page, result.from_scan) < WITHIN_MS else 1


def measure(tries: int) -> Result:
    """With the real program behind the slow line."""
    with tempfile.TemporaryDirectory(prefix="coffee-paint-") as folder:
        port = free_port()
        line = SlowLine(("127.0.0.1", port), RTT_S, BYTES_A_SECOND)
        url, secret_key = f"sqlite:///{folder}/coffee.db", "bench " * 8
        orders.prepare_fleet(url, secret_key, 1, "on_dispense")
        orders.prepare_orders(url, [Prepared(1, orders.device_uuid(0))], "on_dispense")
        settings = {
            "COFFEE_SECRET_KEY": secret_key, "COFFEE_DATABASE_URL": url, "COFFEE_BIND": f"127.0.0.1:{port}",
            "COFFEE_PUBLIC_URL": f"http://127.0.0.1:{line.port}",
        }  # fmt: skip
        web = ours("cloud", ["web"], "cloud web", Path(folder), settings)
        web.start()
        try:
            web.wait_for(lambda: _answers(port), START_WITHIN_S)
            return _measured(f"http://127.0.0.1:{line.port}", tries)
        finally:
            web.stop()
            line.close()


def _measured(address: str, tries: int) -> Result:
    scan = f"/v1/pay?deviceUuid={orders.device_uuid(0)}&drinkNo={orders.DRINK_NO}&size=1&uuid=scan-"
    with a_browser() as browser:
        pages = [_paint(browser, f"{address}/v1/order-status-page?order_id={orders.order_id(1)}") for _ in range(tries)]
        scans = [_paint(browser, f"{address}{scan}{number}") for number in range(tries)]
    return Result(
        tries=tries,
        page=statistics.median(paint for paint, _ in pages),
        from_scan=statistics.median(paint for paint, _ in scans),
        bytes_in_all=pages[0][1],
    )


def _paint(browser: Browser, address: str) -> tuple[float, int]:
    context = browser.new_context(**PHONE)
    try:
        page = context.new_page()
        page.goto(address, wait_until="load", timeout=60_000)
        paint: float = page.evaluate(_PAINT)
        carried: int = page.evaluate(
            "() => performance.getEntries().reduce((sum, e) => sum + (e.transferSize || 0), 0)"
        )
        return round(paint, 1), carried
    finally:
        context.close()


def _answers(port: int) -> bool:
    try:
        return requests.get(f"http://127.0.0.1:{port}/health", timeout=2).ok
    except requests.ConnectionError:
        return False


if __name__ == "__main__":
    sys.exit(main())
