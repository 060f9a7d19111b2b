"""A row that somebody holds (an operator's open transaction) keeps nobody else waiting, and it is said whose it is."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from typing import Any

import pytest
from pytest_mock import MockerFixture
from sqlalchemy import select

from cloud.background.loops import Loop
from cloud.courier import device_jobs, job_sender
from cloud.courier.device_jobs import DeviceJob, State
from cloud.courier.job_sender import JobSender
from cloud.courier.listener import MOST_WAITS
from cloud.database.database import Database
from cloud.orders import outbox
from cloud.orders.deadlines import HELD_AGAIN, Deadlines
from cloud.orders.models import Order, Payment
from cloud.payments import status_poller
from protocol.messages import Event
from protocol.reasons import AnswerStatus
from simulator.broker import Broker
from tests.cloud.courier.rig import a_rig
from tests.cloud.courier.test_device_jobs import answer, ask, job
from tests.cloud.courier.test_listener import accepted, outcome, receipted
from tests.cloud.orders.small_machine import SmallBroker
from tests.cloud.tills import a_till
from tests.cloud.worlds import DEVICE, ONE_STAGE, OTHER_DEVICE, World
from tests.waiting import wait_until


@pytest.fixture
def postgres_world(migrated_postgres_url: str, mocker: MockerFixture) -> Iterator[World]:
    mocker.patch("cloud.database.database.LOCKED_S", 0.1)
    with closing(Database(migrated_postgres_url, patience_s=0.01)) as database:
        yield World(database).found()


@contextmanager
def held(world: World, kind: type[Order] | type[Payment], *order_ids: str) -> Iterator[None]:
    """Somebody's open transaction on orders themselves, or on one row that belongs to each."""
    of_order = (Order.id if kind is Order else Payment.order_id).in_(order_ids)
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


def test_behind_a_report_that_waits_the_others_of_its_order_wait_too(
    postgres_world: World, caplog: pytest.LogCaptureFixture
) -> None:
    world = postgres_world
    with Broker() as broker, a_rig(world, broker.port) as rig:
        machine = rig.connect().machine()
        first, second = sent(world), sent(world)
        with held(world, Order, first):
            machine.say(accepted(rig, first, "a-1"))
            rig.hear_until(lambda: "it waits" in caplog.text, what="the first to be put aside")
            machine.say(outcome(rig, first, message_id="o-1"))
            machine.say(accepted(rig, second, "a-2"))
            rig.hear_until(lambda: receipted(machine) == {"a-2"}, what="the other's receipt")
            assert caplog.text.count("it waits") == 1, "nobody waited for the same lock twice"
        world.clock.advance(HELD_AGAIN.total_seconds())
        rig.hear_until(lambda: receipted(machine) == {"a-1", "a-2", "o-1"}, what="what was held")
    assert [change.event for change in world.history(first)][-2:] == ["machine_accepted", "machine_done"]


@pytest.mark.parametrize("kind", [Order, Payment])
def test_many_reports_that_wait_keep_no_other_machine_waiting(
    kind: type[Order] | type[Payment], postgres_world: World, mocker: MockerFixture, caplog: pytest.LogCaptureFixture
) -> None:
    """Regression: each step waited for the lock of each first, and only then took one batch."""
    world, transact = postgres_world, postgres_world.database.transact
    tries: list[object] = []

    def slow(work: Any, *facts: Any, **more: Any) -> Any:
        if more.get("waits_for_locks") is False:
            tries.append(work)
            world.clock.advance(HELD_AGAIN.total_seconds())
        return transact(work, *facts, **more)

    with Broker() as broker, a_rig(world, broker.port) as rig:
        machine, other = rig.connect().machine(), rig.machine(OTHER_DEVICE)
        orders = [sent(world) for _ in range(40)]
        with held(world, kind, *orders):
            for order_id in orders:
                machine.say(outcome(rig, order_id, message_id=order_id))
            rig.hear_until(lambda: caplog.text.count("it waits") == len(orders), what="all to be put aside")
            other.say(Event(message_id="e-1", at=world.now, what="fault_set", code="door_open", evidence={}))
            wait_until(lambda: rig.link.inbox.qsize() == 1, what="the other machine's report")
            mocker.patch.object(world.database, "transact", slow)
            rig.listener.step(world.clock.advance(HELD_AGAIN.total_seconds()))
            wait_until(lambda: receipted(other) == {"e-1"}, what="its receipt")
            assert 0 < len(tries) <= 1 + MOST_WAITS
            before = len(tries)
            rig.listener.step(world.now)
            assert len(tries) == before, "a second from the end of the last time, not from its beginning"
        world.clock.advance(HELD_AGAIN.total_seconds())
        rig.hear_until(lambda: receipted(machine) == set(orders), what="what was held")


