"""What follows a commit, and commits of more than one piece of work: all in one transaction and one fsync.

SQLite has one writer at a time, so waiting work is committed in groups (architecture: one writer with group commit
avoids 2.5 s hiccups). What nobody waits for is put by on both databases, and a group of it written now and then.
"""

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain
from typing import Any, TypeVar

from sqlalchemy import Connection, Engine, RootTransaction
from sqlalchemy.orm import Session
from sqlalchemy.orm.session import JoinTransactionMode

from cloud.database.pipeline import together
from cloud.database.wakeup import Bell

log = logging.getLogger("cloud.database.group_commit")

T = TypeVar("T")
MAX_GROUP = 64
"""Pieces of work in one commit: bounds how long the first of them waits for the last."""
STOP_WITHIN_S = 10.0
_RINGS = "rings"
_AFTERWARDS = "afterwards"
_LAST = "last"
_COMING = "coming"


def ring(session: Session, topic: str) -> None:
    """Wake those who wait for `topic` once this session's work is committed, in every process."""
    session.info.setdefault(_RINGS, set()).add(topic)


def after_commit(session: Session, act: Callable[[], None]) -> None:
    """Have `act` called in this process once this session's work is committed. It must return at once and not fail."""
    session.info.setdefault(_AFTERWARDS, []).append(act)


def before_commit(session: Session, act: Callable[[], None]) -> None:
    """Have `act` called last in this session's transaction; what it raises undoes everything."""
    session.info.setdefault(_LAST, []).append(act)


def coming(session: Session) -> Sequence[str]:
    """The keys of all the work that shares this session: who reads for one may read for all."""
    keys: Sequence[str] = session.info.get(_COMING, ())
    return keys


def when_it_fails(future: "Future[Any]", tell: Callable[[Exception], None]) -> None:
    """Of work that nobody waits for: have `tell` called should it fail. What ends the program is told elsewhere."""

    def look(ended: "Future[Any]") -> None:
        error = ended.exception()
        if isinstance(error, Exception):
            tell(error)

    future.add_done_callback(look)


class Done:
    """What is to happen once a session's work is committed. Made of a session whose work is all done."""

    def __init__(self, session: Session) -> None:
        for act in session.info.pop(_LAST, ()):
            act()
        self.rings: set[str] = session.info.pop(_RINGS, set())
        self._acts: list[Callable[[], None]] = session.info.pop(_AFTERWARDS, [])

    def tell(self, bell: Bell) -> None:
        """Wake whoever waits for it in this process."""
        for act in self._acts:
            act()
        bell.ring(self.rings)


@dataclass(frozen=True, eq=False, slots=True)
class Piece:
    """One piece of work and whoever waits for it."""

    work: Callable[[Session], Any]
    future: "Future[Any]"
    key: str = ""
    """What it locks: pieces with a key are done in the order of their keys, and share a session."""


_Finished = tuple[Sequence[Piece], Sequence[Any], Done]
"""Pieces that shared a session, their results, what follows."""


