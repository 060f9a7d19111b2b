"""Behind PgBouncer, lending sessions for a session or for a transaction: all of it works, nothing is left behind."""

import sqlite3
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from typing import Any, cast

import pytest
from sqlalchemy import select, text, update

from cloud.background import heartbeat
from cloud.database.database import Database, Held
from cloud.database.listen import ChangeListener
from cloud.database.postgresql import Connections
from cloud.database.transaction import Transaction
from cloud.orders.deadlines import Deadlines
from protocol.reasons import Result
from tests.cloud.database.written import add, names
from tests.cloud.tills import a_till
from tests.cloud.worlds import a_world
from tests.pgbouncer import a_pgbouncer
from tests.waiting import wait_until

MORE_THAN_ENOUGH = 8
"""psycopg prepares a statement when it comes for the sixth time."""


@pytest.fixture
def pooled(pooled_url: str) -> Iterator[Database]:
    with closing(Database(pooled_url)) as database:
        yield database


def test_orders_are_paid_and_poured_one_after_the_other(pooled_url: str) -> None:
    with a_world(pooled_url) as world, a_till(world) as till:
        for _ in range(MORE_THAN_ENOUGH):
            order_id = world.pay()
            world.publish(order_id)
            world.accept(order_id)
            world.report(order_id, Result.DONE)
            till.call_worker.step(world.now)
            Deadlines(world.database, world.rules).step(world.now)
            assert world.status(order_id) == "successful"


def test_every_way_to_write_works_again_and_again(pooled: Database) -> None:
    for number in range(MORE_THAN_ENOUGH):
        pooled.transact(add, f"w{number}")
        pooled.transact(add, f"t{number}", key="order 1")
        pooled.transact(add, f"s{number}", key="order 1", deferred=True).result(30)
    assert len(names(pooled)) == 3 * MORE_THAN_ENOUGH


def test_a_limit_holds_in_its_transaction_and_stays_behind_in_no_session(pooled: Database, pooled_url: str) -> None:
    pooled.transact(add, "one")

    def touch(tx: Transaction) -> None:
        tx.session.execute(update(heartbeat.WorkerLife).values(broker_connected=True))

    with closing(Database(pooled_url)) as operators, operators.engine.connect() as operator:
        operator.execute(select(heartbeat.WorkerLife.id).with_for_update())
        with pytest.raises(Held):
            pooled.transact(touch, waits_for_locks=False)
    for limit in ("lock_timeout", "statement_timeout", "idle_in_transaction_session_timeout"):
        with pooled._by_itself.connect() as connection:
            assert connection.execute(text(f"SHOW {limit}")).scalar() == "0"


def test_commits_elsewhere_are_heard_or_known_not_to_be(
    pooled: Database, pooled_url: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A session that is lent for a transaction hears nothing, and that must not pass for quiet."""
    monkeypatch.setattr("cloud.database.listen.PROOF_WITHIN_S", 0.5)
    with closing(Database(pooled_url)) as there, pooled.wakeups.waiter("news") as ear:
        listener = ChangeListener(pooled)
        listener.start()
        numbers = iter(range(10_000))

        def heard_or_told() -> bool:
            there.transact(add, f"w{next(numbers)}", None, "news")
            return "through this pooler" in caplog.text or (pooled.wakeups.are_notified and ear.wait(0.2))

        try:
            wait_until(heard_or_told, what="a notice, or word that none comes")
        finally:
            listener.stop()


def test_notices_come_by_an_address_past_the_pooler(pooled_url: str, migrated_postgres_url: str) -> None:
    with (
        closing(Database(pooled_url, listen_url=migrated_postgres_url)) as here,
        closing(Database(pooled_url)) as there,
        here.wakeups.waiter("news") as ear,
    ):
        listener = ChangeListener(here)
        listener.start()
        numbers = iter(range(10_000))

        def is_heard() -> bool:
            there.transact(add, f"w{next(numbers)}", None, "news")
            return ear.wait(0.2) and here.wakeups.are_notified

        try:
            wait_until(is_heard, what="a notice")
        finally:
            listener.stop()


@pytest.mark.usefixtures("pgbouncer")
def test_sessions_that_nobody_uses_go_to_other_programs(migrated_postgres_url: str) -> None:
    """A pooler has fewer than all our programs would keep; who gets none waits for one, and then gives up."""
    with a_pgbouncer(migrated_postgres_url, "session", sessions=3) as url, ExitStack() as stack:
        greedy, other = (stack.enter_context(closing(Database(url))) for _ in range(2))
        with ThreadPoolExecutor(3) as threads:
            together = threading.Barrier(3)
            list(threads.map(lambda _: greedy.transact(lambda tx: (tx.connection, together.wait(30))), "abc"))
        assert other.transact(add, "one") == "one"
        assert other.transact(add, "two", key="order") == "two"


def test_all_who_wait_are_served_when_several_connections_come_back(pooled_url: str) -> None:
    """Regression: only the first came back to somebody; the others were closed, and nobody was told."""
    many = 3
    with closing(Database(pooled_url, pool_size=many)) as database, ThreadPoolExecutor(many) as threads:
        together = threading.Barrier(many)
        queue: Any = cast(Connections, database.engine.pool)._pool  # who waits in it cannot be seen from outside
        with ExitStack() as lent:
            for _ in range(many):
                lent.enter_context(database.engine.connect())
            waiting = [threads.submit(database.transact, lambda tx: (tx.connection, together.wait(30))) for _ in "abc"]
            wait_until(lambda: len(queue.not_empty._waiters) == many, what="all to wait for a connection")
        for one in waiting:
            one.result(60)


@pytest.mark.parametrize("others", [1, 3])
def test_at_rest_the_last_that_came_back_is_connected_alone(others: int) -> None:
    pool = Connections(lambda: sqlite3.connect(":memory:"), pool_size=5, max_overflow=0, timeout=1.0)
    pool.is_pooled = True
    *rest, last = [pool.connect() for _ in range(1 + others)]
    drivers = [one.driver_connection for one in rest]
    kept = last.driver_connection
    for one in (*rest, last):
        one.close()
    for driver in drivers:
        with pytest.raises(sqlite3.ProgrammingError):
            driver.execute("SELECT 1")  # type: ignore[union-attr]  # sqlite3's
    with closing(pool.connect()) as again:
        assert again.driver_connection is kept
    pool.dispose()
