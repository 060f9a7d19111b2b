"""A program of the version before works on a migrated database where that was promised, and says why where not."""

import logging
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psycopg
import pytest
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, text

from cloud.database.database import Database
from cloud.migrations import build_indexes, migrate, older_programs
from tests.cloud.worlds import World, a_world
from tests.waiting import wait_until


@pytest.fixture
def database(migrated_database: Database) -> Database:
    return migrated_database


def brought_further(database: Database, oldest: str) -> None:
    """What the next program's migration leaves: a revision nobody here knows, and its word on older programs."""
    with database.engine.begin() as connection:
        connection.execute(text("ALTER TABLE orders ADD COLUMN tomorrow VARCHAR(8)"))
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
        connection.execute(text("UPDATE oldest_program SET revision = :oldest"), {"oldest": oldest})


def test_a_newer_database_made_for_older_programs_is_worked_on(
    migrated_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    with a_world(migrated_url) as world:
        brought_further(world.database, migrate.head() or "")
        with caplog.at_level(logging.WARNING):
            assert migrate.check(world.database) == []
        assert "newer than this program" in caplog.text
        migrate.upgrade(world.database)
        assert migrate.current(world.database) == "9999"
        _pours(world)


def _pours(world: World) -> None:
    order_id = world.pay()
    world.publish(order_id)
    assert world.status(order_id) == "make_pending"


def test_one_that_is_not_is_refused_with_what_to_do(database: Database) -> None:
    brought_further(database, "9999")
    [wrong] = migrate.check(database)
    assert "update this program" in wrong
    with pytest.raises(migrate.TooNew):
        migrate.upgrade(database)


def test_the_promise_is_written_with_the_migration(database: Database) -> None:
    with database.engine.connect() as connection:
        written = connection.scalar(text("SELECT revision FROM oldest_program"))
    scripts = ScriptDirectory(str(migrate.FOLDER))
    assert written == older_programs.promised(scripts, "head")


def test_the_last_revision_that_breaks_older_programs_is_named_where_operators_read() -> None:
    last = older_programs.promised(ScriptDirectory(str(migrate.FOLDER)), "head")
    notes = (Path(__file__).parents[3] / "docs" / "upgrading.md").read_text(encoding="utf-8")
    assert f"(the last is {last}, of " in notes


def test_a_missing_index_is_built_and_one_that_was_cut_off_is_built_again(database: Database) -> None:
    with database.engine.begin() as connection:
        connection.execute(text("DROP INDEX ix_orders_drink"))
        if not database.is_sqlite:
            cut_off = "UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'ix_payments_shop'::regclass"
            connection.execute(text(cut_off))
    assert migrate.check(database)
    migrate.upgrade(database)
    assert migrate.check(database) == []
    with database.engine.connect() as connection:
        assert build_indexes.missing(connection, migrate.TABLES) == []
        if not database.is_sqlite:
            assert connection.scalar(text("SELECT count(*) FROM pg_index WHERE NOT indisvalid")) == 0


def test_an_index_that_another_program_is_building_is_left_to_it(
    migrated_postgres_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Regression: it looked like one that was cut off, was dropped, and a third program found it missing."""
    database = Database(migrated_postgres_url)
    with database.engine.begin() as connection:
        connection.execute(text("DROP INDEX ix_orders_drink"))
    with ThreadPoolExecutor(2) as programs, database.engine.connect() as looking:
        with psycopg.connect(migrated_postgres_url.replace("+psycopg", "")) as selling:
            selling.execute("LOCK TABLE orders IN ROW EXCLUSIVE MODE")  # building waits for it
            first = programs.submit(migrate.upgrade, database)
            _until(looking, "SELECT count(*) FROM pg_index WHERE NOT indisvalid")
            second = programs.submit(migrate.upgrade, database)
            _until(looking, "SELECT count(*) FROM pg_stat_activity WHERE query ~ 'pg_try_advisory|^DROP INDEX'"
                            " AND pid <> pg_backend_pid() AND datname = current_database()")  # fmt: skip
        first.result(), second.result()
    assert migrate.check(database) == []
    assert "cut off" not in caplog.text
    database.close()


def _until(connection: Connection, counts: str) -> None:
    def is_so() -> bool:
        connection.rollback()
        return bool(connection.scalar(text(counts)))

    wait_until(is_so, 60, what=counts)
    connection.rollback()
