"""Work put by: written with others of its kind in one commit, in the order of locks, each piece failing alone."""

import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from functools import partial
from typing import Any

import pytest
from pytest_mock import MockerFixture
from sqlalchemy import event, select, update
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

from cloud.background.heartbeat import WorkerLife
from cloud.courier.outgoing import LEASE_S
from cloud.courier.publisher import Publisher
from cloud.database.base import Base
from cloud.database.database import Database
from cloud.database.transaction import Transaction
from cloud.orders import making
from cloud.orders.locked_order import order_key
from protocol.messages import Accepted, Evidence, Outcome
from protocol.reasons import Result, Spout
from tests.cloud.database.written import NOON, Trouble
from tests.cloud.orders.small_machine import SmallBroker
from tests.cloud.worlds import World, publish
from tests.waiting import wait_until

FOR_EVER_S = 3600.0
"""Nothing is written before the database is closed."""
SOON_S = 0.02


@contextmanager
def opened(url: str, patience_s: float) -> Iterator[Database]:
    with closing(Database(url, patience_s=patience_s)) as database:
        Base.metadata.create_all(database.engine)
        yield database


def add(tx: Transaction, name: str, *, fails: bool = False) -> str:
    tx.session.add(WorkerLife(id=name, seen_at=NOON))
    tx.session.flush()
    if fails:
        raise Trouble(name)
    return name


def names(url: str) -> set[str]:
    with closing(Database(url)) as database, database.read() as session:
        return set(session.scalars(select(WorkerLife.id)))


def commits_of(database: Database) -> list[object]:
    """Grows with every commit."""
    seen: list[object] = []
    for engine in {database.engine, database._together.engine}:
        event.listen(engine, "commit", seen.append)
    return seen


def test_what_has_come_is_written_in_one_commit(database_url: str) -> None:
    with opened(database_url, FOR_EVER_S) as database:
        commits = commits_of(database)
        futures = [database.transact(add, f"w{number}", key="order", deferred=True) for number in range(5)]
        assert not any(future.done() for future in futures)
        database.close()
        assert [future.result() for future in futures] == [f"w{number}" for number in range(5)]
        assert len(commits) == 1
    assert names(database_url) == {f"w{number}" for number in range(5)}


def test_pieces_are_done_in_the_order_of_their_keys_and_those_of_one_key_as_they_came(database_url: str) -> None:
    done: list[str] = []
    with opened(database_url, FOR_EVER_S) as database:
        for key, name in (("order b", "1"), ("order a", "2"), ("device z", "3"), ("order a", "4")):
            database.transact(lambda _session, name=name: done.append(name), key=key, deferred=True)
    assert done == ["3", "2", "4", "1"]


def test_pieces_with_a_key_share_a_session_and_others_do_not(database_url: str) -> None:
    sessions: list[Session] = []
    with opened(database_url, FOR_EVER_S) as database:
        for key in ("order a", "order b", "order a", "", ""):
            database.transact(sessions.append, key=key, deferred=True)
    first, second, third, without, again = sessions
    assert first is second is third
    assert len({id(session) for session in (first, without, again)}) == 3


def test_a_piece_fails_alone(database_url: str) -> None:
    with opened(database_url, FOR_EVER_S) as database:
        futures = [database.transact(add, f"w{number}", fails=number == 1, deferred=True) for number in range(3)]
    assert [type(future.exception()) for future in futures] == [type(None), Trouble, type(None)]
    assert names(database_url) == {"w0", "w2"}


def test_it_is_written_by_itself_soon(database_url: str) -> None:
    def told(tx: Transaction) -> None:
        add(tx, "one")
        tx.notify("news")

    with opened(database_url, SOON_S) as database, database.wakeups.waiter("news") as ear:
        database.transact(told, deferred=True).result(30)
        wait_until(lambda: ear.wait(0.1), what="the wake-up")
        assert names(database_url) == {"one"}


