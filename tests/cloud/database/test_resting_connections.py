"""A PostgreSQL connection that died while nobody used it is noticed before it is used again."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import psycopg
import pytest
from sqlalchemy import make_url, text

from cloud.database import postgresql
from cloud.database.database import Database
from cloud.database.listen import ChangeListener
from cloud.database.transaction import Transaction
from tests.programs import free_port


@pytest.fixture
def database(postgres_url: str) -> Iterator[Database]:
    opened = Database(postgres_url)
    yield opened
    opened.close()


def backend(tx: Transaction) -> int:
    return int(tx.session.scalar(text("SELECT pg_backend_pid()")) or 0)


def end_backend(database: Database, pid: int) -> None:
    url = database.url.set(drivername="postgresql").render_as_string(hide_password=False)
    with psycopg.connect(url, autocommit=True) as operator:
        operator.execute("SELECT pg_terminate_backend(%s, 5000)", (pid,))


def test_a_connection_that_died_at_rest_is_replaced_unnoticed(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = database.transact(backend)
    end_backend(database, first)
    monkeypatch.setattr(postgresql, "TRUSTED_S", 0.0)
    assert database.transact(backend) != first


def test_no_more_connections_than_are_allowed(postgres_url: str) -> None:
    with closing(Database(postgres_url, pool_size=3)) as database, ThreadPoolExecutor(12) as pool:

        def work(tx: Transaction) -> int:
            tx.session.execute(text("SELECT pg_sleep(0.05)"))
            return backend(tx)

        used = {one.result() for one in [pool.submit(database.transact, work) for _ in range(24)]}
    assert 1 <= len(used) <= 3


def test_of_several_hosts_the_one_that_takes_writes_is_used_and_heard(migrated_postgres_url: str) -> None:
    """Also for notices, over their own connection."""
    url = make_url(migrated_postgres_url)
    host = url.host or str(url.query["host"])
    port = str(url.port or url.query.get("port") or 5432)
    hosts = {"host": f"127.0.0.1,{host}", "port": f"{free_port()},{port}"}
    many = url.set(host=None, port=None, query={**hosts, "target_session_attrs": "read-write"})
    with closing(Database(many.render_as_string(hide_password=False))) as database:
        database.transact(backend)
        listener = ChangeListener(database)
        listener.start()
        assert listener.wait_hearing(30)
        listener.stop()


def test_a_connection_used_a_moment_ago_is_used_again_as_it_is(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgresql, "TRUSTED_S", 3600.0)
    assert database.transact(backend) == database.transact(backend)


def test_a_connection_that_was_lent_when_all_were_closed_is_closed_when_it_comes_back(postgres_url: str) -> None:
    """Regression: it went back into a pool that nobody has any more, and stayed open at the server."""
    database = Database(postgres_url)
    with database.engine.connect() as connection:
        driver = connection.connection.driver_connection
        database.close()
    assert driver is not None
    assert driver.closed
