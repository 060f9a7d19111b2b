"""Buyers, one at each machine, all the time: they scan, pay, wait, pay late, twice or never, and lose patience.

Each knows only what a phone shows, and tells when "ready" was shown and no cup stood there.
"""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from random import Random

import requests

from cloud.orders.states import FINAL, Status
from protocol.reasons import Size
from tests.chaos.provider_desk import ProviderDesk
from tests.chaos.timeline import Timeline
from tests.system.world import Bought, World

ANSWER_WITHIN_S = 8.0
PATIENCE_S = 12.0
"""For one step: then the buyer goes away."""
WATCHES_FOR_S = 20.0
LOOKS_EVERY_S = 0.5
NO_PAGE_S = 3.0
"""Whose phone shows nothing tries again after a while."""
CHARACTERS = {"pays": 60, "presses twice": 10, "is declined first": 8, "pays late": 8, "leaves": 7, "never pays": 3}
"""How they behave, of a hundred or so."""


class Buyer:
    """One after another at one machine. What they do is drawn from the seed; when, from the world."""

    def __init__(self, world: World, machine: str, seed: int, late_s: float, timeline: Timeline) -> None:
        self.complaints: dict[str, str] = {}
        """By order: what the buyer was shown and was not so."""
        self._world = world
        self._machine = machine
        self._random = Random(f"{seed}/{machine}")
        self._late_s = late_s
        self._timeline = timeline
        self._desk = ProviderDesk(world.provider.address)
        # Each has an address of their own, as phones have: limits for one address are not what is tried here.
        self._scanned = requests.cookies.RequestsCookieJar()
        self._phone = {"X-Forwarded-For": f"10.1.{world.devices.index(machine)}.1", "Accept": "application/json"}

    def buy_until(self, closing: threading.Event) -> None:
        """One order after another."""
        while not closing.wait(self._random.uniform(0.1, 1.5)):
            self._buy(closing)

    def _buy(self, closing: threading.Event) -> None:
        character = self._random.choices(list(CHARACTERS), list(CHARACTERS.values()))[0]
        is_page = self._random.random() < 0.5
        order_id = self._scan(character)
        if not order_id:
            closing.wait(NO_PAGE_S)
        if not order_id or character == "leaves":
            return
        payments = self._open(order_id, closing, is_page=is_page, twice=character == "presses twice")
        if not payments or character == "never pays":
            return
        if character == "pays late":
            closing.wait(self._late_s)
        if character == "is declined first" and self._desk.decline(payments[0]):
            self._says(order_id, f"the card is declined for {payments[0]}")
            payments = self._open(order_id, closing, is_page=is_page, other_than=payments[0])
        for payment_id in payments:
            paid = self._desk.pay(payment_id)
            self._says(order_id, f"{'pays' if paid else 'cannot pay'} {payment_id}")
        if payments:
            self._watch(order_id, closing)

    def _scan(self, character: str) -> str:
        """Choose a drink; the order's id when a page answered."""
        controls = self._world.machines[self._machine].controls
        button = self._random.choice(controls.menu())
        size = self._random.choice(list(Size))
        link = controls.offer(button["drink_no"], size)
        self._world.bought.append(Bought(link.order_uuid, self._machine, button["prices"][int(size)]))
        self._says(link.order_uuid, f"scans {button['drink_no']} {size.name.lower()}; {character}")
        path = link.url.removeprefix(self._world.url)
        for _ in range(1 + (self._random.random() < 0.1)):  # one in ten scans the same code again
            answer = self._ask("GET", path)
            self._says(link.order_uuid, f"is answered {answer.status_code if answer is not None else 'nothing'}")
        return link.order_uuid if answer is not None and answer.status_code == 302 else ""

    def _open(
        self, order_id: str, closing: threading.Event, *, is_page: bool, twice: bool = False, other_than: str = ""
    ) -> list[str]:
        """Press "pay" until the provider's page opens; the payments seen there, each once."""
        body = {"order_id": order_id} | ({"slot": "1"} if is_page else {})
        opened: set[str] = set()

        def press() -> bool:
            answers = self._ask_everywhere(body) if twice else [self._ask("POST", "/v1/initiate-payment", body)]
            seen = {
                str(answer.json()["redirect_url"]).rpartition("=")[2]
                for answer in answers
                if answer is not None and answer.status_code == 200
            }
            opened.update(seen - {other_than})
            return bool(opened)

        self._patiently(press, PATIENCE_S, closing)
        self._says(order_id, f"is led to {', '.join(sorted(opened)) or 'nothing'}")
        return sorted(opened)

    def _watch(self, order_id: str, closing: threading.Event) -> None:
        wants_it_late = self._random.random() < 0.7

        def look() -> bool:
            answer = self._ask("GET", f"/v1/order-status/{order_id}")
            if answer is None or answer.status_code != 200:
                return False
            status = answer.json()["status"]
            if status == Status.MANUAL_MAKE and wants_it_late:
                pressed = self._ask("POST", f"/v1/orders/{order_id}/make")
                self._says(order_id, f"presses pour: {pressed.status_code if pressed is not None else 'no answer'}")
            if status == Status.SUCCESSFUL and not self._world.machines[self._machine].cups(order_id):
                self.complaints[order_id] = "ready was shown, and there was no cup"
            return status in {final.value for final in FINAL}

        is_over = self._patiently(look, WATCHES_FOR_S, closing)
        self._says(order_id, "has seen the end" if is_over else "goes away")

    def _patiently(self, step: Callable[[], bool], patience_s: float, closing: threading.Event) -> bool:
        for _ in range(int(patience_s / LOOKS_EVERY_S)):
            if step():
                return True
            if closing.wait(LOOKS_EVERY_S):
                break
        return False

    def _ask(
        self, method: str, path: str, body: dict[str, str] | None = None, url: str = ""
    ) -> requests.Response | None:
        """The answer of any web process, as from behind a proxy: the other one where one is gone; None from neither."""
        urls = [url] if url else self._random.sample(self._world.urls, len(self._world.urls))
        for address in urls:
            with suppress(requests.ConnectionError, requests.exceptions.ChunkedEncodingError):  # killed in mid-answer
                return self._ask_one(method, f"{address}{path}", body)
        return None

    def _ask_one(self, method: str, address: str, body: dict[str, str] | None) -> requests.Response | None:
        """None when it takes too long: the buyer presses again. Raises `requests.ConnectionError`."""
        try:
            answer = requests.request(
                method, address, json=body, headers=self._phone, cookies=self._scanned, timeout=ANSWER_WITHIN_S,
                allow_redirects=False,
            )  # fmt: skip
            self._scanned.update(answer.cookies)
            return answer
        except requests.ReadTimeout:
            return None

    def _ask_everywhere(self, body: dict[str, str]) -> list[requests.Response | None]:
        """Two thumbs at once, at each web process."""
        with ThreadPoolExecutor(len(self._world.urls)) as thumbs:
            presses = [thumbs.submit(self._ask, "POST", "/v1/initiate-payment", body, url) for url in self._world.urls]
            return [press.result() for press in presses]

    def _says(self, order_id: str, what: str) -> None:
        self._timeline.note("buyer", what, order_id)
