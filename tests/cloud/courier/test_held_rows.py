"""A row that somebody holds (an operator's open transaction) keeps nobody else waiting, and it is said whose it is."""

from collections.abc import Iterator
from contextlib import closing, contextmanager

import pytest
from pytest_mock import MockerFixture
from sqlalchemy import select

from cloud.background.loops import Loop
from cloud.database.database import Database
from cloud.orders.deadlines import HELD_AGAIN, Deadlines
from cloud.orders.models import Order, Payment
from simulator.broker import Broker
from tests.cloud.courier.rig import a_rig
from tests.cloud.courier.test_listener import accepted, receipted
from tests.cloud.worlds import ONE_STAGE, World
from tests.waiting import wait_until


@pytest.fixture
def postgres_world(migrated_postgres_url: str, mocker: MockerFixture) -> Iterator[World]:
    mocker.patch("cloud.database.database.LOCKED_S", 0.1)
    with closing(Database(migrated_postgres_url, patience_s=0.01)) as database:
        yield World(database).found()


@contextmanager
def held(world: World, kind: type[Order] | type[Payment], order_id: str) -> Iterator[None]:
    """Somebody's open transaction on the order itself, or on one row that belongs to it."""
    of_order = Order.id == order_id if kind is Order else Payment.order_id == order_id
    with closing(Database(str(world.database.url))) as operators, operators.engine.connect() as operator:
        operator.execute(select(kind.id).where(of_order).with_for_update())
        yield


def sent(world: World) -> str:
    order_id = world.pay(account=ONE_STAGE)
    world.publish(order_id)
    return order_id


@pytest.mark.parametrize("kind", [Order, Payment])
def test_the_deadlines_of_all_others_are_kept(
    kind: type[Order] | type[Payment], postgres_world: World, caplog: pytest.LogCaptureFixture
) -> None:
    world = postgres_world
    first, second = sent(world), sent(world)
    deadlines = Deadlines(world.database, world.rules)
    with held(world, kind, first):
        deadlines.step(world.clock.advance(world.rules.ack_timeout_s + 1))
        assert (world.status(first), world.status(second)) == ("make_pending", "make_failed")
        [told] = [record for record in caplog.records if "somebody else holds the order" in record.getMessage()]
        assert told.__dict__["order_id"] == first
        assert deadlines.step(world.now) > world.now, "not tried again and again meanwhile"
    deadlines.step(world.clock.advance(HELD_AGAIN.total_seconds()))
    assert world.status(first) == "make_failed"


def test_what_all_other_machines_say_is_stored_and_receipted(postgres_world: World) -> None:
    world = postgres_world
    with Broker() as broker, a_rig(world, broker.port) as rig:
        machine = rig.connect().machine()
        first, second = sent(world), sent(world)
        with held(world, Order, first):
            machine.say(accepted(rig, first, "a-1"))
            machine.say(accepted(rig, second, "a-2"))
            rig.hear_until(lambda: receipted(machine) == {"a-2"}, what="the other's receipt")
            assert rig.link.connections == 1, "nobody was sent away for it"
        world.clock.advance(HELD_AGAIN.total_seconds())
        rig.hear_until(lambda: receipted(machine) == {"a-1", "a-2"}, what="what was held")
    assert world.order(first).stage == "accepted"


def test_a_loop_that_meets_one_says_so_and_not_that_the_database_is_away(
    postgres_world: World, caplog: pytest.LogCaptureFixture
) -> None:
    world = postgres_world
    order_id = sent(world)

    class Stubborn:
        def step(self, _now: object) -> object:
            world.database.transact(lambda tx: tx.session.get(Order, order_id, with_for_update=True), key="order")
            return world.now

    with held(world, Order, order_id):
        loop = Loop("stubborn", Stubborn(), world.database.wakeups, "work")  # type: ignore[arg-type]  # steps as a loop does
        loop.start()
        wait_until(lambda: "stubborn: somebody else holds what it needs" in caplog.text, what="its complaint")
        loop.stop()
        loop.join(30)
