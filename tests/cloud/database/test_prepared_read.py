"""A prepared read tells what the ORM tells, on both databases; a database that is away is told as everywhere."""

from contextlib import closing

import pytest
from sqlalchemy import bindparam, select, text
from sqlalchemy.exc import OperationalError

from cloud.buyer.order_reader import OrderReader
from cloud.database.database import Database
from cloud.database.prepared_read import PreparedRead
from cloud.fleet.models import DeviceLive
from cloud.orders.models import Order
from cloud.orders.states import Status
from protocol.reasons import Result
from tests.cloud.worlds import DEVICE, PRICE, World

MORE_THAN_ENOUGH = 8
"""psycopg prepares a statement when it comes for the sixth time."""


def test_values_are_of_the_kinds_their_columns_are(world: World) -> None:
    order_id = world.pay()
    columns = (Order.id, Order.size, Order.is_test, Order.created_at, Order.due_at, Order.finished_at)
    read = PreparedRead(world.database.engine, select(*columns).where(Order.id == bindparam("wanted", "")))
    order = world.order(order_id)

    for _ in range(MORE_THAN_ENOUGH):
        assert read.all(wanted=order_id) == [[getattr(order, column.key) for column in columns]]
    assert read.all(wanted="nobody's") == []
    assert order.created_at.tzinfo is not None


def test_json_is_read_as_what_it_says(world: World) -> None:
    state = {"machine": "ready", "faults": [{"code": "кофе"}]}
    world.database.transact(lambda tx: setattr(tx.session.get_one(DeviceLive, DEVICE), "state", state))
    read = PreparedRead(world.database.engine, select(DeviceLive.state).where(DeviceLive.device_uuid == DEVICE))

    assert read.all() == [[state]]


def test_a_statement_that_fails_is_a_database_error_and_the_next_one_works(world: World) -> None:
    gone = PreparedRead(world.database.engine, select(text("1")).select_from(text("no_such_table")))
    with pytest.raises(OperationalError):
        gone.all()
    assert PreparedRead(world.database.engine, select(Order.id)).all() == []


def test_what_is_prepared_outlives_a_look_at_the_database(migrated_postgres_url: str) -> None:
    """psycopg forgets all of it at a ROLLBACK, with which a session that only looked ends."""
    with closing(Database(migrated_postgres_url, pool_size=1)) as database:
        orders = PreparedRead(database.engine, select(Order.id).where(Order.id == bindparam("wanted", "")))
        for _ in range(MORE_THAN_ENOUGH):
            orders.all(wanted="any")
        with database.read() as session:
            session.scalars(select(Order.id)).all()
        with database.engine.connect() as connection:
            assert connection.execute(text("SELECT count(*) FROM pg_prepared_statements")).scalar_one() > 0


def test_the_buyer_sees_the_return_the_ledger_knows(world: World) -> None:
    """From an order without a payment to one whose money is on its way back."""
    reader = OrderReader(world.database)
    order_id = world.pay()
    world.publish(order_id)
    world.accept(order_id)
    assert (view := reader.find(order_id)) is not None
    assert (view.status, view.money_back) == (Status.MAKE_PENDING, None)
    assert (view.was_paid, view.was_commanded, view.accepted_at is not None) == (True, True, True)

    world.report(order_id, Result.REJECTED, "no_water")

    assert (view := reader.find(order_id)) is not None
    assert view.money_back is not None
    assert (view.money_back.status, view.money_back.amount) == ("in_progress", PRICE)
    assert reader.find("nobody's") is None
