"""Buys one coffee without a person, then holds the order against the machine's cups and the provider's books."""

import contextlib
import json
import threading
import time
from dataclasses import dataclass, field
from typing import Any

import requests

from protocol.reasons import Size
from simulator.demo.scenarios import Scenario
from simulator.demo.stage import Stage

DRINK = "americano"
SIZE = Size.MEDIUM
END_WITHIN_S = 90.0
POURS_WITHIN_S = 5.0
DECLINED_CARD = "5555555555554600"
"""The published test card of `insufficient_funds`."""
FINAL = frozenset({"successful", "make_failed", "not_paid", "failed"})


@dataclass
class Timeline:
    """What was seen of one order, and when."""

    order_id: str = ""
    started: float = field(default_factory=time.monotonic)
    rows: list[tuple[float, str]] = field(default_factory=list)
    page: str = ""
    """What the buyer's page says now."""

    def note(self, what: str) -> None:
        """Something happened now."""
        self.rows.append((time.monotonic() - self.started, what))

    def note_page(self, shown: str) -> None:
        """The buyer's page says something, perhaps what it said before."""
        if shown != self.page:
            self.page = shown
            self.note(f"page: {shown}")

    def text(self) -> str:
        """One line a fact: seconds since the scan, seconds since the line before."""
        lines, before = ["   at s   +ms  what"], 0.0
        for at, what in self.rows:
            lines.append(f"{at:7.3f} {1000 * (at - before):6.0f}  {what}")
            before = at
        return "\n".join(lines)


class WentWrong(Exception):
    """A step of the purchase could not be taken."""


def buy(stage: Stage, scenario: Scenario) -> tuple[Timeline, list[str]]:
    """One purchase to its end. The timeline, and everything that is not as it should be."""
    timeline = Timeline()
    order_id = _scan(stage, timeline)
    watcher = threading.Thread(target=_look_on, args=(stage, order_id, timeline), daemon=True)
    watcher.start()
    payment_page = _start_payment(stage, order_id)
    timeline.note("the payment page is open")
    _strike(stage, scenario, timeline)
    provider_id = payment_page.rsplit("=", 1)[-1]
    timeline.note("the buyer pays" if not scenario.declined else "the buyer tries a card without money")
    stage.yookassa.pay(provider_id, DECLINED_CARD if scenario.declined else "")
    order = _wait_for_the_end(stage, timeline)
    timeline.note("the order and its money are final")
    if scenario.agent_killed:
        stage.restart_agent()
        timeline.note("the agent is back; the old command must not pour")
        _watch_the_machine(stage, order_id)
        order = _look_up(stage, order_id)
    return timeline, _judge(stage, scenario, order_id, provider_id, order)


def _scan(stage: Stage, timeline: Timeline) -> str:
    offered = requests.post(f"{stage.machine.url}/api/qr", json={"drink_no": DRINK, "size": int(SIZE)}, timeout=10)
    qr: dict[str, str] = _good(offered).json()
    timeline.order_id = qr["order_uuid"]
    timeline.note(f"QR scanned, order {qr['order_uuid']}")
    _good(requests.get(qr["url"], timeout=10))
    return qr["order_uuid"]


def _start_payment(stage: Stage, order_id: str) -> str:
    answer = requests.post(f"{stage.cloud_url}/v1/initiate-payment", json={"order_id": order_id}, timeout=30)
    return str(_good(answer).json()["redirect_url"])


def _strike(stage: Stage, scenario: Scenario, timeline: Timeline) -> None:
    if scenario.machine_switch:
        body = {"name": scenario.machine_switch}
        _good(requests.post(f"{stage.machine.url}/api/faults", json=body, timeout=10))
        timeline.note(f"fault: {scenario.says}")
    if scenario.agent_killed:
        stage.agent.kill()
        timeline.note(f"fault: {scenario.says}")


def _look_on(stage: Stage, order_id: str, timeline: Timeline) -> None:
    """As long as there is a cloud: it may end with the demo in the middle of a word."""
    with contextlib.suppress(requests.ConnectionError, requests.exceptions.ChunkedEncodingError):
        _watch(stage, order_id, timeline)


