"""The database: typed base, UTC times, and the one way to change anything: `Database.write(work)`, all or nothing.

SQLite has one writer at a time, so there waiting work is committed in groups, each piece in its own savepoint;
PostgreSQL gets a plain transaction each (architecture: one writer with group commit avoids 2.5 s hiccups).
"""

import threading
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy import Connection, DateTime, Dialect, Engine, MetaData, create_engine, event, make_url, text
from sqlalchemy.orm import DeclarativeBase, Session
from sqlalchemy.pool import NullPool, QueuePool
from sqlalchemy.types import TypeDecorator

from cloud.wake import Bell

T = TypeVar("T")
MAX_GROUP = 64
"""Pieces of work in one SQLite commit: bounds how long the first of them waits for the last."""
SQLITE_BUSY_S = 15.0
NOTIFY_CHANNEL = "coffee_relay"
_RINGS = "rings"


class UtcDateTime(TypeDecorator[datetime]):
    """Aware UTC datetimes on every database (SQLite hands back naive ones)."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Refuse naive times here rather than store a lie."""
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("a naive datetime reached the database")
        utc = value.astimezone(UTC)
        return utc.replace(tzinfo=None) if dialect.name == "sqlite" else utc

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Always aware, always UTC."""
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


class Base(DeclarativeBase):
    """Base of every table; constraint names are fixed so that migrations can name them."""

    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
            "pk": "pk_%(table_name)s",
        }
    )
    type_annotation_map = {datetime: UtcDateTime()}  # noqa: RUF012  # SQLAlchemy reads a plain class attribute


def ring(session: Session, topic: str) -> None:
    """Wake those who wait for `topic` once this session's work is committed, in every process."""
    session.info.setdefault(_RINGS, set()).add(topic)


def normalise_url(url: str) -> str:
    """Spell the driver: SQLAlchemy versions disagree on what `postgresql://` means."""
    for short in ("postgres://", "postgresql://"):
        if url.startswith(short):
            return "postgresql+psycopg://" + url.removeprefix(short)
    return url


class Database:
    """One database, its bell, reading and writing. Safe from any thread."""

    def __init__(self, url: str, pool_size: int = 10) -> None:
        self.url = make_url(normalise_url(url))
        self.bell = Bell()
        self.is_sqlite = self.url.get_backend_name() == "sqlite"
        self._group: _GroupCommit | None = None
        if self.is_sqlite:
            self._make_folder()
            self.engine = self._sqlite_engine("BEGIN", pool_size)
            self._group = _GroupCommit(self._sqlite_engine("BEGIN IMMEDIATE", 1), self.bell)
        else:
            self.engine = create_engine(self.url, pool_size=pool_size, max_overflow=pool_size, pool_pre_ping=True)

    def write(self, work: Callable[..., T], *args: Any, **kwargs: Any) -> T:
        """Run `work(session, *args, **kwargs)` in a transaction; its result once that is committed.

        Whatever `work` raises undoes its changes and comes out here. `work` must do no I/O of its own.
        """
        if self._group is not None:
            return self._group.write(lambda session: work(session, *args, **kwargs))
        with Session(self.engine, expire_on_commit=False) as session:
            result = work(session, *args, **kwargs)
            rings = session.info.pop(_RINGS, set())
            for topic in rings:
                session.execute(text("SELECT pg_notify(:channel, :topic)"), {"channel": NOTIFY_CHANNEL, "topic": topic})
            session.commit()
        self.bell.ring(rings)
        return result

    @contextmanager
    def read(self) -> Iterator[Session]:
        """A session for looking; what it might change is forgotten, what it loaded stays readable."""
        with Session(self.engine, expire_on_commit=False) as session:
            yield session

    def close(self) -> None:
        """Close every connection."""
        self.engine.dispose()
        if self._group is not None:
            self._group.engine.dispose()

    def _make_folder(self) -> None:
        if self.url.database and self.url.database != ":memory:":
            Path(self.url.database).parent.mkdir(parents=True, exist_ok=True)

    def _sqlite_engine(self, begin: str, pool_size: int) -> Engine:
        engine = create_engine(
            self.url,
            poolclass=QueuePool if pool_size else NullPool,
            pool_size=pool_size,
            max_overflow=-1 if pool_size > 1 else 0,
            pool_timeout=60,
            connect_args={"timeout": SQLITE_BUSY_S, "check_same_thread": False},
        )

        @event.listens_for(engine, "connect")
        def _on_connect(connection: Any, _record: Any) -> None:
            connection.isolation_level = None  # we say BEGIN ourselves; the driver's guesses break savepoints
            for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON"):
                connection.execute(f"PRAGMA {pragma}").close()

        @event.listens_for(engine, "begin")
        def _on_begin(connection: Connection) -> None:
            connection.exec_driver_sql(begin)

        return engine


class _GroupCommit:
    """The first thread to come does the work of all who wait, in one transaction and one fsync."""

    def __init__(self, engine: Engine, bell: Bell) -> None:
        self.engine = engine
        self._bell = bell
        self._lock = threading.Lock()
        self._waiting: deque[tuple[Callable[[Session], Any], Future[Any]]] = deque()
        self._writing = threading.Lock()

    def write(self, work: Callable[[Session], T]) -> T:
        future: Future[T] = Future()
        with self._lock:
            self._waiting.append((work, future))
        while not future.done():
            with self._writing:
                if not future.done():
                    self._commit_group()
        return future.result()

    def _commit_group(self) -> None:
        with self._lock:
            group = [self._waiting.popleft() for _ in range(min(MAX_GROUP, len(self._waiting)))]
        done: list[tuple[Future[Any], Any]] = []
        rings: set[str] = set()
        try:
            with self.engine.connect() as connection, connection.begin():
                for work, future in group:
                    self._try(connection, work, future, done, rings)
        except BaseException as error:
            for _, future in group:
                if not future.done():
                    future.set_exception(error)
            if not isinstance(error, Exception):
                raise
            return
        for future, result in done:
            future.set_result(result)
        self._bell.ring(rings)

    @staticmethod
    def _try(
        connection: Connection,
        work: Callable[[Session], Any],
        future: Future[Any],
        done: list[tuple[Future[Any], Any]],
        rings: set[str],
    ) -> None:
        """One piece in its own savepoint: its failure is its own caller's."""
        with Session(connection, expire_on_commit=False, join_transaction_mode="create_savepoint") as session:
            try:
                result = work(session)
                session.commit()
            except Exception as error:  # noqa: BLE001  # handed to the caller who brought the work
                session.rollback()
                future.set_exception(error)
            else:
                done.append((future, result))
                rings |= session.info.pop(_RINGS, set())
