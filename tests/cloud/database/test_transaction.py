"""One unit of work: one truth whichever way its rows are read, nothing told of what was undone."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from sqlalchemy import func, insert, select
from sqlalchemy.exc import IntegrityError

from cloud.background.heartbeat import WorkerLife
from cloud.database.plain_rows import fresh, table_of
from cloud.database.transaction import Dispatchers, Transaction
from cloud.orders.ledger import record
from cloud.orders.locked_order import lock_order
from cloud.orders.models import Order
from cloud.orders.outbox import OutboxRow
from tests.cloud.worlds import World

NOON = datetime(2026, 11, 28, 12, tzinfo=UTC)
PAID = select(func.count()).select_from(Order).where(Order.drink_name == "changed")

WAYS: dict[str, Callable[[Transaction, str], object]] = {
    "by key": lambda tx, order_id: tx.session.get_one(Order, order_id).drink_name == "changed",
    "by a question": lambda tx, _: tx.session.scalar(PAID) == 1,
    "by a question behind another": lambda tx, _: tx.session.scalar(select(PAID.scalar_subquery())) == 1,
    "by a prepared statement": lambda tx, _: tx.execute(PAID).scalar() == 1,
}


@pytest.mark.parametrize("way", WAYS)
def test_what_was_changed_under_the_lock_is_read_as_changed(world: World, way: str) -> None:
    order_id = world.scan()

    def work(tx: Transaction) -> object:
        lock_order(tx, order_id).order.drink_name = "changed"
        return WAYS[way](tx, order_id)

    assert world.database.transact(work)


@pytest.mark.parametrize("is_read_before", [True, False])
def test_a_movement_that_is_in_the_ledger_is_read_once(world: World, is_read_before: bool) -> None:
    order_id = world.pay()

    def again(tx: Transaction) -> list[str]:
        locked = lock_order(tx, order_id)
        known = locked.movements if is_read_before else []
        record(locked, locked.payments[0], "held", 17900, world.now)
        assert len(known) <= 1
        return [movement.kind for movement in locked.movements]

    assert world.database.transact(again) == ["held"]


def test_nothing_follows_what_was_undone(world: World) -> None:
    followed: list[str] = []

    def work(tx: Transaction, *, fails: bool) -> None:
        tx.after_commit(lambda: followed.append("an act"))
        tx.notify("news")
        if fails:
            raise ZeroDivisionError

    with world.database.wakeups.waiter("news") as ear:
        with pytest.raises(ZeroDivisionError):
            world.database.transact(work, fails=True)
        assert (followed, ear.wait(0)) == ([], False)
        world.database.transact(work, fails=False)
        assert (followed, ear.wait(0)) == (["an act"], True)


def test_what_somebody_waits_for_goes_before_the_log(world: World) -> None:
    followed: list[str] = []

    def work(tx: Transaction) -> None:
        tx.log_after_commit(lambda words, extra: followed.append(words), "a line", extra={})
        tx.after_commit(lambda: followed.append("an act"))

    world.database.transact(work)
    assert followed == ["an act", "a line"]


def test_a_dispatcher_is_found_by_its_type_until_it_is_removed() -> None:
    class Courier: ...

    class Other(Courier): ...

    dispatchers, courier = Dispatchers(), Courier()
    dispatchers.add(courier)
    assert (dispatchers.get(Courier), dispatchers.get(Other)) == (courier, None)
    dispatchers.remove(Courier)
    assert dispatchers.get(Courier) is None


def test_a_new_row_holds_the_columns_defaults() -> None:
    row = fresh(OutboxRow, key="cap-1", amount=17900)
    assert (row.key, row.amount, row.attempts, row.verdict, row.call_body, row.settled_at) == (
        "cap-1", 17900, 0, "", None, None,
    )  # fmt: skip


def test_one_statement_by_itself_is_committed_and_gives_what_it_returns(world: World) -> None:
    database = world.database
    beat: dict[str, Any] = {"id": "a", "seen_at": NOON, "broker_connected": True}
    adding = insert(table_of(WorkerLife)).returning(table_of(WorkerLife).c.id)
    assert [tuple(row) for row in database.execute_autocommit(adding, beat)] == [("a",)]
    with pytest.raises(IntegrityError):
        database.execute_autocommit(adding, beat)
    with database.read() as session:
        assert session.get(WorkerLife, "a") is not None
