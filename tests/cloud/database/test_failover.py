"""After a failover sessions are left on a server that only reads: nothing that is ours stays with it."""

from collections.abc import Callable, Iterator
from contextlib import closing

import psycopg
import pytest
from sqlalchemy import text, update
from sqlalchemy.exc import DBAPIError

from cloud.background import heartbeat
from cloud.database import postgresql
from cloud.database.database import Database
from cloud.database.transaction import Transaction
from cloud.processes.app import create_app
from cloud.settings import Settings
from cloud.wiring import build
from tests.cloud.database.written import add, names
from tests.cloud.worlds import SECRET_KEY
from tests.waiting import wait_until


class Server:
    """An operator's hand on the test's database."""

    def __init__(self, url: str) -> None:
        self._connection = psycopg.connect(url.replace("+psycopg", ""), autocommit=True)

    def become(self, *, read_only: bool) -> None:
        """For sessions made from now on: those of before stay as they are, as after a failover."""
        [name] = self._connection.execute("SELECT current_database()").fetchone() or ("",)
        self._connection.execute(f"ALTER DATABASE {name} SET default_transaction_read_only = {read_only}")

    def close(self) -> None:
        self._connection.close()


@pytest.fixture
def server(migrated_postgres_url: str) -> Iterator[Server]:
    with closing(Server(migrated_postgres_url)) as made:
        yield made


@pytest.fixture
def left_behind(server: Server, migrated_postgres_url: str) -> Iterator[Database]:
    """Its sessions were made while the server only read, and it is being used: nobody asks them how they are."""
    server.become(read_only=True)
    with closing(Database(migrated_postgres_url)) as database:
        yield database


def put(database: Database, name: str) -> None:
    """As in `write_one`: a transaction that is one statement."""
    database.execute_autocommit(
        text("INSERT INTO workers (id, seen_at, broker_connected) VALUES (:id, now(), true) RETURNING id"),
        {"id": name},
    )


WAYS: dict[str, Callable[[Database, str], object]] = {
    "write": lambda database, name: database.transact(add, name),
    "write_one": put,
    "write_together": lambda database, name: database.transact(add, name, key="order"),
    "write_soon": lambda database, name: database.transact(add, name, key="order", deferred=True).result(30),
}


@pytest.mark.parametrize("way", WAYS)
def test_who_meets_a_server_that_only_reads_comes_to_another(
    way: str, left_behind: Database, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgresql, "TRUSTED_S", 3600.0)
    with pytest.raises(DBAPIError, match="read-only"):
        WAYS[way](left_behind, "lost")
    server.become(read_only=False)
    WAYS[way](left_behind, "stored")
    assert names(left_behind) == {"stored"}


def test_also_when_a_group_is_refused(left_behind: Database, server: Server) -> None:
    def touch(tx: Transaction) -> None:
        tx.connection.execute(update(heartbeat.WorkerLife).values(broker_connected=True))

    with pytest.raises(DBAPIError, match="read-only"):
        left_behind.transact(touch, key="order")
    server.become(read_only=False)
    left_behind.transact(touch, key="order")


def test_sessions_that_only_look_leave_it_as_well(
    left_behind: Database, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A copy that was left behind goes on answering what it last knew."""
    monkeypatch.setattr(postgresql, "TRUSTED_S", 0.0)

    def is_read_only() -> bool:
        with left_behind.read() as session:
            return str(session.scalar(text("SHOW default_transaction_read_only"))) == "on"

    assert is_read_only()
    server.become(read_only=False)
    assert not is_read_only()


def test_notices_leave_it_as_well(left_behind: Database, server: Server, migrated_postgres_url: str) -> None:
    """They hold no session between two of them, so they go where the others go."""
    assert left_behind.notifier is not None
    left_behind.notifier.send(["news"])
    wait_until(lambda: left_behind.engine.pool.checkedin() == 1, what="the notice")  # type: ignore[attr-defined]  # a QueuePool
    with pytest.raises(DBAPIError, match="read-only"):
        left_behind.transact(add, "lost")
    server.become(read_only=False)
    with closing(psycopg.connect(migrated_postgres_url.replace("+psycopg", ""), autocommit=True)) as listener:
        listener.execute("LISTEN coffee_relay")
        left_behind.notifier.send(["news"])
        assert [notice.payload.endswith("\nnews") for notice in listener.notifies(timeout=30, stop_after=1)] == [True]


def test_ready_names_the_database_not_the_worker(server: Server, migrated_postgres_url: str) -> None:
    server.become(read_only=True)
    with closing(build(Settings(SECRET_KEY, database_url=migrated_postgres_url))) as cloud:
        web = create_app(cloud).test_client()

        def missing() -> list[str]:
            return list((web.get("/ready").json or {})["missing"])

        assert missing() == ["the database is read-only"]
        server.become(read_only=False)
        wait_until(lambda: missing() == ["no worker is alive"], what="the database to be writable")
        cloud.database.transact(heartbeat.beat, "w", True, cloud.clock())
        assert missing() == []
