"""A SQLite database copied while it is in use, and put in the place of another that is not."""

import os
import sqlite3
from contextlib import closing
from datetime import datetime
from pathlib import Path

from sqlalchemy import create_engine, insert
from sqlalchemy.pool import NullPool

from cloud.backup.archive import BackupError, to_disk
from cloud.orders.restores import Restore

PRIMARY = 0xFF
"""Of SQLite's error codes: the kind of error."""


def copy(database: Path, to: Path) -> None:
    """All that is committed, by SQLite's own online backup. Raises `BackupError`."""
    with closing(sqlite3.connect(database)) as source, closing(sqlite3.connect(to)) as target:
        try:
            to.chmod(0o600)
            source.backup(target)  # in one step: in WAL mode nobody waits for it
            target.execute("PRAGMA journal_mode=DELETE").close()
        except sqlite3.OperationalError as error:
            raise BackupError(f"it cannot be copied to {to.parent.parent}: {error}") from error
    check(to)


def check(database: Path) -> None:
    """Raises `BackupError` when the file is not whole."""
    with closing(sqlite3.connect(database)) as connection:
        try:
            verdict = connection.execute("PRAGMA integrity_check").fetchone()[0]
        except sqlite3.DatabaseError as error:
            raise BackupError(f"the copy is no whole database: {error}") from error
    if verdict != "ok":
        raise BackupError(f"the copy is no whole database: {verdict}")


def holds_something(database: Path) -> bool:
    """Whether there are tables in it; of a file that cannot be read nobody knows that there are none."""
    if not database.exists():
        return False
    with closing(sqlite3.connect(database)) as connection:
        try:
            return bool(connection.execute("SELECT 1 FROM sqlite_master WHERE type = 'table'").fetchone())
        except sqlite3.DatabaseError:
            return True


def mark(database: Path, as_of: datetime, now: datetime) -> None:
    """Mark a copy as a copy, before anybody can take it for the present database."""
    engine = create_engine(f"sqlite:///{database}", poolclass=NullPool)
    with engine.begin() as connection:
        connection.execute(insert(Restore).values(as_of=as_of, restored_at=now))
    engine.dispose()


def put_in_place(copied: Path, database: Path) -> None:
    """In one step. Raises `BackupError` while a program has the old one open."""
    if database.exists():
        _let_go(database)
    for left in ("-wal", "-shm"):  # of a file that was moved away they would be read as part of this one
        database.with_name(f"{database.name}{left}").unlink(missing_ok=True)
    os.replace(copied, database)
    to_disk(database.parent)


def _let_go(database: Path) -> None:
    """Its write-ahead log must not outlive it: it would be read as part of the new one."""
    with closing(sqlite3.connect(database, timeout=1.0)) as connection:
        try:
            mode = connection.execute("PRAGMA journal_mode=DELETE").fetchone()[0]
        except sqlite3.DatabaseError as error:
            if error.sqlite_errorcode & PRIMARY != sqlite3.SQLITE_BUSY:
                return  # it cannot be read, and goes as it is
            mode = str(error)
    if mode != "delete":
        raise BackupError(f"a program has {database} open: stop web, worker and run first")
