"""No order waits for ever: every missed deadline, at its moment and not before, and nothing stands in the way."""

import logging
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import NoReturn

import pytest
from sqlalchemy.exc import OperationalError

from cloud.database.transaction import Transaction
from cloud.orders import making, order_tasks, outbox
from cloud.orders.deadlines import DEAF_AT_MOST, DEVICES_REPEAT_WITHIN, Deadlines
from cloud.orders.locked_order import lock_order
from cloud.orders.models import Order
from cloud.orders.money import PaymentState
from cloud.orders.outbox import Lease
from cloud.orders.states import FINAL, Status
from cloud.orders.tasks import Lane, Task
from protocol.reasons import Result
from tests.cloud.worlds import ONE_STAGE, START, World

pytestmark = pytest.mark.any_database

RETURNS = (Task.CANCEL, Task.REFUND)


def test_an_order_nobody_pays_expires(world: World) -> None:
    order_id = world.scan()
    world.wait(899)
    assert world.status(order_id) == "created"
    world.wait(1)
    order = world.order(order_id)
    assert (order.status, order.reason, order.due_at) == ("failed", "expired", None)


def test_a_command_nobody_took_to_the_broker_is_certainly_not_sent(world: World) -> None:
    order_id = world.pay(account=ONE_STAGE)
    world.wait(60)
    order = world.order(order_id)
    assert (order.status, order.reason, order.uncertain) == ("make_failed", "not_sent", False)
    assert world.open_tasks(order_id) == ["refund"], "the command is withdrawn"


def test_a_command_that_found_nobody_each_time_is_certainly_not_sent(world: World) -> None:
    order_id = world.pay(account=ONE_STAGE)

    def found_nobody(tx: Transaction) -> None:
        [row] = outbox.claim(tx, Lane.MQTT, world.now, Lease("courier", 30))
        locked = lock_order(tx, order_id)
        order_tasks.mark_no_effect(locked, row.key)
        order_tasks.reschedule(locked, row.key, "courier", world.now + timedelta(seconds=2), "broker code 16")

    world.database.transact(found_nobody)
    world.wait(60)
    assert not world.order(order_id).uncertain
    assert world.open_tasks(order_id, Task.QUERY, *RETURNS) == ["refund"]


def test_a_command_whose_sending_nobody_heard_of_again_is_uncertain(world: World) -> None:
    order_id = world.pay(account=ONE_STAGE)
    world.database.transact(outbox.claim, Lane.MQTT, world.now, Lease("dead courier", 30))
    world.wait(60)
    order = world.order(order_id)
    assert (order.status, order.reason, order.uncertain) == ("make_failed", "not_sent", True)
    assert set(world.open_tasks(order_id, Task.QUERY, *RETURNS)) == {"query", "refund"}
    [refund] = world.rows(order_id, Task.REFUND)
    assert refund.due_at == world.now + timedelta(seconds=300)


def test_silence_after_the_command_is_no_ack_and_the_agent_is_asked(world: World) -> None:
    order_id = world.pay(account=ONE_STAGE)
    world.clock.advance(10)
    world.publish(order_id)
    world.wait(64)
    assert world.status(order_id) == "make_pending", "75 s count from the decision to pour"
    world.wait(1)
    order = world.order(order_id)
    assert (order.status, order.reason, order.uncertain) == ("make_failed", "no_ack", True)
    assert "query" in world.open_tasks(order_id)
    assert not world.command(order_id).live


def test_silence_after_the_acceptance_is_no_outcome(world: World) -> None:
    order_id = world.pay()
    world.publish(order_id)
    world.clock.advance(20)
    world.accept(order_id)
    world.wait(299)
    assert world.status(order_id) == "make_pending"
    world.wait(1)
    order = world.order(order_id)
    assert (order.status, order.reason, order.uncertain) == ("make_failed", "no_outcome", True)
    assert "query" in world.open_tasks(order_id)