def test_an_act_that_fails_after_the_commit_does_not_stop_the_writing(
    database_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    def bad() -> None:
        raise Trouble

    with opened(database_url, SOON_S) as database:
        assert database.transact(lambda tx: tx.after_commit(bad), deferred=True).result(30) is None
        assert database.transact(add, "one", deferred=True).result(30) == "one"
    assert "what follows a commit failed" in caplog.text


def test_after_the_end_it_is_written_at_once(database_url: str) -> None:
    with opened(database_url, FOR_EVER_S) as database:
        database.transact(add, "one", deferred=True)
        database.close()
        assert database.transact(add, "two", deferred=True).result(0) == "two"
    assert names(database_url) == {"one", "two"}


def test_without_patience_it_is_written_at_once_by_the_caller(database_url: str) -> None:
    def whose(tx: Transaction) -> str:
        add(tx, "one")
        return threading.current_thread().name

    with opened(database_url, 0) as database:
        assert database.transact(whose, deferred=True).result(0) == threading.current_thread().name
        assert isinstance(database.transact(add, "one", deferred=True).exception(0), Exception)
        assert names(database_url) == {"one"}


def test_what_came_about_one_order_reads_and_writes_it_once(world: World) -> None:
    order_id = world.pay()
    make = world.command(order_id)
    ids: dict[str, Any] = {"command_id": make.id, "order_id": order_id, "at": world.now}
    done = Outcome(message_id="o", result=Result.DONE, out=Spout.FULL, evidence=Evidence(rule="said so"), **ids)
    asked: list[str] = []
    with closing(Database(world.database.url.render_as_string(False), patience_s=FOR_EVER_S)) as database:
        engine = database._together.engine
        event.listen(engine, "before_cursor_execute", lambda *told: asked.append(told[2]))
        put_by = partial(database.transact, key=order_key(order_id), deferred=True)
        put_by(publish, order_id, make.id, world.rules, world.now)
        put_by(making.record_acceptance, make.device_uuid, Accepted(message_id="a", **ids), world.rules, world.now)
        put_by(making.record_outcome, make.device_uuid, done, world.rules, world.now)
    assert world.status(order_id) == "successful"
    assert [change.event for change in world.history(order_id)][-3:] == [
        "command_published", "machine_accepted", "machine_done",
    ]  # fmt: skip
    assert world.open_tasks(order_id) == ["capture"]
    assert [sum(text.startswith(start) for text in asked) for start in ("SELECT orders.", "UPDATE orders")] == [1, 1]


def test_a_brokers_answer_that_cannot_be_stored_is_told_with_its_order_and_the_command_sent_again(
    sqlite_world: World, mocker: MockerFixture, caplog: pytest.LogCaptureFixture
) -> None:
    world, link = sqlite_world, SmallBroker()
    publisher = Publisher(world.database, link, world.rules, "courier", world.clock)  # type: ignore[arg-type]  # as far as it is used
    order_id = world.pay()
    away = mocker.patch.object(making, "record_published", side_effect=OperationalError("", {}, Exception("away")))
    publisher.step(world.now)
    [told] = [record for record in caplog.records if record.name == "cloud.courier" and record.levelname == "ERROR"]
    assert told.__dict__["order_id"] == order_id
    assert world.status(order_id) == "paid"
    mocker.stop(away)
    publisher.step(world.clock.advance(LEASE_S))
    assert world.status(order_id) == "make_pending"
    assert len(set(link.waiting)) == 1, "the same command, which its agent knows by now"


def test_what_somebody_else_holds_stops_nothing_else(postgres_url: str, mocker: MockerFixture) -> None:
    """An operator with an open transaction, say: whoever waits for those orders fails, and comes again.

    Regression: with each held one the group stood still a second longer, and kept all its locks.
    """
    mocker.patch("cloud.database.database.LOCKED_S", 0.2)
    held_ones, patience = [f"a{number}" for number in range(10)], list[object]()

    def touch(tx: Transaction, name: str) -> None:
        patience.append(tx.connection.exec_driver_sql("SHOW lock_timeout").scalar())
        tx.session.execute(update(WorkerLife).where(WorkerLife.id == name).values(seen_at=NOON))

    with opened(postgres_url, FOR_EVER_S) as database, closing(Database(postgres_url)) as operators:
        for name in (*held_ones, "b"):
            database.transact(add, name)
        with operators.engine.connect() as operator:
            operator.execute(select(WorkerLife.id).where(WorkerLife.id.in_(held_ones)).with_for_update())
            *held, free = (database.transact(touch, name, key=name, deferred=True) for name in (*held_ones, "b"))
            database.close()
            assert free.exception(0) is None
            assert all("lock timeout" in str(one.exception(0)) for one in held)
    assert patience == ["200ms", *["50ms"] * 11], "together, and then each by itself"
