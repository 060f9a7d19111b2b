"""People at the console, in a process of their own: each opens one page after another and takes a moment to read it."""

import random
import threading
import time
from contextlib import suppress
from dataclasses import dataclass

import requests

from bench.console.pages import Fleet, every_page
from cloud.access.acts import Role

READS_S = (0.5, 1.5)
GIVES_UP_S = 60.0


@dataclass(frozen=True)
class Visitor:
    """Somebody who is logged in; `role` None is the platform's admin."""

    token: str
    shop: int
    role: Role | None


@dataclass(frozen=True)
class Opened:
    """One page, opened once; `status` 0 when no answer came."""

    page: str
    is_admin: bool
    seconds: float
    status: int
    at_s: float
    """So long after people came."""


class People:
    """All of them, until `close`."""

    def __init__(self, cloud_url: str, visitors: list[Visitor], fleet: Fleet) -> None:
        self._url, self._fleet = cloud_url, fleet
        self._opened: list[Opened] = []
        self._came = time.perf_counter()
        self._over = threading.Event()
        self._threads = [
            threading.Thread(target=self._click, args=(visitor, number), daemon=True)
            for number, visitor in enumerate(visitors)
        ]
        for thread in self._threads:
            thread.start()

    def address(self) -> str:
        """They find us."""
        return self._url

    def take(self) -> list[Opened]:
        """What was opened since the last call."""
        taken, self._opened = self._opened, []
        return taken

    def close(self) -> None:
        """They go."""
        self._over.set()
        for thread in self._threads:
            thread.join(GIVES_UP_S)

    def _click(self, visitor: Visitor, number: int) -> None:
        chosen = random.Random(number)
        pages = [page for page in every_page() if page.is_for(visitor.role)]
        with requests.Session() as browser:
            browser.cookies.set("coffee_console", visitor.token, path="/console")
            while True:
                chosen.shuffle(pages)
                for page in pages:
                    if self._over.wait(chosen.uniform(*READS_S)):
                        return
                    where = page.address(self._fleet, visitor.shop, chosen)
                    self._opened.append(self._open(browser, visitor, page.name, where))

    def _open(self, browser: requests.Session, visitor: Visitor, page: str, where: str) -> Opened:
        began, status = time.perf_counter(), 0
        with suppress(requests.RequestException):
            status = browser.get(self._url + where, timeout=GIVES_UP_S, allow_redirects=False).status_code
        return Opened(page, visitor.role is None, time.perf_counter() - began, status, began - self._came)
