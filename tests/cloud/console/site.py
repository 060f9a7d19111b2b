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


def complaints(page: Page) -> list[str]:
    """Which rules of accessibility the page breaks as it stands, and whether it is wider than its window."""
    wide = page.evaluate("document.documentElement.scrollWidth > document.documentElement.clientWidth")
    return [*(["too wide"] if wide else []), *(each["id"] for each in Axe().run(page).response["violations"])]
