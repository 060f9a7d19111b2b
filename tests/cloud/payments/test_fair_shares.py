"""Who waits goes first, at real simulated providers: idle pages, slow shops, forgeries and illness change nothing."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from cloud.background.loops import ThreadPool
from cloud.database.transaction import Transaction
from cloud.fleet.models import Credential, Device
from cloud.orders.tasks import Task
from cloud.payments.custom.client import CustomClient
from cloud.payments.custom.ledger_view import LedgerView, addresses_of
from cloud.payments.provider import Provider, Shop
from cloud.payments.rate import TokenBucket
from protocol.reasons import Result
from simulator.custom import CustomSimulator
from simulator.custom.faults import Fault as CustomFault
from simulator.custom.faults import Kind
from simulator.yookassa.faults import Endpoint, FaultKind
from tests.cloud.payments.test_call_worker import at_once
from tests.cloud.tills import Till, a_till
from tests.cloud.worlds import ACCOUNT, DEVICE, OTHER_DEVICE, World
from tests.waiting import wait_until

SLOW_ACCOUNT, SLOW_SECRET = "slow-coffee", "an-agreed-secret-of-forty-two-characters!!"
IDLE_PAGES = 20


@pytest.fixture
def till(sqlite_world: World) -> Iterator[Till]:
    """One shop that is called five times a second; no time passes, so what the first has taken is gone."""
    with a_till(sqlite_world) as made:
        yield made


def with_our_limit(till: Till) -> None:
    """From now on; what was opened before cost nothing."""
    till.calls_per_s = 5.0
    till.shops.close()


def asked(till: Till) -> list[str]:
    """The payments the provider was asked about, in order."""
    client = till.shops.of("north", "Yookassa")[1]
    fetch, seen = client.fetch, list[str]()

    def note(provider_payment_id: str) -> Any:
        seen.append(provider_payment_id)
        return fetch(provider_payment_id)

    client.fetch = note  # type: ignore[method-assign]  # what goes out, seen from the inside
    return seen


def test_a_thousand_open_pages_change_nothing_for_who_has_paid(till: Till) -> None:
    """Regression: polls took all the calls; notifications, captures and presses then waited, ever longer."""
    idle = [till.open_payment() for _ in range(IDLE_PAGES)]
    mine = till.open_payment()
    with_our_limit(till)
    seen = asked(till)
    till.work(3)
    polled = len(seen)
    assert 0 < polled < IDLE_PAGES
    waiting = {order_id: till.world.payment(order_id) for order_id in idle}
    assert all(payment.checks == 0 for payment in waiting.values()), "being held back is no failure"
    till.buyer_pays(mine)
    till.notify(mine)
    till.work()
    assert (till.world.status(mine), seen[polled:]) == ("paid", [till.provider_id(mine)])
    till.world.publish(mine)
    till.world.report(mine, Result.DONE)
    till.work()
    assert till.verdicts(mine, Task.CAPTURE) == ["done"]
    assert [row.attempts for row in till.world.rows(mine, Task.CAPTURE)] == [1]
    assert till.press(till.world.scan()).status_code == 200, "and a new buyer gets the payment page"


def test_news_that_could_not_be_asked_about_at_once_still_goes_before_polls(till: Till) -> None:
    """As from a web process, which only leaves a mark for the worker."""
    for _ in range(IDLE_PAGES):
        till.open_payment()
    mine = till.open_payment()
    with_our_limit(till)
    seen = asked(till)
    till.world.clock.advance(300)
    till.buyer_pays(mine)
    till.notify(mine)
    till.poller.step(till.world.now)
    assert seen[0] == till.provider_id(mine), "though others have been due for longer"


def test_a_held_back_call_is_no_attempt_and_its_pause_does_not_grow(till: Till) -> None:
    at_once(till)
    orders = [till.paid() for _ in range(12)]
    with_our_limit(till)
    for order_id in orders:
        till.world.publish(order_id)
        till.world.report(order_id, Result.REJECTED, "no_water")
    for _ in range(10):
        till.work(1)
    rows = [row for order_id in orders for row in till.world.rows(order_id, Task.REFUND)]
    assert [(row.verdict, row.attempts) for row in rows] == [("done", 1)] * 12


def forged(till: Till, number: int) -> None:
    told = {"id": f"31374cc8-000f-5000-8000-{number:012}", "status": "succeeded", "recipient": {"account_id": ACCOUNT}}
    assert till.post(json.dumps({"event": "payment.succeeded", "object": told}).encode()).status_code == 200


def test_forged_news_never_take_an_honest_buyers_budget(till: Till) -> None:
    """Regression: 1 500 of them, and an honest buyer waited 31 s."""
    mine = till.open_payment()
    with_our_limit(till)
    seen = asked(till)
    for number in range(60):
        forged(till, number)
    till.work()
    assert len(seen) <= 2
    till.buyer_pays(mine)
    till.notify(mine)
    till.work()
    assert till.world.status(mine) == "paid"
    for _ in range(10):
        till.work(1)
    assert len(seen) <= 2 + 1 + 10 * 2, "one call in five"


def test_news_of_our_own_payment_are_placed_before_all_forgeries(till: Till) -> None:
    """The answer to our opening was lost, the buyer had paid by another way to the page: only the mark tells."""
    till.be_patient(0.3)
    till.fault(FaultKind.HANG, Endpoint.CREATE, after_commit=True, seconds=2)
    mine = till.world.scan()
    assert till.press(mine).status_code == 503
    till.be_patient()
    with_our_limit(till)
    for number in range(60):
        forged(till, number)
    [there] = till.payments_there()
    till.yookassa.pay(there["id"])
    till.post(till.notification(there["id"]))
    till.poller.step(till.world.now)
    till.work()
    assert till.world.status(mine) == "paid"


def test_who_repeats_the_same_news_for_ever_waits_with_the_polls(till: Till) -> None:
    mine = till.open_payment()
    for _ in range(30):
        till.notify(mine)
        till.work()
    assert till.world.payment(mine).told_at is None
    till.notify(mine)
    assert till.world.payment(mine).told_at is None, "no more before all others"
    till.buyer_pays(mine)
    till.notify(mine)
    till.work()
    assert till.world.status(mine) == "paid", "but asked about"


# A slow shop


def a_slow_merchant(till: Till, merchant: CustomSimulator) -> None:
    """Machine DEVICE sells through the merchant's own page from now on."""

    def account(tx: Transaction) -> None:
        tx.session.add(
            Credential(
                merchant_id="north", scenario="Custom", account_id=SLOW_ACCOUNT,
                secret=till.world.vault.lock(SLOW_SECRET), page_url=f"{merchant.address}/page",
                status_url=f"{merchant.address}/status",
            )
        )  # fmt: skip
        tx.session.get_one(Device, DEVICE).payment_scenario = "Custom"

    till.world.database.transact(account)
    yookassa = till.shops._connect

    def connect(shop: Shop, scenario: str) -> Provider:
        if scenario != "Custom":
            return yookassa(shop, scenario)
        addresses = addresses_of(till.world.database, shop.account_id)
        assert addresses is not None
        books = LedgerView(till.world.database, shop.account_id)
        return CustomClient(shop, addresses, books, user_agent="CoffeeRelay/test", callback_url="http://x/c",
                            now=till.world.clock, ask_timeout_s=60.0, bucket=TokenBucket(5.0, 1e6))  # fmt: skip

    till.shops._connect = connect


