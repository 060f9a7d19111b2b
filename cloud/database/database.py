"""The database: typed base, UTC times, and the one way to change anything: `Database.write(work)`, all or nothing.

SQLite has one writer at a time, so there waiting work is committed in groups; PostgreSQL gets a plain transaction each.
What concerns one order goes through `write_together`, what nobody waits for through `write_soon`: in groups on both,
so that one statement does for many orders (`cloud/database/group_commit.py`).
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy import (
    DateTime,
    Dialect,
    Engine,
    Executable,
    MetaData,
    Row,
    func,
    make_url,
    select,
    text,
)
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import DeclarativeBase, Session
from sqlalchemy.types import TypeDecorator

from cloud.database import postgresql, sqlite
from cloud.database.clock import SharedClock
from cloud.database.group_commit import Done, GroupCommit, Piece, PutBy
from cloud.database.notify import Notices
from cloud.database.wakeup import Bell

T = TypeVar("T")
PATIENCE_S = 0.1
"""How long work that nobody waits for may wait for more of its kind."""
SQLITE_PATIENCE_S = 0.02
"""There it is in the way of the one writer: a little at a time."""
LOCKED_S = 1.0
"""So long a group waits for an order that somebody else holds; then each is written by itself, and that one fails."""
AT_ONCE_S = 0.05
"""So long who has others to serve waits for a row that somebody holds."""


class Held(Exception):
    """Somebody else holds a row this work needs."""


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


def normalise_url(url: str) -> str:
    """Spell the driver: SQLAlchemy versions disagree on what `postgresql://` means."""
    for short in ("postgres://", "postgresql://"):
        if url.startswith(short):
            return "postgresql+psycopg://" + url.removeprefix(short)
    return url


class Database:
    """One database, its bell, its clock, reading and writing. Safe from any thread.

    `listen_url`: where other processes' notices are heard, when not at `url` (behind a pooler they are not).
    """

    def __init__(self, url: str, pool_size: int = 10, patience_s: float | None = None, listen_url: str = "") -> None:
        self.url = make_url(normalise_url(url))
        self.listen_url = make_url(normalise_url(listen_url)) if listen_url else self.url
        self.bell = Bell()
        self.clock = SharedClock()
        self.known: dict[str, Any] = {}
        """What every writing session finds in its `info`."""
        self.is_sqlite = self.url.get_backend_name() == "sqlite"
        self._group: GroupCommit | None = None
        self.notices: Notices | None = None
        """For other processes; on SQLite they see by themselves that the file has changed."""
        if self.is_sqlite:
            self._make_folder()
            self.engine = sqlite.engine(self.url, "BEGIN", pool_size)
            self._group = GroupCommit(sqlite.engine(self.url, "BEGIN IMMEDIATE", 1), self.known, self._tell)
            self._together = put_by = self._group
        else:
            self.engine = postgresql.engine(self.url, pool_size)
            self._by_itself = self.engine.execution_options(**{postgresql.STATEMENT_ALONE: True})
            self._at_once = self.engine.execution_options(**{postgresql.LOCKED_OPTION: AT_ONCE_S})
            self.notices = Notices(self._by_itself)
            grouping = postgresql.engine(self.url, 2, LOCKED_S)
            self._together, put_by = (GroupCommit(grouping, self.known, self._tell) for _ in range(2))
        if patience_s is None:
            patience_s = SQLITE_PATIENCE_S if self.is_sqlite else PATIENCE_S
        self._put_by = PutBy(put_by, patience_s) if patience_s else None

    def write(self, work: Callable[..., T], *args: Any, **kwargs: Any) -> T:
        """Run `work(session, *args, **kwargs)` in a transaction; its result once that is committed.

        Whatever `work` raises undoes its changes and comes out here. `work` must do no I/O of its own.
        """
        if self._group is not None:
            return self._group.write(lambda session: work(session, *args, **kwargs))
        return self._write(self.engine, lambda session: work(session, *args, **kwargs))

    def write_unless_held(self, work: Callable[..., T], *args: Any, **kwargs: Any) -> T:
        """`write` for one who has others to serve. Raises `Held` at once where somebody else holds a row it needs."""
        if self._group is not None:
            return self._group.write(lambda session: work(session, *args, **kwargs))
        try:
            return self._write(self._at_once, lambda session: work(session, *args, **kwargs))
        except DBAPIError as error:
            if postgresql.is_locked(error):
                raise Held from error
            raise

    def write_one(self, statement: Executable, values: Mapping[str, Any]) -> Sequence[Row[*tuple[Any, ...]]]:
        """One statement that is a transaction by itself; what it returns. PostgreSQL is asked once, not three times."""
        if self._group is not None:
            return self._group.write(lambda session: session.connection().execute(statement, dict(values)).all())
        with self._by_itself.connect() as connection:
            return connection.execute(statement, dict(values)).all()

    def write_together(self, key: str, work: Callable[..., T], *args: Any, **kwargs: Any) -> T:
        """`write`, at once, in one transaction and one session with all else of the kind that waits.

        `key` names what it locks; the work of a group is done in the order of the keys, so that no two groups wait for
        each other, and that of one key in the order it came.
        """
        return self._together.write(lambda session: work(session, *args, **kwargs), key)

    def write_soon(self, key: str, work: Callable[..., T], *args: Any, **kwargs: Any) -> "Future[T]":
        """`write_together` for what nobody waits for: within the patience. The future tells its end."""
        future: Future[T] = Future()
        if self._put_by is not None:
            self._put_by.add(Piece(lambda session: work(session, *args, **kwargs), future, key))
            return future
        try:
            future.set_result(self.write(work, *args, **kwargs))
        except Exception as error:  # noqa: BLE001  # handed to the caller who brought the work
            future.set_exception(error)
        return future

    def _write(self, engine: Engine, work: Callable[[Session], T]) -> T:
        with Session(engine, expire_on_commit=False, info=self.known) as session:
            result = work(session)
            done = Done(session)
            session.commit()
        self._tell(done)
        return result

    def set_clock(self) -> None:
        """Take over the server's time. A SQLite file is used by programs of one host, which have one clock.

        Raises what the database raises.
        """
        if not self.is_sqlite:
            self.clock.set_by(self._server_time)

    def is_read_only(self) -> bool:
        """Whether the server refuses to write, asked over a connection of those that do the work.

        Raises what the database raises.
        """
        if self.is_sqlite:
            return False
        with self._together.engine.connect() as connection:
            return connection.execute(text("SHOW transaction_read_only")).scalar() == "on"

    def _server_time(self) -> datetime:
        with self._by_itself.connect() as connection:
            moment: datetime = connection.execute(select(func.clock_timestamp())).scalar_one()
        return moment.astimezone(UTC)

    def changed_elsewhere(self) -> bool:
        """Whether other processes have changed this SQLite file since we were last asked."""
        return self._group is not None and self._group.changed_elsewhere()

    def _tell(self, done: Done) -> None:
        done.tell(self.bell)
        if done.rings and self.notices is not None:
            self.notices.tell(done.rings)

    @contextmanager
    def read(self) -> Iterator[Session]:
        """A session for looking; what it might change is forgotten, what it loaded stays readable."""
        with Session(self.engine, expire_on_commit=False) as session:
            yield session

    def close(self) -> None:
        """Write what was put by, close every connection."""
        if self._put_by is not None:
            self._put_by.close()
        if self.notices is not None:
            self.notices.close()
        self.engine.dispose()
        self._together.engine.dispose()

    def _make_folder(self) -> None:
        if self.url.database and self.url.database != ":memory:":
            Path(self.url.database).parent.mkdir(parents=True, exist_ok=True)
