"""The database, and the one way to change anything: `Database.transact(work)`, all or nothing.

SQLite has one writer at a time, so there waiting work is committed in groups; PostgreSQL gets a plain transaction each.
Work with a key (an order's, a machine's) and work that nobody waits for is done in groups on both, so that one
statement does for many (`group_commit.py`).
"""

import logging
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, TypeVar, overload

from sqlalchemy import Engine, Executable, Row, func, make_url, select, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from cloud.database import postgresql, sqlite
from cloud.database.clock import SharedClock
from cloud.database.deferred_writes import DeferredWrites
from cloud.database.group_commit import GroupCommit, Piece
from cloud.database.notify import Notifier
from cloud.database.transaction import Dispatchers, Transaction
from cloud.database.wakeup import Wakeups

log = logging.getLogger("cloud.database.database")

T = TypeVar("T")
PATIENCE_S = 0.1
"""How long work that nobody waits for may wait for more of its kind."""
SQLITE_PATIENCE_S = 0.02
"""There it is in the way of the one writer: a little at a time."""
LOCKED_S = 1.0
"""So long a group waits for an order that somebody else holds; then each is written by itself, and that one fails."""
AT_ONCE_S = 0.05
"""So long a caller that has others to serve, or a group that has waited, waits for a row that somebody holds."""
BESIDE_THE_POOL = 3
"""PostgreSQL connections for what is written together, two at once, and to hear notices."""


class Held(Exception):
    """Somebody else holds a row this work needs."""


def normalise_url(url: str) -> str:
    """Spell the driver: SQLAlchemy versions disagree on what `postgresql://` means."""
    for short in ("postgres://", "postgresql://"):
        if url.startswith(short):
            return "postgresql+psycopg://" + url.removeprefix(short)
    return url


