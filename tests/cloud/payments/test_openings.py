"""Opening a payment while the provider hangs, the process that began it dies, the key is refused, or the order ends."""

from datetime import timedelta

import pytest

from cloud.background.loops import ThreadPool
from cloud.orders import outbox
from cloud.orders.outbox import OutboxRow
from cloud.orders.tasks import Task
from cloud.payments import call_decision, checkout
from cloud.payments.call_worker import CallWorker
from cloud.payments.checkout import Checkout
from cloud.payments.openings import LEASE_S, RENEW_S, Openings
from simulator.yookassa.faults import Endpoint, FaultKind
from tests.cloud.payments.test_call_worker import change_credential
from tests.cloud.payments.test_checkout import code_of
from tests.cloud.tills import Till
from tests.cloud.worlds import SHOP_SECRET
from tests.waiting import wait_until


class Dying(CallWorker):
    """Its process ends when the opening is claimed and nothing is sent."""

    def open(self, row: OutboxRow) -> None:
        raise SystemExit


def begun_by_the_dead(till: Till) -> str:
    """An order whose payment was claimed by a process that died."""
    world = till.world
    order_id = world.scan()
    dying = Dying(
        world.database, till.shops, world.rules, "http://x", "dead", ThreadPool("dead", 0), lambda: 0.0, world.clock
    )
    with pytest.raises(SystemExit):
        Checkout(world.database, till.shops, dying, world.clock, lambda: "p1").pay(order_id)
    return order_id


def opening_of(till: Till, order_id: str) -> OutboxRow:
    [row] = till.world.rows(order_id, Task.CREATE)
    return row


@pytest.mark.any_database
def test_a_provider_that_hangs_does_not_hold_the_buyer_and_the_payment_is_opened_once(
    till: Till, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checkout, "PATIENCE_S", 0.05)
    till.fault(FaultKind.HANG, Endpoint.CREATE, seconds=60.0)
    order_id = till.world.scan()
    assert code_of(till.press(order_id)) == (503, "in_progress")
    assert code_of(till.press(order_id)) == (503, "in_progress"), "and no second call is made meanwhile"
    till.yookassa.faults.clear()
    wait_until(lambda: till.press(order_id).status_code == 200, what="the payment's page")
    assert len(till.payments_there()) == 1
    assert opening_of(till, order_id).attempts == 1


def test_who_presses_takes_over_from_a_dead_process_within_its_short_lease(till: Till) -> None:
    order_id = begun_by_the_dead(till)
    stored = opening_of(till, order_id)
    assert code_of(till.press(order_id)) == (503, "in_progress")
    assert till.payments_there() == []
    till.world.clock.advance(LEASE_S)
    assert till.client().post("/v1/initiate-payment?lang=en", json={"order_id": order_id}).status_code == 200
    row = opening_of(till, order_id)
    assert (row.key, row.call_body) == (stored.key, stored.call_body), "the same bytes under the same key"
    assert len(till.payments_there()) == 1


@pytest.mark.any_database
def test_an_opening_that_takes_long_keeps_its_lease(till: Till) -> None:
    order_id = begun_by_the_dead(till)
    key, clock = opening_of(till, order_id).key, till.world.clock
    alive = Openings(till.world.database, "dead", clock)
    with alive.holding(key):
        for _ in range(5):
            clock.advance(RENEW_S)
            alive.step(clock())
        assert code_of(till.press(order_id)) == (503, "in_progress")
    clock.advance(LEASE_S)
    assert till.press(order_id).status_code == 200


def test_nobody_renews_what_another_has_taken_over(till: Till) -> None:
    order_id = begun_by_the_dead(till)
    clock = till.world.clock
    clock.advance(LEASE_S)
    assert till.press(order_id).status_code == 200
    settled = opening_of(till, order_id)
    till.world.database.transact(outbox.renew, [settled.key], "dead", clock() + timedelta(hours=1))
    assert opening_of(till, order_id).claimed_until == settled.claimed_until


def test_a_key_the_provider_refuses_is_said_at_once_and_a_mended_one_opens_the_payment(
    till: Till, caplog: pytest.LogCaptureFixture
) -> None:
    order_id = till.world.scan()
    change_credential(till, secret=till.world.vault.lock("revoked"))
    assert code_of(till.press(order_id)) == (503, "no_payment")
    assert [record.levelname for record in caplog.records if "refuses our key" in record.getMessage()] == ["ERROR"]
    change_credential(till, secret=till.world.vault.lock(SHOP_SECRET))
    assert till.press(order_id).status_code == 200
    assert len(till.payments_there()) == 1


@pytest.mark.any_database
@pytest.mark.parametrize("is_done", [False, True], ids=["lost before the act", "lost after it"])
def test_nothing_is_opened_once_the_order_is_over(till: Till, is_done: bool) -> None:
    order_id = till.world.scan()
    till.fault(FaultKind.ERROR_500, Endpoint.CREATE, after_commit=is_done)
    assert code_of(till.press(order_id)) == (503, "in_progress")
    till.world.clock.advance(till.world.rules.order_expiration_s)
    assert code_of(till.press(order_id)) == (410, "expired")
    till.work()
    till.work(call_decision.LISTED_AFTER.total_seconds())
    assert len(till.payments_there()) == is_done, "what a lost answer has opened is found, nothing is opened anew"
    assert opening_of(till, order_id).settled_at is not None
    order = till.world.order(order_id)
    assert (order.status, order.reason) == (("pending", "") if is_done else ("failed", "expired"))
