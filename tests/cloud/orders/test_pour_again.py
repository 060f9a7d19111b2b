"""A drink poured once more: an order of its own, free, and never while the first outcome is open."""

import pytest

from cloud.courier.outgoing import OutgoingCommands
from cloud.orders import archive
from cloud.orders import pour_again as again
from cloud.orders.making import NotPourable
from cloud.orders.order_ids import again_order_id
from cloud.orders.states import Status
from cloud.orders.tasks import Lane, Task
from protocol.reasons import Result
from tests.cloud.orders.test_operator_actions import poured, silent
from tests.cloud.worlds import OTHER_DEVICE, World

pytestmark = pytest.mark.any_database

BY = ("anna@example.org", "it was cold")


def pour(world: World, order_id: str, shown: int | None = None) -> str:
    return world.database.transact(again.pour_again, order_id, *BY, world.rules, world.now, shown)


def test_a_poured_order_gets_a_free_one_that_is_no_sale(world: World) -> None:
    order_id = poured(world)
    new = world.order(pour(world, order_id))
    assert (new.price, new.is_test, new.status, new.drink_no) == (0, True, "paid", "latte")
    assert world.open_tasks(new.id, Task.MAKE) == ["make"]
    assert world.history(order_id)[-1].evidence == {"order": new.id}
    world.publish(new.id)
    world.report(new.id, Result.DONE)
    assert world.status(new.id) == "successful"
    assert (world.ledger(new.id), world.open_tasks(new.id)) == ({}, [])


def test_a_free_drink_is_tried_again_as_a_paid_one(world: World) -> None:
    """Regression: it has no payment, was taken for one whose money is back, and ended at the broker's first hiccup."""
    new = pour(world, poured(world))
    rows = OutgoingCommands(Lane.MQTT, "courier")
    [row] = [row for row in world.database.transact(rows.claim, world.now) if row.order_id == new]
    world.database.transact(rows.reschedule_undelivered, row, "broker code 16", world.now)
    assert (world.status(new), world.open_tasks(new)) == ("paid", ["make"])


@pytest.mark.parametrize("status", [Status.PAID, Status.MAKE_PENDING])
def test_never_while_the_first_drink_may_still_come(world: World, status: Status) -> None:
    with pytest.raises(NotPourable, match="outcome_open"):
        pour(world, world.bring_to(status))


def test_never_while_nobody_knows_what_became_of_the_first(world: World) -> None:
    with pytest.raises(NotPourable, match="outcome_open"):
        pour(world, silent(world))


@pytest.mark.parametrize("status", [Status.CREATED, Status.PENDING, Status.NOT_PAID, Status.FAILED])
def test_what_was_not_paid_is_not_poured(world: World, status: Status) -> None:
    with pytest.raises(NotPourable, match="unpaid"):
        pour(world, world.bring_to(status))


def test_a_refused_one_says_why_and_another_may_follow(world: World) -> None:
    order_id = world.bring_to(Status.MAKE_FAILED)
    first = pour(world, order_id)
    with pytest.raises(NotPourable, match="outcome_open"):
        pour(world, order_id)
    world.publish(first)
    world.report(first, Result.REJECTED, "no_water")
    assert world.order(first).reason == "rejected:no_water"
    assert pour(world, order_id) != first


def test_from_an_old_page_it_is_not_poured_once_more(world: World) -> None:
    """Regression: each press of a button left over from before gave another free drink."""
    order_id = poured(world)
    new = pour(world, order_id, 1)
    world.publish(new)
    world.report(new, Result.DONE)
    with pytest.raises(NotPourable, match="poured_meanwhile"):
        pour(world, order_id, 1)
    assert pour(world, order_id, 2) != new


def test_what_was_late_paid_on_an_old_page_gets_no_free_one_from_it(world: World) -> None:
    order_id = world.bring_to(Status.MANUAL_MAKE)
    assert pour(world, order_id, 0) == order_id
    world.publish(order_id)
    world.report(order_id, Result.DONE)
    with pytest.raises(NotPourable, match="stale"):
        pour(world, order_id, 0)


def test_three_for_one_order_are_enough(world: World) -> None:
    order_id = poured(world)
    for _ in range(again.AGAIN_EACH):
        new = pour(world, order_id)
        world.publish(new)
        world.report(new, Result.DONE)
    with pytest.raises(NotPourable, match="too_many"):
        pour(world, order_id)


@pytest.mark.both_databases
def test_one_that_rests_in_the_archive_is_counted_and_never_poured_under_the_same_number(world: World) -> None:
    """Regression: the second got the first one's id, and the archive could never take it."""
    order_id = poured(world)
    first = pour(world, order_id)
    world.publish(first)
    world.report(first, Result.DONE)
    world.database.transact(archive.put_away, [first], world.now)
    second = pour(world, order_id)
    assert second != first
    world.publish(second)
    world.report(second, Result.DONE)
    world.database.transact(archive.put_away, [first, second], world.now)


def test_nobody_takes_the_number_of_a_free_drink(world: World) -> None:
    """Regression: a stranger who knew an order's id could scan that of its free drink first, and none was poured."""
    order_id = poured(world)
    taken = again_order_id(order_id, 1)
    theirs = world.scan(taken)
    assert theirs not in {taken, world.scan(taken, OTHER_DEVICE)}
    assert world.scan(taken) == theirs, "scanned again it is the same"
    assert pour(world, order_id) == taken


def test_a_late_paid_drink_is_poured_as_itself(world: World) -> None:
    order_id = world.bring_to(Status.MANUAL_MAKE)
    assert pour(world, order_id) == order_id
    assert world.status(order_id) == "paid"


@pytest.mark.both_databases
def test_a_free_drink_is_not_poured_again_by_itself(world: World) -> None:
    new = pour(world, poured(world))
    world.publish(new)
    world.report(new, Result.DONE)
    with pytest.raises(NotPourable, match="unpaid"):
        pour(world, new)
