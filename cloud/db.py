"""The database: typed base, UTC times, and the one way to change anything: `Database.write(work)`, all or nothing.

SQLite has one writer at a time, so there waiting work is committed in groups, each piece in its own savepoint;
PostgreSQL gets a plain transaction each (architecture: one writer with group commit avoids 2.5 s hiccups).
"""

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy import (
    Connection,
    DateTime,
    Dialect,
    Engine,
    MetaData,
    create_engine,
    event,
    make_url,
)
from sqlalchemy.exc import DisconnectionError
from sqlalchemy.orm import DeclarativeBase, Session
from sqlalchemy.orm.session import JoinTransactionMode
from sqlalchemy.pool import ConnectionPoolEntry, NullPool, QueuePool
from sqlalchemy.types import TypeDecorator

from cloud.notices import Notices
from cloud.wake import Bell

T = TypeVar("T")
MAX_GROUP = 64
"""Pieces of work in one SQLite commit: bounds how long the first of them waits for the last."""
SQLITE_BUSY_S = 15.0
TRUSTED_S = 1.0
"""A PostgreSQL connection that worked this recently is used without asking whether it still does."""
_RINGS = "rings"
_AFTERWARDS = "afterwards"
_LAST = "last"


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


def after_commit(session: Session, act: Callable[[], None]) -> None:
    """Have `act` called in this process once this session's work is committed. It must return at once and not fail."""
    session.info.setdefault(_AFTERWARDS, []).append(act)


def before_commit(session: Session, act: Callable[[], None]) -> None:
    """Have `act` called last in this session's transaction; what it raises undoes everything."""
    session.info.setdefault(_LAST, []).append(act)


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
        self.known: dict[str, Any] = {}
        """What every writing session finds in its `info`."""
        self.is_sqlite = self.url.get_backend_name() == "sqlite"
        self._group: _GroupCommit | None = None
        self.notices: Notices | None = None
        """For other processes; on SQLite they see by themselves that the file has changed."""
        if self.is_sqlite:
            self._make_folder()
            self.engine = self._sqlite_engine("BEGIN", pool_size)
            self._group = _GroupCommit(self._sqlite_engine("BEGIN IMMEDIATE", 1), self.bell, self.known)
        else:
            self.engine = create_engine(self.url, pool_size=pool_size, max_overflow=pool_size, hide_parameters=True)
            _ping_when_idle(self.engine)
            self.notices = Notices(self.engine)

    def write(self, work: Callable[..., T], *args: Any, **kwargs: Any) -> T:
        """Run `work(session, *args, **kwargs)` in a transaction; its result once that is committed.

        Whatever `work` raises undoes its changes and comes out here. `work` must do no I/O of its own.
        """
        if self._group is not None:
            return self._group.write(lambda session: work(session, *args, **kwargs))
        with Session(self.engine, expire_on_commit=False, info=self.known) as session:
            result = work(session, *args, **kwargs)
            done = _finish(session)
            session.commit()
        done.tell(self.bell)
        if done.rings and self.notices is not None:
            self.notices.tell(done.rings)
        return result

    @contextmanager
    def read(self) -> Iterator[Session]:
        """A session for looking; what it might change is forgotten, what it loaded stays readable."""
        with Session(self.engine, expire_on_commit=False) as session:
            yield session

    def close(self) -> None:
        """Close every connection."""
        if self.notices is not None:
            self.notices.close()
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
            hide_parameters=True,  # an error's text goes into the log, and parameters hold addresses
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


def _ping_when_idle(engine: Engine) -> None:
    """Try a connection before it is used again after a rest: the server may have been restarted meanwhile.

    `pool_pre_ping` would ask before every transaction, a round trip each.
    """

    @event.listens_for(engine, "checkin")
    def _on_checkin(_connection: Any, record: ConnectionPoolEntry) -> None:
        record.info["used_at"] = time.monotonic()

    @event.listens_for(engine, "checkout")
    def _on_checkout(connection: Any, record: ConnectionPoolEntry, _proxy: Any) -> None:
        if time.monotonic() - record.info.get("used_at", time.monotonic()) < TRUSTED_S:
            return
        try:
            engine.dialect.do_ping(connection)
        except engine.dialect.loaded_dbapi.Error as error:
            raise DisconnectionError("the connection died while nobody used it") from error


def _finish(session: Session) -> "_Done":
    """Everything written that was put off until now; what follows the commit."""
    for act in session.info.pop(_LAST, ()):
        act()
    return _Done(session)


class _Done:
    """What is to happen once a session's work is committed."""

    def __init__(self, session: Session) -> None:
        self.rings: set[str] = session.info.pop(_RINGS, set())
        self._acts: list[Callable[[], None]] = session.info.pop(_AFTERWARDS, [])

    def tell(self, bell: Bell) -> None:
        """Wake whoever waits for it in this process."""
        for act in self._acts:
            act()
        bell.ring(self.rings)


_Piece = tuple[Callable[[Session], Any], Future[Any]]
_Finished = tuple[Future[Any], Any, _Done]
"""One piece of work: whoever waits for it, its result, what follows."""


class _GroupCommit:
    """The first thread to come does the work of all who wait, in one transaction and one fsync."""

    def __init__(self, engine: Engine, bell: Bell, known: dict[str, Any]) -> None:
        self.engine = engine
        self._bell = bell
        self._known = known
        self._lock = threading.Lock()
        self._waiting: deque[_Piece] = deque()
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
        try:
            finished = self._commit_as_one(group)
        except Exception as error:  # noqa: BLE001  # handed to the caller who brought the work
            finished = self._commit_apart(group) if len(group) > 1 else _failed(group, error)
        except BaseException as error:
            _failed(group, error)
            raise
        for future, result, _ in finished:  # first, so that no act can leave a caller waiting
            future.set_result(result)
        for _, _, done in finished:
            done.tell(self._bell)

    def _commit_as_one(self, group: list[_Piece]) -> list[_Finished]:
        """All or nothing, without savepoints: nearly always nothing fails."""
        finished: list[_Finished] = []
        with self.engine.connect() as connection, connection.begin():
            for work, future in group:
                with self._session(connection, "rollback_only") as session:
                    result = work(session)
                    done = _finish(session)
                    session.flush()
                    finished.append((future, result, done))
        return finished

    def _commit_apart(self, group: list[_Piece]) -> list[_Finished]:
        """Once more, each piece in its own savepoint: its failure is its own caller's."""
        finished: list[_Finished] = []
        try:
            with self.engine.connect() as connection, connection.begin():
                for work, future in group:
                    with self._session(connection, "create_savepoint") as session:
                        try:
                            result = work(session)
                            done = _finish(session)
                            session.commit()
                        except Exception as error:  # noqa: BLE001  # handed to the caller who brought the work
                            session.rollback()
                            future.set_exception(error)
                        else:
                            finished.append((future, result, done))
        except BaseException as error:
            _failed(group, error)
            if not isinstance(error, Exception):
                raise
            return []
        return finished

    def _session(self, connection: Connection, mode: JoinTransactionMode) -> Session:
        return Session(connection, expire_on_commit=False, join_transaction_mode=mode, info=self._known)


def _failed(group: list[_Piece], error: BaseException) -> list[_Finished]:
    for _, future in group:
        if not future.done():
            future.set_exception(error)
    return []
