"""A PostgreSQL connection that died while nobody used it is noticed before it is used again."""

from collections.abc import Iterator

import psycopg
import pytest
from sqlalchemy import text

from cloud.database import postgresql
from cloud.database.database import Database
from cloud.database.transaction import Transaction


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


def test_a_connection_used_a_moment_ago_is_used_again_as_it_is(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgresql, "TRUSTED_S", 3600.0)
    assert database.transact(backend) == database.transact(backend)
