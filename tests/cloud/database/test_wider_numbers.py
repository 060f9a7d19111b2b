"""Numbers of what every order grows, on PostgreSQL: 64 bits of them, and how a database at work comes by those."""

from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from typing import Any

import pytest
from pytest_mock import MockerFixture
from sqlalchemy import Engine, event, inspect, select, text
from sqlalchemy.exc import NotSupportedError, OperationalError

from cloud.database.database import Database
from cloud.database.plain_rows import table_of
from cloud.migrations import migrate
from cloud.orders import outbox
from cloud.orders.outbox import OutboxRow
from cloud.orders.tasks import Lane
from protocol.reasons import Result
from tests.cloud.worlds import START, a_world

GROWING = ("order_changes", "movements", "outbox", "provider_news", "commissions", "receipts")
MORE_THAN_PREPARES = 12
ALL_ROWS = select(table_of(OutboxRow))


@pytest.fixture
def at_work(postgres_url: str) -> Iterator[Database]:
    """At the revision before."""
    with closing(Database(postgres_url)) as database:
        migrate.upgrade(database, "0046")
        yield database


@contextmanager
def altered() -> Iterator[list[str]]:
    """The statements that change a table, as they are said by anybody in this process."""
    said: list[str] = []

    def note(_connection: Any, _cursor: Any, statement: str, *_rest: Any) -> None:
        if statement.startswith("ALTER TABLE"):
            said.append(statement)

    event.listen(Engine, "before_cursor_execute", note)
    try:
        yield said
    finally:
        event.remove(Engine, "before_cursor_execute", note)


def test_they_go_on_where_32_bits_end(migrated_postgres_url: str) -> None:
    """A busy fleet was there within months, and stood still for ever."""
    with a_world(migrated_postgres_url) as world:
        with world.database.engine.begin() as connection:
            for table in GROWING:
                connection.execute(text(f"SELECT setval(pg_get_serial_sequence('{table}', 'id'), {(1 << 31) - 1})"))
        order_id = world.pay()
        world.publish(order_id)
        world.report(order_id, Result.DONE)
        assert world.status(order_id) == "successful"
        assert world.history(order_id)[0].id == 1 << 31
        found = inspect(world.database.engine)
        assert {str(c["type"]) for t in GROWING for c in found.get_columns(t) if c["name"] == "id"} == {"BIGINT"}


def _claim(database: Database) -> object:
    return database.transact(outbox.claim, Lane.MQTT, START, outbox.Lease("courier", 60.0))


def _read(database: Database) -> object:
    with database.read() as session:
        return session.execute(ALL_ROWS).all()


def _look(database: Database) -> object:
    return database.look(ALL_ROWS, {})


@pytest.mark.parametrize("way", [_claim, _read, _look])
def test_a_program_at_work_goes_on(at_work: Database, way: Callable[[Database], object]) -> None:
    """PostgreSQL refuses what a connection had prepared before, once."""
    for _ in range(MORE_THAN_PREPARES):
        way(at_work)
    with closing(Database(at_work.url.render_as_string(hide_password=False))) as migrating:
        migrate.upgrade(migrating)
    with pytest.raises(NotSupportedError, match="cached plan"):
        way(at_work)
    assert way(at_work) == []


def test_nothing_is_written_anew_while_somebody_is_in_the_way(at_work: Database, mocker: MockerFixture) -> None:
    """It would be for nothing, at each try."""
    mocker.patch.object(migrate, "LOCK_TRIES", 1)
    mocker.patch.object(migrate, "LOCK_TIMEOUT_S", 1)
    with at_work.engine.begin() as reader, altered() as said:
        reader.execute(text(f"SELECT FROM {GROWING[-1]}"))
        with pytest.raises(OperationalError, match="lock timeout"):
            migrate.upgrade(at_work)
    assert said == []
    migrate.upgrade(at_work)
    assert migrate.check(at_work) == []


def test_going_back_is_refused_once_they_do_not_fit(at_work: Database) -> None:
    migrate.upgrade(at_work)
    with at_work.engine.begin() as connection:
        connection.execute(text(f"SELECT setval('outbox_id_seq', {1 << 31})"))
    with pytest.raises(Exception, match="outbox_id_seq"):
        migrate.downgrade(at_work, "0046")
    assert migrate.check(at_work) == []