def test_a_late_paid_order_nobody_collects_is_returned(world: World) -> None:
    order_id = world.bring_to(Status.MANUAL_MAKE, ONE_STAGE)
    world.wait(1800)
    order = world.order(order_id)
    assert (order.status, order.reason, order.uncertain) == ("make_failed", "expired", False)
    [refund] = world.rows(order_id, Task.REFUND)
    assert refund.due_at == world.now


@pytest.mark.both_databases
def test_when_the_grace_is_over_the_money_goes_back(world: World) -> None:
    order_id = world.pay(account=ONE_STAGE)
    world.publish(order_id)
    world.wait(76)
    world.wait(300)
    order = world.order(order_id)
    assert (order.status, order.uncertain, order.return_after) == ("make_failed", True, None)
    [refund] = world.rows(order_id, Task.REFUND)
    assert refund.due_at <= world.now
    assert refund.settled_at is None


def test_a_deadline_that_was_met_in_between_does_nothing(sqlite_world: World) -> None:
    """The loop has seen the order due; before it is judged the machine answers."""
    world = sqlite_world
    order_id = world.pay()
    world.publish(order_id)
    world.clock.advance(76)
    world.report(order_id, Result.DONE)
    world.database.transact(making.handle_deadline, order_id, world.rules, world.now)
    world.database.transact(making.end_grace, order_id, world.rules, world.now)
    assert world.status(order_id) == "successful"


@pytest.mark.parametrize("status", Status)
def test_whatever_happens_no_more_every_order_comes_to_an_end_by_time_alone(world: World, status: Status) -> None:
    order_id = world.bring_to(status)
    for _ in range(10):
        world.wait(1801)
    ended = Status(world.status(order_id))
    assert ended in FINAL or ended is Status.PENDING, "an open payment ends by the provider's answer"
    order = world.order(order_id)
    assert (order.due_at, order.return_after) == (None, None)


@pytest.mark.parametrize("status", Status)
def test_every_waiting_order_has_a_deadline_or_is_asked_about(world: World, status: Status) -> None:
    order_id = world.bring_to(status)
    is_asked_about = status is Status.PENDING and world.payment(order_id).next_check_at is not None
    assert status in FINAL or is_asked_about or world.order(order_id).due_at is not None


@pytest.mark.both_databases
def test_the_loop_wakes_for_the_next_deadline_and_never_in_the_past(world: World) -> None:
    deadlines = Deadlines(world.database, world.rules)
    assert deadlines.step(world.now) == START + timedelta(seconds=1)
    order_id = world.scan()

    def soon(tx: Transaction) -> None:
        tx.session.get_one(Order, order_id).due_at = START + timedelta(seconds=0.25)

    world.database.transact(soon)
    assert deadlines.step(world.now) == START + timedelta(seconds=0.25)
    world.clock.advance(0.25)
    assert deadlines.step(world.now) > world.now