class Database:
    """One database, its wakeups, its clock, reading and writing. Safe from any thread.

    `listen_url`: where other processes' notices are heard, when not at `url` (behind a pooler they are not).
    """

    def __init__(self, url: str, pool_size: int = 20, patience_s: float | None = None, listen_url: str = "") -> None:
        self.url = make_url(normalise_url(url))
        self.listen_url = make_url(normalise_url(listen_url)) if listen_url else self.url
        self.wakeups = Wakeups()
        self.clock = SharedClock()
        self.dispatchers = Dispatchers()
        """Workers of this process that every transaction may give work to."""
        self.is_sqlite = self.url.get_backend_name() == "sqlite"
        self._group: GroupCommit | None = None
        self.notifier: Notifier | None = None
        """For other processes; on SQLite they see by themselves that the file has changed."""
        if self.is_sqlite:
            self._make_folder()
            self.engine = self._reading = sqlite.engine(self.url, "BEGIN", pool_size)
            self._group = GroupCommit(sqlite.engine(self.url, "BEGIN IMMEDIATE", 1), self.dispatchers, self._committed)
            self._together = in_groups = self._group
        else:
            self.engine = postgresql.engine(self.url, pool_size)
            self._by_itself = self.engine.execution_options(**{postgresql.BEGIN: postgresql.STATEMENT_ALONE})
            self._reading = self.engine.execution_options(**{postgresql.BEGIN: postgresql.TO_READ})
            at_once = postgresql.begin_with_limits(AT_ONCE_S)
            self._at_once = self.engine.execution_options(**{postgresql.BEGIN: at_once})
            self.notifier = Notifier(self._by_itself)
            grouping, apart = postgresql.engine(self.url, 2, LOCKED_S), postgresql.lock_limit(AT_ONCE_S)
            self._together, in_groups = (
                GroupCommit(grouping, self.dispatchers, self._committed, apart) for _ in range(2)
            )
        if patience_s is None:
            patience_s = SQLITE_PATIENCE_S if self.is_sqlite else PATIENCE_S
        self._deferred = DeferredWrites(in_groups, patience_s)

    @overload
    def transact(
        self, work: Callable[..., T], *args: Any, key: str = ..., deferred: Literal[False] = ...,
        waits_for_locks: bool = ..., **kwargs: Any,
    ) -> T: ...  # fmt: skip

    @overload
    def transact(
        self, work: Callable[..., T], *args: Any, key: str = ..., deferred: Literal[True], **kwargs: Any
    ) -> "Future[T]": ...

    def transact(
        self, work: Callable[..., T], *args: Any, key: str = "", deferred: bool = False,
        waits_for_locks: bool = True, **kwargs: Any,
    ) -> "T | Future[T]":  # fmt: skip
        """Run `work(tx, *args, **kwargs)` in a transaction; its result once that is committed.

        Whatever `work` raises undoes its changes and comes out here. `work` must do no I/O of its own.

        `key` names what it locks (`order_key`): it shares a transaction with all else that waits, done in the order of
        the keys, so that no two groups wait for each other, and for one key in the order it came. What many keys may
        lock besides (a machine) is locked after all of them (`Transaction.at_the_end`).
        `deferred`: nobody waits for it; within the patience, and a future tells its end.
        `waits_for_locks=False`: raises `Held` at once where somebody else holds a row it needs.
        """

        piece = Piece(work, args, kwargs, key)
        if deferred:
            self._deferred.add(piece)
            return piece.future
        if self._group is not None:
            return self._group.transact(piece)
        if not waits_for_locks:
            return self._unless_held(piece)
        return self._together.transact(piece) if key else self._by_engine(self.engine, piece)

    def execute_autocommit(self, statement: Executable, values: Mapping[str, Any]) -> Sequence[Row[*tuple[Any, ...]]]:
        """Execute one statement that commits itself; return its rows. PostgreSQL is asked once, not three times."""
        if self._group is not None:
            return self._group.transact(Piece(lambda tx: tx.connection.execute(statement, dict(values)).all()))
        with self._by_itself.connect() as connection:
            return connection.execute(statement, dict(values)).all()

    def look(self, statement: Executable, values: Mapping[str, Any]) -> Sequence[Row[*tuple[Any, ...]]]:
        """What a SELECT finds that needs no transaction. PostgreSQL is asked once, not three times."""
        engine = self.engine if self._group is not None else self._by_itself
        with engine.connect() as connection:
            return connection.execute(statement, dict(values)).all()

    def _unless_held(self, piece: Piece[T]) -> T:
        try:
            return self._by_engine(self._at_once, piece)
        except DBAPIError as error:
            if postgresql.is_locked(error):
                raise Held from error
            raise

    def _by_engine(self, engine: Engine, piece: Piece[T]) -> T:
        with engine.begin() as connection, closing(Transaction(connection, self.dispatchers)) as tx:
            result = piece.work(tx, *piece.args, **piece.named)
            tx.finish()
        self._committed(tx)
        return result

    def _committed(self, tx: Transaction) -> None:
        """Do what was to follow, and wake whoever waits for what was done, here and in other processes."""
        for act in tx.acts:
            _do(act)
        if tx.topics:
            self.notify(tx.topics)
        for say in tx.lines:
            say()

    def notify(self, topics: Collection[str]) -> None:
        """Wake all that wait for one of these, in every process: what they wait for is committed."""
        self.wakeups.wake(topics)
        if self.notifier is not None:
            self.notifier.send(topics)

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

    def loses_commits_at_failover(self) -> bool:
        """Whether its address names several servers, and the one that writes waits for none of them as it commits.

        Raises what the database raises.
        """
        if self.is_sqlite or len(postgresql.hosts_of(self.url)) < 2:
            return False
        with self._together.engine.connect() as connection:
            standbys = connection.execute(text("SHOW synchronous_standby_names")).scalar()
            commits = connection.execute(text("SHOW synchronous_commit")).scalar()
        return not standbys or commits in {"off", "local"}

    def _server_time(self) -> datetime:
        with self._by_itself.connect() as connection:
            moment: datetime = connection.execute(select(func.clock_timestamp())).scalar_one()
        return moment.astimezone(UTC)

    def changed_elsewhere(self) -> bool:
        """Whether other processes have changed this SQLite file since we were last asked."""
        return self._group is not None and self._group.changed_elsewhere()

    @contextmanager
    def read(self) -> Iterator[Session]:
        """A session for looking at one moment; it changes nothing, and what it loaded stays readable."""
        with Session(self._reading, expire_on_commit=False) as session:
            yield session

    def close(self) -> None:
        """Write what was deferred, close every connection."""
        self._deferred.close()
        if self.notifier is not None:
            self.notifier.close()
        self.engine.dispose()
        self._together.engine.dispose()

    def _make_folder(self) -> None:
        if self.url.database and self.url.database != ":memory:":
            Path(self.url.database).parent.mkdir(parents=True, exist_ok=True)


def _do(act: Callable[[], None]) -> None:
    """It follows a commit that others may share: its failure is neither theirs nor the commit's."""
    try:
        act()
    except Exception:
        log.exception("what follows a commit failed")