class GroupCommit:
    """The first thread to come does the work of all who wait, in one transaction and one fsync."""

    def __init__(self, engine: Engine, known: dict[str, Any], tell: Callable[[Done], None]) -> None:
        self.engine = engine
        self._known = known
        self._tell = tell
        self._lock = threading.Lock()
        self._waiting: deque[Piece] = deque()
        self._writing = threading.Lock()
        self._seen: object = None
        """The file's version as our own connection last saw it, which does not count its own changes."""

    def write(self, work: Callable[[Session], T], key: str = "") -> T:
        """The work's result once it is committed, alone or with others'."""
        future: Future[T] = Future()
        with self._lock:
            self._waiting.append(Piece(work, future, key))
        while not future.done():
            with self._writing:
                if not future.done():
                    self._commit(self._group())
        return future.result()

    def write_all(self, pieces: Sequence[Piece]) -> None:
        """These in one commit of their own; each future tells how it went."""
        with self._writing:
            self._commit(pieces)

    def changed_elsewhere(self) -> bool:
        """Whether others have changed this SQLite file since we were last asked: what we write ourselves is no news."""
        with self._writing, self.engine.connect() as connection:
            driver = connection.connection.driver_connection
            seen = (id(driver), driver.execute("PRAGMA data_version").fetchone() if driver is not None else None)
        is_news = seen != self._seen
        self._seen = seen
        return is_news

    def _group(self) -> list[Piece]:
        with self._lock:
            return [self._waiting.popleft() for _ in range(min(MAX_GROUP, len(self._waiting)))]

    def _commit(self, group: Sequence[Piece]) -> None:
        try:
            finished = self._commit_as_one(group)
        except Exception as error:  # noqa: BLE001  # handed to the caller who brought the work
            finished = self._commit_apart(group) if len(group) > 1 else _failed(group, error)
        except BaseException as error:
            _failed(group, error)
            raise
        for pieces, results, _ in finished:  # first, so that no act can leave a caller waiting
            for piece, result in zip(pieces, results, strict=True):
                piece.future.set_result(result)
        for _, _, done in finished:
            self._tell(done)

    def _commit_as_one(self, group: Sequence[Piece]) -> list[_Finished]:
        """All or nothing, without savepoints: nearly always nothing fails."""
        finished: list[_Finished] = []
        parts = list(_sharing(group))
        with self._transaction() as (connection, transaction):
            for pieces in parts:
                with self._session(connection, "rollback_only") as session:
                    session.info[_COMING] = [piece.key for piece in pieces if piece.key]
                    results = [piece.work(session) for piece in pieces]
                    session.flush()
                    with together(connection) as in_one_trip:
                        finished.append((pieces, results, Done(session)))
                        if in_one_trip and pieces is parts[-1]:
                            transaction.commit()
        return finished

    @contextmanager
    def _transaction(self) -> Iterator[tuple[Connection, RootTransaction]]:
        with self.engine.connect() as connection, connection.begin() as transaction:
            try:
                yield connection, transaction
            except BaseException:
                if not transaction.is_active and not connection.invalidated:
                    connection.connection.rollback()  # SQLAlchemy takes it for committed: it was told to, and failed
                raise

    def _commit_apart(self, group: Sequence[Piece]) -> list[_Finished]:
        """Once more, each piece in its own savepoint: its failure is its own caller's."""
        finished: list[_Finished] = []
        try:
            with self.engine.connect() as connection, connection.begin():
                for piece in chain.from_iterable(_sharing(group)):
                    with self._session(connection, "create_savepoint") as session:
                        try:
                            result = piece.work(session)
                            done = Done(session)
                            session.commit()
                        except Exception as error:  # noqa: BLE001  # handed to the caller who brought the work
                            session.rollback()
                            piece.future.set_exception(error)
                        else:
                            finished.append(([piece], [result], done))
        except BaseException as error:
            _failed(group, error)
            if not isinstance(error, Exception):
                raise
            return []
        return finished

    def _session(self, connection: Connection, mode: JoinTransactionMode) -> Session:
        return Session(connection, expire_on_commit=False, join_transaction_mode=mode, info=self._known)


def _sharing(group: Sequence[Piece]) -> Iterator[list[Piece]]:
    """Those with a key together, by key and as they came; each of the others by itself."""
    keyed = sorted((piece for piece in group if piece.key), key=lambda piece: piece.key)
    yield from [keyed] if keyed else []
    yield from ([piece] for piece in group if not piece.key)


def _failed(group: Sequence[Piece], error: BaseException) -> list[_Finished]:
    for piece in group:
        if not piece.future.done():
            piece.future.set_exception(error)
    return []


class PutBy:
    """Work nobody waits for: one thread, begun with the first piece, writes what has come every `patience_s`."""

    def __init__(self, group: GroupCommit, patience_s: float) -> None:
        self._group = group
        self._patience_s = patience_s
        self._changed = threading.Condition()
        self._pieces: list[Piece] = []
        self._thread: threading.Thread | None = None
        self._is_ending = False

    def add(self, piece: Piece) -> None:
        """Returns at once; after the end, once it is written."""
        with self._changed:
            if self._is_ending:
                self._group.write_all([piece])
                return
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="put-by", daemon=True)
                self._thread.start()
            self._pieces.append(piece)
            self._changed.notify()

    def close(self) -> None:
        """Write the rest and end."""
        with self._changed:
            self._is_ending = True
            self._changed.notify()
        if self._thread is not None:
            self._thread.join(STOP_WITHIN_S)

    def _run(self) -> None:
        while pieces := self._next():
            try:
                self._group.write_all(pieces)
            except Exception:  # of what follows the commit, which was told to each: the next pieces want to be written
                log.exception("what follows a commit failed")

    def _next(self) -> list[Piece]:
        """What has come within the patience of the first; none at the end."""
        with self._changed:
            self._changed.wait_for(lambda: self._pieces or self._is_ending)
            until = time.monotonic() + self._patience_s
            while (left := until - time.monotonic()) > 0 and len(self._pieces) < MAX_GROUP and not self._is_ending:
                self._changed.wait(left)
            taken, self._pieces = self._pieces[:MAX_GROUP], self._pieces[MAX_GROUP:]
        return taken