@pytest.mark.parametrize("kind", [Order, Payment])
def test_what_is_free_again_is_stored_behind_many_that_are_not(
    kind: type[Order] | type[Payment], postgres_world: World, caplog: pytest.LogCaptureFixture
) -> None:
    world = postgres_world
    with Broker() as broker, a_rig(world, broker.port) as rig:
        machine = rig.connect().machine()
        *others, last = orders = [sent(world) for _ in range(MOST_WAITS + 2)]
        with held(world, kind, *others):
            with held(world, kind, last):
                for order_id in orders:
                    machine.say(outcome(rig, order_id, message_id=order_id))
                rig.hear_until(lambda: caplog.text.count("it waits") == len(orders), what="all to be put aside")
            for _ in range(1 if kind is Order else 2):
                rig.listener.step(world.clock.advance(HELD_AGAIN.total_seconds()))
            wait_until(lambda: receipted(machine) == {last}, what="its receipt")


def test_a_report_whose_transaction_the_server_gave_up_waits_too(
    postgres_world: World, caplog: pytest.LogCaptureFixture
) -> None:
    """Regression: it was taken for a database that is away, and the link to the broker was dropped."""
    world = postgres_world
    with Broker() as broker, a_rig(world, broker.port) as rig:
        machine = rig.connect().machine()
        order_id = sent(world)
        with deadlocks(world):
            machine.say(accepted(rig, order_id))
            rig.hear_until(lambda: "it waits" in caplog.text, what="the report to be put aside")
            assert rig.link.connections == 1
        world.clock.advance(HELD_AGAIN.total_seconds())
        rig.hear_until(lambda: receipted(machine) == {"a-1"}, what="what was given up")
        assert rig.link.connections == 1


@contextmanager
def deadlocks(world: World) -> Iterator[None]:
    """Whoever changes an order is the one that the server gives up."""
    body = "BEGIN RAISE EXCEPTION 'deadlock detected' USING ERRCODE = '40P01'; END"
    with closing(Database(str(world.database.url))) as operators:
        with operators.engine.begin() as operator:
            operator.exec_driver_sql(f"CREATE FUNCTION give_up() RETURNS trigger LANGUAGE plpgsql AS $${body}$$")
            operator.exec_driver_sql(
                "CREATE TRIGGER give_up BEFORE UPDATE ON orders FOR EACH ROW EXECUTE FUNCTION give_up()"
            )
        yield
        with operators.engine.begin() as operator:
            operator.exec_driver_sql("DROP TRIGGER give_up ON orders")


def test_a_job_is_not_sent_while_its_answer_is_stored_and_neither_fails(
    postgres_world: World, mocker: MockerFixture
) -> None:
    """Regression: each waited for what the other held."""
    world, claim = postgres_world, outbox.claim
    sender = JobSender(world.database, SmallBroker(), "courier", world.clock)  # type: ignore[arg-type]  # as far as it is used
    job_id = ask(world)
    claimed, go_on = threading.Event(), threading.Event()

    def claim_and_wait(*asked: Any) -> object:
        rows = claim(*asked)
        claimed.set()
        assert go_on.wait(30)
        return rows

    mocker.patch.object(outbox, "claim", claim_and_wait)
    with ThreadPoolExecutor(2) as pool:
        sending = pool.submit(sender.step, world.now)
        assert claimed.wait(30)
        done = answer(job_id, AnswerStatus.DONE)
        storing = pool.submit(world.database.transact, device_jobs.answered, DEVICE, done, world.now)
        wait_until(lambda: storing.done() or world.somebody_waits(), what="the answer to wait for the row")
        go_on.set()
        storing.result(30)
        sending.result(30)
    assert job(world, job_id).state == State.DONE
    assert world.open_tasks("") == []


def test_a_job_that_somebody_holds_is_sent_a_second_later(postgres_world: World) -> None:
    world, link = postgres_world, SmallBroker()
    sender = JobSender(world.database, link, "courier", world.clock)  # type: ignore[arg-type]  # as far as it is used
    ask(world)
    with closing(Database(str(world.database.url))) as operators, operators.engine.connect() as operator:
        operator.execute(select(DeviceJob.id).with_for_update())
        assert sender.step(world.now) == world.now + job_sender.HELD_AGAIN
        assert link.waiting == []
    sender.step(world.clock.advance(job_sender.HELD_AGAIN.total_seconds()))
    assert len(link.waiting) == 1


def test_a_providers_answer_that_finds_its_order_held_is_asked_for_again_soon(postgres_world: World) -> None:
    """Regression: a buyer who had paid waited for the end of the lease."""
    world = postgres_world
    with a_till(world) as till:
        order_id = till.open_payment()
        till.buyer_pays(order_id)
        with held(world, Order, order_id):
            till.poller.step(world.clock.advance(2))
            assert world.payment(order_id).next_check_at == world.now + status_poller.HELD_AGAIN
        till.work(status_poller.HELD_AGAIN.total_seconds())
    assert world.status(order_id) == "paid"


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