@pytest.mark.both_databases
def test_an_order_that_cannot_be_judged_keeps_nobody_else_waiting(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    broken, other = world.pay(), world.pay()
    for order_id in (broken, other):
        world.publish(order_id)

    command_id = world.command(broken).id
    world.in_docket(
        broken, order_tasks.add_task, Task.QUERY, f"query-{command_id}", command_id, world.now
    )  # the key of its question is taken, so its deadline cannot be written
    deadlines = Deadlines(world.database, world.rules)
    now = world.clock.advance(76)
    with caplog.at_level(logging.ERROR):
        assert deadlines.step(now) == now + timedelta(seconds=1), "no spinning over it"
    assert world.status(other) == "make_failed"
    assert world.status(broken) == "make_pending"
    [record] = [record for record in caplog.records if record.name == "cloud.orders.deadlines"]
    assert record.__dict__["order_id"] == broken


class Ear:
    """Whether devices can reach the worker."""

    is_open = False

    def __call__(self) -> bool:
        return self.is_open


def silent_past_its_deadline(world: World) -> str:
    """Published, and then nobody listened until its answer was overdue; the order's id."""
    order_id = world.pay(account=ONE_STAGE)
    world.publish(order_id)
    world.clock.advance(120)
    return order_id


def steps(world: World, deadlines: Deadlines, duration: timedelta) -> None:
    """As the loop steps: when it says, each time."""
    end = world.now + duration
    while world.now < end:
        wake = deadlines.step(world.now)
        assert wake > world.now, "no spinning over what may not be judged yet"
        world.clock.now = min(wake, end)


def test_a_done_that_waited_for_a_worker_is_read_before_its_deadline_is_judged(world: World) -> None:
    """Regression: the buyer saw "could not be sent" for a moment, and then the drink."""
    order_id = silent_past_its_deadline(world)
    ear = Ear()
    deadlines = Deadlines(world.database, world.rules, ear)
    steps(world, deadlines, timedelta(seconds=5))
    ear.is_open = True
    steps(world, deadlines, DEVICES_REPEAT_WITHIN - timedelta(seconds=1))
    assert world.status(order_id) == "make_pending"
    world.report(order_id, Result.DONE)
    steps(world, deadlines, timedelta(seconds=10))
    assert [change.status_after for change in world.history(order_id)][-2:] == ["make_pending", "successful"]


def test_a_done_that_could_not_be_stored_is_read_before_its_deadline_is_judged(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Regression: the database was back, the deadlines were first, and a poured drink was given back."""
    ear = Ear()
    ear.is_open = True
    deadlines = Deadlines(world.database, world.rules, ear)
    steps(world, deadlines, DEVICES_REPEAT_WITHIN)
    order_id = silent_past_its_deadline(world)
    with monkeypatch.context() as away:
        away.setattr(world.database, "look", _is_away)
        for _ in range(3):
            with pytest.raises(OperationalError):
                deadlines.step(world.clock.advance(1))
    steps(world, deadlines, DEVICES_REPEAT_WITHIN - timedelta(seconds=1))
    assert world.status(order_id) == "make_pending"
    world.report(order_id, Result.DONE)
    steps(world, deadlines, timedelta(seconds=10))
    assert world.status(order_id) == "successful"


def _is_away(*_: object) -> NoReturn:
    raise OperationalError("look", {}, Exception("the database is away"))


def test_who_says_nothing_in_that_moment_is_judged_after_it(world: World) -> None:
    order_id = silent_past_its_deadline(world)
    ear = Ear()
    ear.is_open = True
    deadlines = Deadlines(world.database, world.rules, ear)
    steps(world, deadlines, DEVICES_REPEAT_WITHIN)
    assert world.status(order_id) == "make_pending"
    deadlines.step(world.now)
    assert (world.status(order_id), world.order(order_id).reason) == ("make_failed", "no_ack")


def test_a_broker_that_stays_away_stops_no_deadline(world: World) -> None:
    order_id = silent_past_its_deadline(world)
    deadlines = Deadlines(world.database, world.rules, Ear())
    steps(world, deadlines, DEAF_AT_MOST)
    assert world.status(order_id) == "make_pending"
    deadlines.step(world.now)
    assert world.status(order_id) == "make_failed"


def test_words_that_nobody_comes_to_read_stop_no_deadline(world: World) -> None:
    order_id = world.pay()
    world.publish(order_id)
    world.clock.advance(world.rules.ack_timeout_s)
    deadlines = Deadlines(world.database, world.rules, lag_s=lambda: 3600.0)
    steps(world, deadlines, DEAF_AT_MOST)
    assert world.status(order_id) == "make_pending"
    deadlines.step(world.now)
    assert world.status(order_id) == "make_failed"


def test_a_worker_a_blink_behind_another_ends_no_grace(world: World) -> None:
    """All wake for the same moment, and each goes on with the `now` it woke with."""
    order_id = world.pay()
    world.publish(order_id)
    woken = world.clock.advance(76)
    ahead = woken + timedelta(milliseconds=1)
    Deadlines(world.database, world.rules).step(ahead)
    Deadlines(world.database, world.rules).step(woken)
    ends = ahead + timedelta(seconds=world.rules.uncertain_grace_s)
    assert world.order(order_id).return_after == ends
    assert [row.due_at for row in world.rows(order_id, Task.CANCEL)] == [ends]


@pytest.mark.both_databases
@pytest.mark.parametrize("judges", [World.wait, lambda world, seconds: world.clock.advance(seconds)],
                         ids=["another", "itself"])  # fmt: skip
def test_a_step_that_stood_still_leaves_the_whole_grace(world: World, judges: Callable[[World, float], object]) -> None:
    """Whether another worker has given it meanwhile or it does so itself, late."""
    order_id = world.pay()
    world.publish(order_id)
    began = world.clock.advance(76)

    def stands_still() -> float:
        judges(world, 660)
        return 0.0

    Deadlines(world.database, world.rules, lag_s=stands_still, clock=world.clock).step(began)
    ends = world.now + timedelta(seconds=world.rules.uncertain_grace_s)
    assert world.order(order_id).return_after == ends
    assert [row.due_at for row in world.rows(order_id, Task.CANCEL)] == [ends]


def test_a_late_payment_is_not_over_to_a_worker_a_blink_behind(world: World) -> None:
    order_id = world.scan()
    payment_id = world.start(order_id)
    world.tell(payment_id, PaymentState.PENDING)
    world.clock.advance(2000)
    world.tell(payment_id, PaymentState.HELD)
    assert world.status(order_id) == "manual_make"
    Deadlines(world.database, world.rules).step(world.now - timedelta(milliseconds=1))
    assert world.status(order_id) == "manual_make"


def test_a_clock_that_is_set_back_makes_nobody_wait_longer(world: World) -> None:
    deadlines = Deadlines(world.database, world.rules, Ear())
    deadlines.step(world.now)
    world.clock.advance(-6 * 3600)
    order_id = silent_past_its_deadline(world)
    steps(world, deadlines, DEAF_AT_MOST)
    deadlines.step(world.now)
    assert world.status(order_id) == "make_failed"


@pytest.mark.both_databases
def test_a_grace_that_ended_while_nobody_listened_waits_for_the_devices_too(world: World) -> None:
    order_id = silent_past_its_deadline(world)
    world.wait(0)
    world.clock.advance(301)
    ear = Ear()
    ear.is_open = True
    deadlines = Deadlines(world.database, world.rules, ear)
    steps(world, deadlines, DEVICES_REPEAT_WITHIN)
    assert world.order(order_id).return_after is not None
    deadlines.step(world.now)
    assert world.order(order_id).return_after is None


@pytest.mark.both_databases
@pytest.mark.parametrize("is_open", [True, False])
def test_what_no_device_could_have_answered_is_judged_at_once(world: World, is_open: bool) -> None:
    """Orders nobody paid, late-paid ones, commands not handed over, and whatever was issued since we listen."""
    unpaid, late, unsent = world.scan(), world.bring_to(Status.MANUAL_MAKE), world.pay()
    world.clock.advance(1801)
    ear = Ear()
    ear.is_open = is_open
    deadlines = Deadlines(world.database, world.rules, ear)
    deadlines.step(world.now)
    assert [world.status(order_id) for order_id in (unpaid, late, unsent)] == ["failed", "make_failed", "make_failed"]


@pytest.mark.parametrize(("lag_s", "status"), [(0.0, "make_failed"), (10.0, "make_pending")])
def test_a_command_issued_since_we_listen_meets_its_deadline_once_all_is_read(
    world: World, lag_s: float, status: str
) -> None:
    world.rules = replace(world.rules, make_deadline_s=2, ack_timeout_s=3)
    ear = Ear()
    ear.is_open = True
    deadlines = Deadlines(world.database, world.rules, ear, lambda: lag_s)
    deadlines.step(world.now)
    world.clock.advance(1)
    order_id = world.pay()
    world.publish(order_id)
    deadlines.step(world.clock.advance(3))
    assert world.status(order_id) == status