def test_a_slow_merchant_leaves_the_others_their_threads(till: Till) -> None:
    """Regression: 40 pages of a merchant who answers after 9 s, and the cups of all others waited for 14 s."""
    world = till.world
    with CustomSimulator(SLOW_ACCOUNT, SLOW_SECRET, sends=False, clock=world.clock) as merchant:
        a_slow_merchant(till, merchant)
        merchant.faults.add(CustomFault(kind=Kind.SLOW, times=None, seconds=100))
        for _ in range(40):
            assert till.press(world.scan()).status_code == 200
        mine = world.scan(device=OTHER_DEVICE)
        assert till.press(mine).status_code == 200
        pool = ThreadPool("provider", 16)
        poller = till.a_poller(pool)
        world.clock.advance(3)
        for _ in range(20):
            poller.step(world.now)
        wait_until(lambda: pool.free >= 13, what="only the slow merchant's share to be under way")
        till.buyer_pays(mine)
        till.notify(mine)
        wait_until(lambda: bool(poller.step(world.now)) and world.status(mine) == "paid", what="the other to be paid")
        # the thread that made the other paid has committed that, and may still be on its way home
        wait_until(lambda: 16 - pool.free <= 2, what="its own slots only, one kept for buyers that have paid there")
        merchant.close()
        pool.close()


# Illness


def test_the_queue_does_not_outlive_the_fault(till: Till) -> None:
    """Regression: after the provider was well again the first buyer was still refused after 90 s."""
    till.failures_allowed = 3
    till.be_patient(0.1)
    till.fault(FaultKind.ERROR_500, Endpoint.ANY, times=None)
    sick = [till.world.scan() for _ in range(12)]
    assert {till.press(order_id).status_code for order_id in sick} == {503}
    for _ in range(6):
        till.work(10)
    assert max(row.attempts for order_id in sick for row in till.world.rows(order_id, Task.CREATE)) <= 4
    till.yookassa.faults.clear()
    till.be_patient()
    till.world.clock.advance(10)
    assert till.press(till.world.scan()).status_code == 200, "a buyer that comes now waits behind none"
    for _ in range(12):
        till.work(1)
    opened = [order_id for order_id in sick if till.world.payment(order_id).confirmation_url]
    assert len(opened) == 12
