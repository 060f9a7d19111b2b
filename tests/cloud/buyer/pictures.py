"""`python -m tests.cloud.buyer.pictures`: draws every state of the page for docs/buyer-page.md.

The states are those of the tests, brought about by the same use cases; the browser is the tests' own.
"""

import re
import shutil
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from flask import Flask
from werkzeug.exceptions import HTTPException
from werkzeug.serving import WSGIRequestHandler, make_server

from cloud.buyer import render_http_error
from cloud.buyer.blueprint import create_blueprint
from cloud.buyer.services import Services
from cloud.database.base import Base
from cloud.database.database import Database
from tests.chromium import Pages, a_browser
from tests.cloud.buyer.orders import DEVICE, RULES, Orders, TestClock
from tests.cloud.buyer.phones import PhonesThatScanned
from tests.cloud.buyer.small_png import shrink
from tests.cloud.buyer.states import STATES
from tests.real_parts import CHROMIUM

ROOT = Path(__file__).parents[3]
FOLDER = ROOT / "docs" / "pictures"
DOCUMENT = ROOT / "docs" / "buyer-page.md"
MARK = re.compile(r"(<!-- pictures -->\n).*(<!-- end of pictures -->)", re.DOTALL)
PHONE, DESKTOP = {"width": 360, "height": 620}, {"width": 1280, "height": 640}
MENU, CLOSED_MENU, ERROR = "menu", "menu, offline", "error"
IN_THE_DARK = ("created", "making, brew", "successful", "make_failed", MENU)
IN_ENGLISH = ("created", "making, milk", "manual_make", "make_failed, hold", "make_failed, unobserved", MENU)
ON_A_DESK = ("making, with time", "make_failed, note", "make_failed, unobserved", MENU)
COLUMNS = 4


@dataclass(frozen=True)
class Picture:
    """One state seen one way."""

    state: str
    language: str = "ru"
    scheme: str = "light"
    is_wide: bool = False

    @property
    def file(self) -> str:
        """A name for each way to see each state."""
        words = [re.sub(r"[^a-z_]+", "-", self.state)]
        words += [self.language] * (self.language != "ru") + [self.scheme] * (self.scheme != "light")
        return ".".join([*words, *["wide"] * self.is_wide]) + ".png"


def pictures() -> dict[str, list[Picture]]:
    """All of them, by the heading they stand under."""
    states = [*STATES, MENU, CLOSED_MENU, ERROR]
    return {
        "Every state": [Picture(state) for state in states],
        "In the dark": [Picture(state, scheme="dark") for state in IN_THE_DARK],
        "In English": [Picture(state, language="en") for state in IN_ENGLISH],
        "On a desk": [Picture(state, is_wide=True) for state in ON_A_DESK],
    }


def main() -> int:
    """0 when all are drawn."""
    if CHROMIUM.where is None:
        print(CHROMIUM, file=sys.stderr)
        return 1
    shutil.rmtree(FOLDER, ignore_errors=True)
    FOLDER.mkdir(parents=True)
    wanted = pictures()
    with a_browser() as browser:
        for picture in (picture for group in wanted.values() for picture in group):
            pages = Pages(browser)
            with _a_site() as (orders, address):
                _take(pages, picture, address + _path(picture.state, orders))
                pages.close()
    text = DOCUMENT.read_text(encoding="utf-8")
    DOCUMENT.write_text(MARK.sub(lambda found: found[1] + _shown(wanted) + found[2], text), encoding="utf-8")
    print(f"{len(list(FOLDER.iterdir()))} pictures, {sum(f.stat().st_size for f in FOLDER.iterdir()) // 1024} KiB")
    return 0


def _take(pages: Pages, picture: Picture, address: str) -> None:
    size = DESKTOP if picture.is_wide else PHONE
    page = pages.open(
        viewport=size, color_scheme=picture.scheme, reduced_motion="reduce", device_scale_factor=1,
        is_mobile=not picture.is_wide,
    )  # fmt: skip
    page.route("**/events*", lambda route: route.abort())  # nothing happens here
    page.goto(f"{address}{'&' if '?' in address else '?'}lang={picture.language}")
    page.evaluate("document.fonts.ready")
    page.screenshot(path=FOLDER / picture.file, full_page=not picture.is_wide)
    shrink(FOLDER / picture.file)


def _path(state: str, orders: Orders) -> str:
    orders.change_merchant(contact_email="help@example.org")
    if state in STATES:
        return f"/v1/order-status-page?order_id={STATES[state](orders)}"
    if state == ERROR:
        return "/v1/order-status-page?order_id=nobody"
    faults = [{"code": "no_milk", "level": "block", "drinks": ["latte"]}]
    orders.machine_says(online=state == MENU, faults=faults)
    return f"/m/{DEVICE}"


@contextmanager
def _a_site() -> Iterator[tuple[Orders, str]]:
    with tempfile.TemporaryDirectory() as folder:
        clock = TestClock()
        database = Database(f"sqlite:///{folder}/coffee.db")
        Base.metadata.create_all(database.engine)
        app = Flask("buyer-alone", static_folder=None)
        services = Services(database, RULES, clock, "http://localhost", lambda: "menu-1")
        app.register_blueprint(create_blueprint(services))
        app.wsgi_app = PhonesThatScanned(app, services, clock)  # type: ignore[method-assign]  # Flask's way to wrap an app
        app.register_error_handler(HTTPException, render_http_error)
        server = make_server("127.0.0.1", 0, app, threaded=True, request_handler=_Quiet)
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield Orders(database, clock), f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()
            server.server_close()
            database.close()


class _Quiet(WSGIRequestHandler):
    def log_request(self, code: int | str = "-", size: int | str = "-") -> None: ...


def _shown(wanted: dict[str, list[Picture]]) -> str:
    parts = []
    for heading, group in wanted.items():
        parts.append(f"\n### {heading}\n\n")
        columns = 1 if group[0].is_wide else COLUMNS
        for start in range(0, len(group), columns):
            row = group[start : start + columns]
            cells = [f"![{p.state}](pictures/{p.file})" for p in row]
            if not start:
                parts.append("|" + " |" * columns + "\n|" + " :-: |" * columns + "\n")
            row_end = [""] * (columns - len(row))
            parts.append("| " + " | ".join([f"**{p.state}**" for p in row] + row_end) + " |\n")
            parts.append("| " + " | ".join(cells + row_end) + " |\n")
    return "".join(parts) + "\n"


if __name__ == "__main__":
    sys.exit(main())
