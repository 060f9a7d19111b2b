"""Rows without tracking: what is written together fails as one statement would, and a new row holds its defaults."""

from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from functools import partial

import pytest
from sqlalchemy import insert, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from cloud.background.heartbeat import WorkerLife
from cloud.database.database import Base, Database
from cloud.database.group_commit import before_commit
from cloud.database.pipeline import together
from cloud.database.plain_rows import fresh, table_of
from cloud.orders.outbox import OutboxRow

NOON = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    opened = Database(database_url)
    Base.metadata.create_all(opened.engine)
    yield opened
    opened.close()


def add_together(session: Session, *names: str) -> None:
    connection = session.connection()
    with together(connection):
        for name in names:
            connection.execute(insert(table_of(WorkerLife)), {"id": name, "seen_at": NOON, "broker_connected": True})


def names(database: Database) -> list[str]:
    with database.read() as session:
        return list(session.scalars(select(WorkerLife.id).order_by(WorkerLife.id)))


def test_what_is_written_together_is_there(database: Database) -> None:
    database.write(add_together, "a", "b", "c")
    assert names(database) == ["a", "b", "c"]


def test_what_the_database_will_not_hold_is_raised_as_ever_and_undoes_all_of_it(database: Database) -> None:
    database.write(add_together, "a")
    with pytest.raises(IntegrityError):
        database.write(add_together, "b", "a", "c")
    assert names(database) == ["a"]


def test_after_a_failure_the_connection_still_serves(database: Database) -> None:
    for _ in range(3):
        with pytest.raises(IntegrityError):
            database.write(add_together, "a", "a")
    database.write(add_together, "a")
    assert names(database) == ["a"]


def test_nothing_at_all_can_be_written_together(database: Database) -> None:
    database.write(add_together)
    assert names(database) == []


def test_a_new_row_holds_the_columns_defaults() -> None:
    row = fresh(OutboxRow, key="cap-1", amount=17900)
    assert (row.key, row.amount, row.attempts, row.verdict, row.call_body, row.settled_at) == (
        "cap-1", 17900, 0, "", None, None,
    )  # fmt: skip


def add_at_the_end(session: Session, *names: str) -> None:
    before_commit(session, partial(add_together, session, *names))


def test_what_fails_in_the_trip_that_commits_undoes_all_of_it_and_spoils_no_connection(
    database_url: str,
) -> None:
    with closing(Database(database_url, pool_size=1)) as database:
        Base.metadata.create_all(database.engine)
        for _ in range(3):
            with pytest.raises(IntegrityError):
                database.write_together("key", add_at_the_end, "a", "b", "a")
        database.write_together("key", add_at_the_end, "a", "b")
        assert names(database) == ["a", "b"]


def test_one_statement_by_itself_is_committed_and_gives_what_it_returns(database: Database) -> None:
    beat = {"id": "a", "seen_at": NOON, "broker_connected": True}
    adding = insert(table_of(WorkerLife)).returning(table_of(WorkerLife).c.id)
    assert [tuple(row) for row in database.write_one(adding, beat)] == [("a",)]
    with pytest.raises(IntegrityError):
        database.write_one(adding, beat)
    assert names(database) == ["a"]
