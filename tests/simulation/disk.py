"""Databases that survive a crash as committed: real SQLite files in memory, each commit of which may be the last.

A template file is copied for each world: making the tables anew would take longer than the world.
"""

import shutil
import sqlite3
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import sqlalchemy
from sqlalchemy import Engine
from sqlalchemy.pool import QueuePool

from cloud.database import sqlite
from cloud.database.database import Database
from cloud.migrations import migrate
from tests.simulation.scheduler import Process

IN_MEMORY = Path("/dev/shm")
_PARTS = ("", "-wal", "-shm")
NOBODY = Process("the world")
"""Who looks at a world and mends it: a database never fails them."""


def a_folder() -> "tempfile.TemporaryDirectory[str]":
    """Where a run keeps its files; in memory where the system offers that."""
    return tempfile.TemporaryDirectory(prefix="coffee-worlds-", dir=IN_MEMORY if IN_MEMORY.is_dir() else None)


class Connection(sqlite3.Connection):
    """Its process may die right before a commit (which is then lost) or right after (durable, and nobody was told)."""

    owner: Process
    on_change: Callable[[], None]
    on_close: Callable[["Connection"], object]
    fails: Callable[[], bool]
    is_away: Callable[[], bool]
    _counted = 0

    def cursor(self, *args: Any, **options: Any) -> Any:
        if self.is_away():
            raise sqlite3.OperationalError("the database is away")
        return super().cursor(*args, **options)

    def close(self) -> None:
        self.on_close(self)
        super().close()

    def commit(self) -> None:
        changes = self.total_changes
        if changes == self._counted:
            super().commit()
            return
        self.owner.die_here("before a commit: it is lost")
        if self.fails():
            raise sqlite3.OperationalError("the database is away")
        super().commit()
        self._counted = changes
        self.on_change()
        self.owner.die_here("after a commit")


class Engines:
    """Makes engines as `sqlalchemy.create_engine` does, for one process after the other.

    What SQLAlchemy compiled once is kept: it depends on no world.
    """

    def __init__(self) -> None:
        self._models: dict[str, Engine] = {}
        """By how a transaction begins."""
        self.owner = Process("nobody")
        self.on_change: Callable[[], None] = lambda: None
        self.fails: Callable[[], bool] = lambda: False
        """Asked at each commit: does the database refuse this one?"""
        self.is_away: Callable[[], bool] = lambda: False
        """Asked at each statement: does the database answer none?"""
        self.open: dict[Connection, None] = {}
        """Connections of the present world."""

    def create(self, url: Any, begin: str, **_options: Any) -> Engine:
        path, owner = str(sqlalchemy.make_url(url).database), self.owner
        model = self._model(begin)

        def connect() -> Any:
            made = sqlite3.connect(path, isolation_level=None, check_same_thread=False, factory=Connection)
            made.owner, made.on_change = owner, self.on_change
            made.fails, made.is_away = (_never, _never) if owner is NOBODY else (self.fails, self.is_away)
            made.on_close = lambda closed: self.open.pop(closed, None)
            self.open[made] = None
            return made

        pool = QueuePool(connect, pool_size=2, max_overflow=-1, dialect=model.dialect)
        engine = Engine(pool, model.dialect, sqlalchemy.make_url(url), hide_parameters=True)
        engine._compiled_cache = model._compiled_cache
        return engine

    def _model(self, begin: str) -> Engine:
        if begin not in self._models:
            memory = sqlite.as_ours(sqlalchemy.make_url("sqlite://"))
            made = sqlalchemy.create_engine(memory, begin=begin, query_cache_size=5_000, hide_parameters=True)
            with made.connect():
                pass
            self._models[begin] = made
        return self._models[begin]

    def in_transaction(self, process: Process) -> bool:
        """Whether this process holds one open right now."""
        return any(made.owner is process and made.in_transaction for made in self.open)

    @contextmanager
    def nobodys(self, url: str) -> Iterator[Database]:
        """A database that belongs to no process."""
        self.owner = NOBODY
        database = Database(url, patience_s=0)
        try:
            yield database
        finally:
            database.close()

    def close_all(self) -> None:
        for made in list(self.open):
            made.close()


def _never() -> bool:
    return False


class Disk:
    """One database file, and the raw look at it that is nobody's process."""

    def __init__(self, template: Path, path: Path) -> None:
        self.path = path
        for part in _PARTS:
            path.with_name(path.name + part).unlink(missing_ok=True)
        shutil.copyfile(template, path)
        self.url = f"sqlite:///{path}"
        self._backup = path.with_name(path.name + ".backup")
        self._backup.unlink(missing_ok=True)
        self.look = sqlite3.connect(path, isolation_level=None)
        self.look.row_factory = sqlite3.Row
        self.look.execute("PRAGMA query_only=ON")

    def back_up(self) -> None:
        """Keep all that is committed in a file of its own."""
        with closing(sqlite3.connect(self._backup)) as backup:
            self.look.backup(backup)

    def put_back(self) -> None:
        """Make it what it was at the last backup; nobody may be in a transaction."""
        with closing(sqlite3.connect(self._backup)) as backup, closing(sqlite3.connect(self.path)) as database:
            backup.backup(database)

    def close(self) -> None:
        self.look.close()


def make_template(path: Path, furnish: Callable[[Database], None]) -> Path:
    """An empty database of today's shape with a fleet in it, all of it in the one file."""
    database = Database(f"sqlite:///{path}", patience_s=0)
    try:
        migrate.upgrade(database)
        furnish(database)
    finally:
        database.close()
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()
    return path
