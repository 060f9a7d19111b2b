"""What a buyer is told of a return, and how long we ask about one that a person makes."""

from datetime import UTC, datetime, timedelta

import pytest

from cloud.orders import operator_actions, order_tasks, owed_tasks, paying
from cloud.orders.models import Payment
from cloud.orders.money import PaymentState
from cloud.orders.outbox import Lease, claim
from cloud.orders.paying import Account
from cloud.orders.return_progress import arrives_by
from cloud.orders.tasks import BY_HAND, LOST, Lane, Task
from protocol.reasons import Result
from tests.cloud.worlds import HOLD, ONE_STAGE, PRICE, World

T0 = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)


def told(world: World, order_id: str) -> tuple[str, int] | None:
    """What the buyer is told of the return."""
    found = world.money_back(order_id)
    return (found.status, found.amount) if found else None


def test_a_hold_is_free_again_at_once_and_a_refund_takes_its_methods_time() -> None:
    assert arrives_by(Task.CANCEL, "bank_card", T0) == T0
    assert arrives_by(Task.REFUND, "sbp", T0) == T0 + timedelta(days=1)
    assert arrives_by(Task.REFUND, "bank_card", T0) == T0 + timedelta(days=3)
    assert arrives_by(Task.REFUND, "a method nobody knows", T0) == T0 + timedelta(days=3)


@pytest.mark.parametrize("account", [HOLD, ONE_STAGE])
def test_the_buyer_is_told_how_the_return_goes(sqlite_world: World, account: Account) -> None:
    world = sqlite_world
    order_id = world.pay(account=account)
    world.publish(order_id)
    assert told(world, order_id) is None
    world.report(order_id, Result.UNKNOWN)
    assert told(world, order_id) == ("waiting", PRICE)
    world.clock.advance(301)
    [row] = world.database.transact(claim, Lane.PROVIDER, world.now, Lease("cashier", 120))
    assert told(world, order_id) == ("in_progress", PRICE)
    world.in_docket(order_id, order_tasks.settle_task, row.key, "cashier", "lost", world.now)
    assert told(world, order_id) == ("in_progress", PRICE), "nobody knows that it is done"


def test_of_a_drink_poured_after_all_nobody_is_told_that_money_comes_back(sqlite_world: World) -> None:
    """Regression: what a person was to return by hand stayed on its way for ever."""
    world, order_id = sqlite_world, sqlite_world.pay(account=ONE_STAGE)
    world.publish(order_id)
    world.report(order_id, Result.UNKNOWN)
    world.wait(world.rules.uncertain_grace_s)
    [row] = world.database.transact(claim, Lane.PROVIDER, world.now, Lease("cashier", 120))
    world.in_docket(order_id, order_tasks.settle_task, row.key, "cashier", BY_HAND, world.now)
    assert told(world, order_id) == ("in_progress", PRICE)
    world.report(order_id, Result.DONE, revision=2)
    assert told(world, order_id) is None


def test_another_sum_than_the_call_that_was_lost_is_left_to_a_person(sqlite_world: World) -> None:
    """Regression: of a part decided after the late "done" nobody was told, and its buyer was promised all of it."""
    world, order_id = sqlite_world, sqlite_world.pay(account=ONE_STAGE)
    world.publish(order_id)
    world.report(order_id, Result.UNKNOWN)
    world.wait(world.rules.uncertain_grace_s)
    [row] = world.database.transact(claim, Lane.PROVIDER, world.now, Lease("cashier", 120))
    world.in_docket(order_id, order_tasks.settle_task, row.key, "cashier", LOST, world.now)
    world.in_docket(order_id, owed_tasks.settle_money, world.now)
    world.report(order_id, Result.DONE, revision=2)
    world.clock.advance(60)
    world.database.transact(operator_actions.give_back, order_id, 4000, "op@example.org", "sour", world.now)
    left = [(row.verdict, row.amount) for row in world.rows(order_id, Task.REFUND)]
    assert (left, told(world, order_id)) == ([(LOST, PRICE), (BY_HAND, 4000)], ("in_progress", 4000))


def test_a_second_payment_of_a_poured_drink_is_asked_about_until_a_person_has_returned_it(sqlite_world: World) -> None:
    """Regression: it was judged as the drink's own money, so nobody asked, and its buyer was told to wait for ever."""
    world = sqlite_world
    order_id = world.scan()
    second = world.start(order_id, ONE_STAGE)
    world.tell(second, PaymentState.CANCELED)
    world.tell(world.start(order_id, ONE_STAGE), PaymentState.CAPTURED)
    world.publish(order_id)
    world.report(order_id, Result.DONE)
    world.clock.advance(60)
    world.tell(second, PaymentState.CAPTURED)
    [row] = world.database.transact(claim, Lane.PROVIDER, world.now, Lease("cashier", 120))
    world.in_docket(order_id, order_tasks.settle_task, row.key, "cashier", BY_HAND, world.now)

    def asked_again_in() -> float | None:
        world.tell(second, PaymentState.CAPTURED)
        with world.database.read() as session:
            at = session.get_one(Payment, second).next_check_at
        return None if at is None else (at - world.now).total_seconds()

    assert (asked_again_in(), told(world, order_id)) == (paying.BY_HAND_CHECK_S, ("in_progress", PRICE))
    world.clock.advance(60)
    world.refunded(second)
    assert (asked_again_in(), told(world, order_id)) == (None, ("done", PRICE))
