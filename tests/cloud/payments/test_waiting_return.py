"""The return of an uncertain order waits: the worker that calls providers looks here before it begins one."""

from collections.abc import Callable
from dataclasses import dataclass

import pytest

from cloud.orders import operator_actions, outbox
from cloud.orders.deadlines import DEVICES_REPEAT_WITHIN, Deadlines
from cloud.orders.money import PaymentState
from cloud.orders.order_limits import OrderLimits
from cloud.orders.order_tasks import LaneWorkers
from cloud.orders.tasks import WITHDRAWN, Lane, Task
from protocol.reasons import Result
from tests.cloud.payments.test_call_worker import at_once, money
from tests.cloud.tills import Till
from tests.cloud.worlds import PRICE

pytestmark = pytest.mark.any_database

CAPTURES = ["on_dispense", "immediate"]
RETURNED = {"on_dispense": (0, 0, 0), "immediate": (0, PRICE, PRICE)}
KEPT = {"on_dispense": (PRICE, 0, 0), "immediate": (0, PRICE, 0)}
RETURNS = {"on_dispense": Task.CANCEL, "immediate": Task.REFUND}


@dataclass
class Loops:
    """The loops that look for what is due, the caller of providers always first."""

    till: Till
    deadlines: Deadlines

    def work(self, seconds: float = 0.0) -> None:
        self.till.work(seconds)
        self.deadlines.step(self.till.world.now)
        self.till.work()


def silent(till: Till, capture: str = "immediate") -> str:
    """An order whose machine says nothing, uncertain from now on."""
    if capture == "immediate":
        at_once(till)
    order_id = till.paid()
    till.world.publish(order_id)
    till.world.wait(till.world.rules.ack_timeout_s)
    assert till.world.open_tasks(order_id, RETURNS[capture]), "written down at once"
    return order_id


def judged_by(till: Till, **how: Callable[[], float] | Callable[[], bool]) -> Loops:
    return Loops(till, Deadlines(till.world.database, till.world.rules, **how))  # type: ignore[arg-type]


@pytest.mark.both_databases
@pytest.mark.parametrize("capture", CAPTURES)
def test_the_deadline_lets_it_go_and_wakes_who_calls(till: Till, capture: str) -> None:
    order_id = silent(till, capture)
    till.work(till.world.rules.uncertain_grace_s)
    assert money(till, order_id) == KEPT[capture]
    with till.world.database.wakeups.waiter(outbox.topic(Lane.PROVIDER)) as ear:
        Deadlines(till.world.database, till.world.rules).step(till.world.now)
        assert ear.wait(0.0)
    till.work()
    assert money(till, order_id) == RETURNED[capture]


@pytest.mark.both_databases
@pytest.mark.parametrize("capture", CAPTURES)
def test_the_returns_of_a_day_are_counted_before_one_goes(till: Till, capture: str) -> None:
    world = till.world
    world.rules = OrderLimits(uncertain_returns_a_day=1)
    first, second = silent(till, capture), silent(till, capture)
    judged_by(till).work(world.rules.uncertain_grace_s)
    assert sorted(money(till, one) for one in (first, second)) == sorted([RETURNED[capture], KEPT[capture]])
    [waiting] = [one for one in (first, second) if world.order(one).waits_for_person]
    assert money(till, waiting) == KEPT[capture]
    world.database.transact(operator_actions.give_back, waiting, None, "boss", "no cup", world.now)
    till.work()
    assert money(till, waiting) == RETURNED[capture]


@pytest.mark.both_databases
@pytest.mark.parametrize("capture", CAPTURES)
def test_after_a_restart_what_the_machines_repeat_is_heard_first(till: Till, capture: str) -> None:
    order_id = silent(till, capture)
    till.world.clock.advance(till.world.rules.uncertain_grace_s + 60)  # all workers were away
    loops = judged_by(till, is_listening=lambda: True)
    loops.work()
    loops.work(DEVICES_REPEAT_WITHIN.total_seconds() - 1)
    till.world.report(order_id, Result.DONE)
    loops.work(60)
    assert money(till, order_id) == (0, PRICE, 0)
    assert not till.world.order(order_id).goodwill
    assert till.verdicts(order_id, RETURNS[capture]) == [WITHDRAWN]


def test_what_lies_unread_is_read_first(till: Till) -> None:
    order_id, lag_s = silent(till), [30.0]
    loops = judged_by(till, lag_s=lambda: lag_s[0])
    loops.work(till.world.rules.uncertain_grace_s)
    assert money(till, order_id) == KEPT["immediate"]
    lag_s[0] = 0.0
    loops.work(1)
    assert money(till, order_id) == RETURNED["immediate"]


def test_an_order_that_cannot_be_judged_keeps_its_money(till: Till, monkeypatch: pytest.MonkeyPatch) -> None:
    order_id = silent(till)
    monkeypatch.setattr(Deadlines, "_judge", lambda *_: False)
    judged_by(till).work(86400)
    assert money(till, order_id) == KEPT["immediate"]


def test_money_beside_the_orders_own_goes_back_at_once(till: Till) -> None:
    at_once(till)
    world, order_id = till.world, till.open_payment()
    earlier, earlier_there = world.payment(order_id), till.provider_id(order_id)
    world.tell(earlier.id, PaymentState.CANCELED, provider_payment_id=earlier_there)
    world.clock.advance(1)
    till.paid(order_id)
    world.publish(order_id)
    world.wait(world.rules.ack_timeout_s)
    till.yookassa.pay(earlier_there, method="bank_card")
    till.post(till.notification(earlier_there))
    till.work()
    assert till.shop.booked(earlier_there)["refunded"] == PRICE
    assert money(till, order_id) == KEPT["immediate"]


def test_who_is_given_tasks_as_they_are_written_leaves_it_too(sqlite_till: Till) -> None:
    till, world = sqlite_till, sqlite_till.world
    world.rules = OrderLimits(uncertain_grace_s=0.0)
    at_once(till)
    order_id = till.paid()
    world.publish(order_id)
    worker = till.a_call_worker("lane", 0)
    world.database.dispatchers.add(LaneWorkers({Lane.PROVIDER: worker.lane_worker()}))
    world.clock.advance(world.rules.ack_timeout_s)
    world.report(order_id, Result.UNKNOWN)
    assert world.order(order_id).return_after == world.now
    till.work()
    assert money(till, order_id) == KEPT["immediate"]
