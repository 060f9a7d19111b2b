"""A console at `http://localhost`, where browsers make keys without TLS, and a look at a page it shows."""

import threading
from typing import Any

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page
from werkzeug.serving import WSGIRequestHandler, make_server

from tests.cloud.console.building import Console


class _Quiet(WSGIRequestHandler):
    def log_request(self, *_: object) -> None: ...


class Site:
    """Shows the console it was last given."""

    def __init__(self, console: Console | None = None) -> None:
        self.console = console
        self._server = make_server("127.0.0.1", 0, self._answer, threaded=True, request_handler=_Quiet)
        self._thread = threading.Thread(target=self._server.serve_forever, name="console-site")
        self.url = f"http://localhost:{self._server.server_port}"

    def __enter__(self) -> "Site":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def _answer(self, environ: Any, start: Any) -> Any:
        assert self.console is not None
        return self.console.app(environ, start)


_MISSED_BY_THUMBS = """() => innerWidth >= 600 ? [] : [...document.querySelectorAll(
  "a, button, select, textarea, summary, input:not([type=hidden]), label:has(> [type=checkbox])")].filter((e) => {
    const box = e.getBoundingClientRect();
    if (!box.width || !e.checkVisibility() || e.matches(".spoken, .skip, label > [type=checkbox]")) return false;
    return box.height < 44 || (box.width < 44 && !e.matches("p a, dd a, .line a, .small a, main a:not([class])"));
  }).map((e) => `too small: ${e.tagName} ${e.innerText || e.name}`)"""


def missed_by_thumbs(page: Page) -> list[str]:
    """What can be tapped on a phone and is less than 44 px high; or wide, but for words within a text."""
    found: list[str] = page.evaluate(_MISSED_BY_THUMBS)
    return found


def complaints(page: Page) -> list[str]:
    """Which rules of accessibility the page breaks, whether it is wider than its window, and what a thumb misses."""
    wide = page.evaluate("document.documentElement.scrollWidth > document.documentElement.clientWidth")
    rules = [each["id"] for each in Axe().run(page).response["violations"]]
    return [*(["too wide"] if wide else []), *missed_by_thumbs(page), *rules]
