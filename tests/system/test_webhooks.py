"""Notifications: the true one many times at once, and forged ones. Only the provider's own answer pours."""

from concurrent.futures import ThreadPoolExecutor
from itertools import cycle
from threading import Barrier
from typing import Any

import msgspec
import pytest
import requests

from simulator.shell.webhooks import Mischief
from simulator.yookassa.faults import Endpoint, Fault, FaultKind
from tests.system.fleet import SHOP, SHOP_KEY
from tests.system.promises import look, wait_kept
from tests.system.world import World
from tests.waiting import wait_until

COPIES = 40


def notification(world: World, payment_id: str, event: str = "payment.waiting_for_capture") -> bytes:
    answer = requests.get(f"{world.provider.url}/payments/{payment_id}", auth=(SHOP, SHOP_KEY), timeout=10)
    return msgspec.json.encode({"type": "notification", "event": event, "object": answer.json()})


def test_forty_copies_at_once_on_two_servers_pour_one_cup(world: World) -> None:
    world.provider.webhooks.mischief = Mischief(silent=True)
    bought = world.order()
    payment_id = world.pay(bought)
    body = notification(world, payment_id)
    together = Barrier(COPIES)

    def tell(url: str) -> int:
        together.wait(30)
        headers = {"Content-Type": "application/json"}
        return requests.post(f"{url}/v1/yook-pay-webhook", data=body, headers=headers, timeout=30).status_code

    with ThreadPoolExecutor(COPIES) as provider:
        answers = list(provider.map(tell, [url for url, _ in zip(cycle(world.urls), range(COPIES), strict=False)]))
    assert set(answers) == {200}
    ended = wait_kept(world, bought)
    assert (ended.status, ended.commands) == ("successful", 1)


@pytest.mark.parametrize(
    "event",
    [
        "payment.succeeded",
        *(pytest.param(event, marks=pytest.mark.long) for event in ("payment.waiting_for_capture", "refund.succeeded")),
    ],
)
def test_a_forged_notification_of_an_unpaid_order_pours_nothing(event: str, world: World) -> None:
    bought = world.order()
    payment_id = world.payment_of(bought)
    lie = {"payment_id": payment_id, "event": event, "claims": {"status": event.partition(".")[2], "paid": True}}
    tell_lie(world, lie)
    for _ in range(2):  # the first question may have been under way already
        wait_asked(world)
    assert (look(world, bought).status, look(world, bought).touched) == ("pending", 0)
    world.pay(bought)
    assert wait_kept(world, bought).status == "successful"


@pytest.mark.long
def test_a_forged_cancellation_does_not_spoil_a_paid_order(world: World) -> None:
    bought = world.order()
    payment_id = world.pay(bought)
    lie = {"payment_id": payment_id, "event": "payment.canceled", "claims": {"status": "canceled", "paid": False}}
    tell_lie(world, lie)
    assert wait_kept(world, bought).status == "successful"


@pytest.mark.long
def test_without_any_notification_polling_finds_the_money(world: World) -> None:
    world.provider.webhooks.mischief = Mischief(silent=True)
    assert wait_kept(world, world.buy()).status == "successful"


def tell_lie(world: World, lie: dict[str, Any]) -> None:
    """Have the provider's own address say it; return when we have said that we heard."""
    forged = requests.post(f"{world.provider.address}/sim/webhooks/forge", json=lie, timeout=10)
    assert forged.status_code == 200, forged.text
    wait_until(lambda: was_told(world, lie), what="the lie to be told")


def was_told(world: World, lie: dict[str, Any]) -> bool:
    told = (lie["payment_id"], lie["event"], 200)
    return told in {(line.object_id, line.event, line.answer) for line in world.provider.webhooks.log()}


def wait_asked(world: World) -> None:
    """Return once the provider has been asked about a payment."""
    world.provider.faults.add(Fault(FaultKind.STRANGERS, Endpoint.GET))  # harmless; used up by the first question
    wait_until(lambda: not world.provider.faults.standing(), what="the provider to be asked")
