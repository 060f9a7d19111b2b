"""The database: typed base, UTC times, and the one way to change anything: `Database.write(work)`, all or nothing.

SQLite has one writer at a time, so there waiting work is committed in groups; PostgreSQL gets a plain transaction each.
What concerns one order goes through `write_together`, what nobody waits for through `write_soon`: in groups on both,
so that one statement does for many orders (`cloud/commits.py`).
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
    Executable,
    MetaData,
    Row,
    make_url,
)
from sqlalchemy.orm import DeclarativeBase, Session
from sqlalchemy.types import TypeDecorator

from cloud import engines
from cloud.commits import Done, GroupCommit, Piece, PutBy
from cloud.notices import Notices
from cloud.wake import Bell

T = TypeVar("T")
PATIENCE_S = 0.1
"""How long work that nobody waits for may wait for more of its kind."""
SQLITE_PATIENCE_S = 0.02
"""There it is in the way of the one writer: a little at a time."""
LOCKED_S = 3.0
"""So long a group waits for an order that somebody else holds; then each is written by itself, and that one fails."""


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
    """One database, its bell, reading and writing. Safe from any thread."""

    def __init__(self, url: str, pool_size: int = 10, patience_s: float | None = None) -> None:
        self.url = make_url(normalise_url(url))
        self.bell = Bell()
        self.known: dict[str, Any] = {}
        """What every writing session finds in its `info`."""
        self.is_sqlite = self.url.get_backend_name() == "sqlite"
        self._group: GroupCommit | None = None
        self.notices: Notices | None = None
        """For other processes; on SQLite they see by themselves that the file has changed."""
        if self.is_sqlite:
            self._make_folder()
            self.engine = engines.sqlite(self.url, "BEGIN", pool_size)
            self._group = GroupCommit(engines.sqlite(self.url, "BEGIN IMMEDIATE", 1), self.known, self._tell)
            self._together = put_by = self._group
        else:
            self.engine = engines.postgresql(self.url, pool_size)
            self.notices = Notices(self.engine)
            self._by_itself = self.engine.execution_options(isolation_level="AUTOCOMMIT")
            grouping = engines.postgresql(self.url, 2, LOCKED_S)
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
        with Session(self.engine, expire_on_commit=False, info=self.known) as session:
            result = work(session, *args, **kwargs)
            done = Done(session)
            session.commit()
        self._tell(done)
        return result

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
