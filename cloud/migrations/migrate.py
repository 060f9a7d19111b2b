"""Brings a database to the shape the code expects, and tells whether it has it; twice and by several at once is safe.

`python -m cloud.migrations.migrate "what changes"` drafts the next revision from the models; a person finishes it.
"""

import logging
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine, create_engine, event, func, select
from sqlalchemy.exc import OperationalError
from sqlalchemy.pool import NullPool

import cloud.access.models
import cloud.alerts.models
import cloud.background.heartbeat
import cloud.books.exports
import cloud.buyer.reservation
import cloud.courier.device_jobs
import cloud.courier.reader_lease
import cloud.fleet.broker_identities
import cloud.fleet.enrolment
import cloud.fleet.hand_edits
import cloud.fleet.machine_events
import cloud.fleet.models
import cloud.fleet.presence_history
import cloud.fleet.probes
import cloud.fleet.replaced_credentials
import cloud.metrics.totals
import cloud.orders.archive
import cloud.orders.claims
import cloud.orders.commissions
import cloud.orders.models
import cloud.orders.order_hours
import cloud.orders.outbox
import cloud.orders.receipts
import cloud.orders.restores
import cloud.orders.return_requests
import cloud.orders.sales_tables
import cloud.payments.models
import cloud.payments.reconcile.models
import cloud.releases.models  # noqa: F401  # importing declares the tables
from cloud.database import postgresql, sqlite
from cloud.database.base import Base
from cloud.database.database import Database
from cloud.migrations import build_indexes, older_programs
from cloud.migrations.append_only import unprotected

log = logging.getLogger("cloud.migrations")

TABLES = Base.metadata
"""Every table of the cloud."""
FOLDER = Path(__file__).parent
HEAD = "head"
LOCK_KEY = 0x0C0FFEE
"""The PostgreSQL advisory lock of whoever migrates; any number nothing else in this database uses."""
BUILD_KEY, BUILD_PAUSE_S = LOCK_KEY + 1, 0.1
"""The same for whoever builds indexes after it."""
SQLITE_WAIT_S = 120.0
"""Another process may be copying a large table: wait for it rather than fail to start."""
LOCK_TIMEOUT_S, LOCK_TRIES, LOCK_PAUSE_S = 5, 60, 2.0
"""PostgreSQL: a program that waits for a table's lock keeps all behind it waiting."""


class TooNew(Exception):
    """The database was migrated by a newer program, and is not made for this one."""


def upgrade(database: Database, revision: str = HEAD) -> None:
    """Apply what is missing up to `revision`: all of it or nothing. Others that migrate meanwhile wait their turn.

    A newer database that this program may work on is left as it is. Raises `TooNew` for another. Indexes follow, each
    by itself. A program that is in the way of a changed table for long is not waited for in front of everybody else's
    work: the lock is asked for again and again.
    """
    if (at := current(database)) is not None and not is_known(at):
        if wrong := check(database):
            raise TooNew(wrong[0])
        return
    _again_while_locked(lambda: _upgrade(database, revision))
    if revision == HEAD:
        _build_indexes(database)


def _again_while_locked(work: Callable[[], None]) -> None:
    for left in reversed(range(LOCK_TRIES)):
        try:
            work()
            return
        except OperationalError as error:
            if not left or not postgresql.is_locked(error):
                raise
            time.sleep(LOCK_PAUSE_S)


def _upgrade(database: Database, revision: str) -> None:
    with _alone(database) as connection:
        config = _config(connection)
        command.upgrade(config, revision)
        at = MigrationContext.configure(connection).get_current_revision()
        older_programs.write_down(connection, ScriptDirectory.from_config(config), at)


def _build_indexes(database: Database) -> None:
    if database.is_sqlite:
        with _alone(database) as connection:
            build_indexes.build(connection, TABLES)
        return
    engine = postgresql.patient_engine(database.listen_url)
    try:
        with engine.connect() as bare:
            connection = bare.execution_options(**{postgresql.BEGIN: postgresql.STATEMENT_ALONE})
            _wait_to_build(connection)
            build_indexes.build(connection, TABLES)
    finally:
        engine.dispose()


def _wait_to_build(connection: Connection) -> None:
    """Wait to build alone: an index another process is building looks like one whose building was cut off.

    The lock is asked for again and again: a wait inside a statement would block the very building it waits for. The
    lock goes with the connection.
    """
    while not connection.scalar(select(func.pg_try_advisory_lock(BUILD_KEY))):
        time.sleep(BUILD_PAUSE_S)


