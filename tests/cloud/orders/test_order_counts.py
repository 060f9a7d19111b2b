"""What is told of millions of orders without counting them is what counting them would tell."""

from collections import Counter
from datetime import timedelta

import pytest
from sqlalchemy import select

from cloud.orders.archive import ArchivedOrder, bring_back
from cloud.orders.archiving import Archiving
from cloud.orders.forgetting import Forgetting
from cloud.orders.models import Order
from cloud.orders.order_counts import count_on
from cloud.orders.order_hours import OrderHour, by_status
from cloud.orders.sales_days import roll_up
from cloud.orders.states import Status
from protocol.reasons import Result
from tests.cloud.worlds import ONE_STAGE, World

LATELY = timedelta(minutes=5)


def told(world: World) -> dict[str, int]:
    while world.database.transact(count_on) or world.database.transact(roll_up, world.now):
        pass
    with world.database.read() as session:
        return {status: number for status, number in by_status(session).items() if number}


def counted(world: World) -> dict[str, int]:
    with world.database.read() as session:
        living, resting = session.scalars(select(Order.status)), session.scalars(select(ArchivedOrder.status))
        return dict(Counter([*living, *resting]))


@pytest.mark.any_database
def test_every_way_to_end_and_to_go_is_counted(world: World) -> None:
    world.opens_again = True
    assert told(world) == {}
    first = world.bring_to(Status.MAKE_FAILED, ONE_STAGE)
    for status in (Status.SUCCESSFUL, Status.NOT_PAID, Status.FAILED, Status.PENDING, Status.SUCCESSFUL):
        world.bring_to(status, ONE_STAGE)
        world.clock.advance(1500)
    assert told(world) == counted(world)
    world.report(first, Result.DONE, revision=2)  # the hour of long ago is counted anew
    assert told(world) == counted(world)
    before = told(world)
    Archiving(world.database, LATELY).step(world.clock.advance(3600))
    with world.database.read() as session:
        resting = list(session.scalars(select(ArchivedOrder.order_id)))
    assert resting
    assert told(world) == counted(world) == before
    assert world.database.transact(bring_back, resting[:1], world.now)
    assert told(world) == counted(world) == before


def test_orders_that_are_forgotten_are_not_counted_any_more(world: World) -> None:
    world.bring_to(Status.FAILED)
    assert told(world) == {"failed": 1}
    Forgetting(world.database).step(world.clock.advance(8 * 86400))
    assert told(world) == counted(world) == {}


def test_an_hour_is_one_row_for_each_end(sqlite_world: World) -> None:
    sqlite_world.opens_again = True
    for _ in range(3):
        sqlite_world.bring_to(Status.FAILED)
    told(sqlite_world)
    with sqlite_world.database.read() as session:
        rows = session.execute(select(OrderHour.status, OrderHour.number)).all()
    assert sum(number for _, number in rows) == 3
    assert len(rows) <= 2
