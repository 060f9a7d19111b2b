"""How SQLite is connected to: its pragmas, its locks, and a file that nobody else may read."""

import logging
import sqlite3
import time
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Engine, create_engine, event
from sqlalchemy.dialects import registry
from sqlalchemy.dialects.sqlite.pysqlite import SQLiteDialect_pysqlite
from sqlalchemy.pool import NullPool, QueuePool

log = logging.getLogger("cloud.database.sqlite")

BUSY_S, RETRY_S = 15.0, 0.05
"""So long a writer waits for another program that writes; and between two tries where SQLite does not wait."""


class ToldHowToBegin(SQLiteDialect_pysqlite):
    """SQLAlchemy's, but for the start of a transaction. An event would do too, and make every statement dearer."""

    supports_statement_cache = True

    def __init__(self, begin: str, **more: Any) -> None:
        super().__init__(**more)
        self._begin = begin

    def do_begin(self, dbapi_connection: Any) -> None:
        """Say it ourselves: the driver's guesses break savepoints."""
        dbapi_connection.execute(self._begin).close()


registry.register("sqlite.told_how_to_begin", __name__, ToldHowToBegin.__name__)


def engine(url: URL, begin: str, pool_size: int) -> Engine:
    """Its transactions start with `begin`."""
    made = create_engine(
        as_ours(url),
        begin=begin,
        poolclass=QueuePool if pool_size else NullPool,
        pool_size=pool_size,
        max_overflow=-1 if pool_size > 1 else 0,
        pool_timeout=60,
        hide_parameters=True,  # an error's text goes into the log, and parameters hold addresses
        connect_args={"timeout": BUSY_S, "check_same_thread": False},
    )

    @event.listens_for(made, "connect")
    def _on_connect(connection: Any, _record: Any) -> None:
        keep_private(url.database)  # before anything is in it
        connection.isolation_level = None  # we say BEGIN ourselves
        write_ahead(connection, BUSY_S)
        for pragma in ("synchronous=FULL", "foreign_keys=ON"):
            connection.execute(f"PRAGMA {pragma}").close()

    return made


def as_ours(url: URL) -> URL:
    """The same file, spoken to by `ToldHowToBegin`."""
    return url.set(drivername="sqlite+told_how_to_begin")


def write_ahead(connection: sqlite3.Connection, patience_s: float) -> None:
    """Switch the file to WAL, for good. Of several that try at once SQLite lets one, and fails the rest at once."""
    deadline = time.monotonic() + patience_s
    while True:
        try:
            connection.execute("PRAGMA journal_mode=WAL").close()
            return
        except sqlite3.OperationalError as error:
            if getattr(error, "sqlite_errorcode", 0) & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                raise
            time.sleep(RETRY_S)


def keep_private(database: str | None) -> None:
    """Buyers' addresses are in the file: it is its owner's alone, and so is what SQLite puts beside it.

    Nothing is opened here: closing a file would end SQLite's locks on it.
    """
    if not database or database == ":memory:":
        return
    for name in (database, f"{database}-wal", f"{database}-shm"):
        file = Path(name)
        try:
            if file.stat().st_mode & 0o077:
                file.chmod(0o600)
        except FileNotFoundError:
            continue
        except OSError as error:
            log.warning("others may read %s, and that cannot be changed: %s", file, error.strerror)