def downgrade(database: Database, revision: str) -> None:
    """Undo the revisions after `revision`. What only they could store is lost; they refuse where that is an order."""

    def work() -> None:
        with _alone(database) as connection:
            command.downgrade(_config(connection), revision)

    _again_while_locked(work)


def current(database: Database) -> str | None:
    """The revision a database is at; None when it has never been migrated."""
    with database.engine.connect() as connection:
        return MigrationContext.configure(connection).get_current_revision()


def head() -> str:
    """The revision this code was written for."""
    return _revisions()[0]


def is_known(revision: str) -> bool:
    """Whether this code can bring a database from this revision to its own."""
    return revision in _revisions()


@cache
def _revisions() -> list[str]:
    """All this code knows, the newest first; each is a file that is read and run to know its name."""
    return [script.revision for script in ScriptDirectory.from_config(_config()).walk_revisions()]


def check(database: Database) -> list[str]:
    """How a database differs from the models, one sentence each; empty when it is as the code expects."""
    at = current(database)
    if at is not None and not is_known(at):
        with database.engine.connect() as connection:
            if older_programs.may_work(connection, head()):
                log.warning("the database is newer than this program, and made for it too: %s, %s", at, head())
                return []
        return [f"the database is at revision {at}, and not for programs of {head()} any more: update this program"]
    if at != head():
        return [f"the database is at revision {at or 'none'}, this program needs {head()}: run coffee-cloud migrate"]
    with database.engine.connect() as connection:
        differences = compare_metadata(MigrationContext.configure(connection), TABLES)
        return [str(difference) for difference in differences] + unprotected(connection)


def draft(message: str) -> None:
    """Write the next revision's file, as Alembic guesses it from the models."""
    with tempfile.TemporaryDirectory() as folder:
        database = Database(f"sqlite:///{folder}/draft.db")
        upgrade(database)
        with _alone(database) as connection:
            config = _config(connection)
            revisions = list(ScriptDirectory.from_config(config).walk_revisions())
            command.revision(config, message, autogenerate=True, rev_id=f"{len(revisions) + 1:04}")
        database.close()


def _config(connection: Connection | None = None) -> Config:
    config = Config(attributes={"connection": connection})
    config.set_main_option("script_location", str(FOLDER).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    return config


@contextmanager
def _alone(database: Database) -> Iterator[Connection]:
    """A transaction no other program that migrates can be in at the same time."""
    if database.is_sqlite:
        with _alone_in_sqlite(database) as connection:
            yield connection
    else:
        engine = postgresql.patient_engine(database.url)
        try:
            with engine.begin() as connection:
                connection.execute(select(func.pg_advisory_xact_lock(LOCK_KEY)))  # let go by the commit itself
                connection.exec_driver_sql(f"SET LOCAL lock_timeout = '{LOCK_TIMEOUT_S}s'")
                yield connection
        finally:
            engine.dispose()


@contextmanager
def _alone_in_sqlite(database: Database) -> Iterator[Connection]:
    """The write lock from the first statement on; foreign keys are off while tables are copied, and checked after."""
    engine = _sqlite_engine(database)
    try:
        with engine.begin() as connection:
            yield connection
            broken = connection.exec_driver_sql("PRAGMA foreign_key_check").all()
            if broken:
                raise RuntimeError(f"migrating would leave {len(broken)} rows without what they refer to: {broken[:3]}")
    finally:
        engine.dispose()


def _sqlite_engine(database: Database) -> Engine:
    engine = create_engine(database.url, poolclass=NullPool, connect_args={"timeout": SQLITE_WAIT_S})

    @event.listens_for(engine, "connect")
    def _on_connect(connection: Any, _record: Any) -> None:
        sqlite.keep_private(database.url.database)
        connection.isolation_level = None
        sqlite.write_ahead(connection, SQLITE_WAIT_S)
        # With foreign keys on, dropping the old copy of a table would delete what refers to it.
        connection.execute("PRAGMA foreign_keys=OFF").close()

    @event.listens_for(engine, "begin")
    def _on_begin(connection: Connection) -> None:
        connection.exec_driver_sql("BEGIN IMMEDIATE")

    return engine


if __name__ == "__main__":
    draft(" ".join(sys.argv[1:]))