def _watch(stage: Stage, order_id: str, timeline: Timeline) -> None:
    """Follow the event stream as the buyer's page does."""
    with requests.get(f"{stage.cloud_url}/v1/orders/{order_id}/events", stream=True, timeout=END_WITHIN_S) as stream:
        for line in stream.iter_lines(chunk_size=1, decode_unicode=True):
            if not str(line).startswith("data: {"):
                continue
            order = json.loads(str(line).removeprefix("data: "))
            if "status" in order:
                timeline.note_page(_shown(order))


def _shown(order: dict[str, Any]) -> str:
    parts = [order["status"], order.get("stage") or "", order.get("reason") or ""]
    if order.get("return"):
        parts.append(f"return {order['return']['status']}")
    return " · ".join(filter(None, parts))


def _wait_for_the_end(stage: Stage, timeline: Timeline) -> dict[str, Any]:
    """The order once it is final, the provider's books are too, and the buyer's page says so."""
    deadline = time.monotonic() + END_WITHIN_S
    while True:
        order = _look_up(stage, timeline.order_id)
        ended = order["status"] in FINAL and (order.get("return") or {}).get("status", "done") == "done"
        if ended and timeline.page == _shown(order) and _books_are_quiet(stage):
            return order
        if time.monotonic() > deadline:
            says = f"the order is {_shown(order)} after {END_WITHIN_S:g} s, and its page says {timeline.page}"
            raise WentWrong(says)
        time.sleep(0.05)


def _look_up(stage: Stage, order_id: str) -> dict[str, Any]:
    order: dict[str, Any] = _good(requests.get(f"{stage.cloud_url}/v1/order-status/{order_id}", timeout=10)).json()
    return order


def _watch_the_machine(stage: Stage, order_id: str) -> None:
    """For longer than a command needs from the broker to the cup, or until something flows all the same."""
    deadline = time.monotonic() + POURS_WITHIN_S
    while not stage.machine.poured(order_id) and time.monotonic() < deadline:
        time.sleep(0.05)


def _books_are_quiet(stage: Stage) -> bool:
    """Nothing held, nothing on its way: the provider's own books are final too."""
    books = requests.get(f"{stage.yookassa.address}/sim/books", timeout=10).json()
    return all(
        payment["kopecks"]["held"] == 0 and payment["kopecks"]["refunding"] == 0 for payment in books["payments"]
    )


def _judge(stage: Stage, scenario: Scenario, order_id: str, provider_id: str, order: dict[str, Any]) -> list[str]:
    books = requests.get(f"{stage.yookassa.address}/sim/books", timeout=10).json()
    money = next(payment["kopecks"] for payment in books["payments"] if payment["id"] == provider_id)
    kept, price = money["captured"] - money["refunded"], round(order["price"] * 100)
    cups, touched = stage.machine.cups(order_id), len(stage.machine.poured(order_id))
    wrong = []
    if order["status"] != scenario.status:
        wrong.append(f"status is {order['status']}, should be {scenario.status}")
    if scenario.reasons and order["reason"] not in scenario.reasons:
        wrong.append(f"reason is {order['reason']!r}, should be one of {', '.join(sorted(scenario.reasons))}")
    if cups != scenario.cups:
        wrong.append(f"{cups} cup(s) were filled, should be {scenario.cups}")
    if touched > scenario.touched:
        wrong.append(f"something flowed into {touched} cup(s), should be {scenario.touched} at most")
    if kept != (price if scenario.captured else 0):
        wrong.append(f"the merchant keeps {kept} kopecks of {price}")
    if len(books["payments"]) != 1:
        wrong.append(f"{len(books['payments'])} payments at the provider, should be 1")
    return wrong


def _good(answer: requests.Response) -> requests.Response:
    if answer.status_code >= 400:
        raise WentWrong(f"{answer.request.method} {answer.url} answered {answer.status_code}: {answer.text[:300]}")
    return answer
