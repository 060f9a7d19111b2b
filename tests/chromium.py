"""A real Chromium driven by Playwright: started once, a fresh context for each page. Downloads nothing."""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from playwright.sync_api import Browser, BrowserContext, Error, Page, expect, sync_playwright

from tests.real_parts import CHROMIUM

_QUIET = [
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
PHONE: dict[str, Any] = {
    "viewport": {"width": 390, "height": 844},
    "device_scale_factor": 2,
    "is_mobile": True,
    "has_touch": True,
    "locale": "ru-RU",
    "timezone_id": "Europe/Moscow",
}
_PATIENCE_MS = 20_000
expect.set_options(timeout=_PATIENCE_MS)  # its own 5 s are soon over on a machine that is busy with other tests


@contextmanager
def a_browser() -> Iterator[Browser]:
    """Chromium for the length of the block. While it runs, this thread counts as inside an event loop."""
    root_only = ["--no-sandbox"] if os.geteuid() == 0 else []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=CHROMIUM.program, headless=True, args=[*_QUIET, *root_only]
        )
        try:
            yield browser
        finally:
            with suppress(Error):  # Ctrl-C reached it first
                browser.close()


class Pages:
    """Opens pages, a phone's by default; remembers errors no script of theirs caught."""

    def __init__(self, browser: Browser) -> None:
        self._browser = browser
        self._contexts: list[BrowserContext] = []
        self._kept: dict[str, Page] = {}
        self.uncaught: list[str] = []

    def open(self, address: str | None = None, **context: Any) -> Page:
        """A page with storage of its own; `context` are Playwright's context options (viewport, locale, ...)."""
        its_context = self._browser.new_context(**{**PHONE, **context})
        self._contexts.append(its_context)
        its_context.set_default_timeout(_PATIENCE_MS)
        page = its_context.new_page()
        page.on("pageerror", lambda error: self.uncaught.append(str(error)))
        if address is not None:
            page.goto(address)
        return page

    def kept(self, **context: Any) -> Page:
        """The page that was opened with these options before: for who brings a site of his own.

        Cookies, routes and a lost line are undone after the test; clocks and the like are not: `open` for these.
        """
        key = repr(sorted(context.items()))
        if key not in self._kept:
            self._kept[key] = self.open(**context)
        return self._kept[key]

    def leave(self) -> None:
        """Let the kept pages show nothing and do nothing."""
        for page in self._kept.values():
            if page.url != "about:blank":
                page.unroute_all(behavior="ignoreErrors")
                page.context.set_offline(False)
                page.goto("about:blank")
                page.context.clear_cookies()

    def close(self) -> None:
        for context in self._contexts:
            with suppress(Error):  # Ctrl-C reached it first
                context.close()
