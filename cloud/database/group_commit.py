"""Commits of more than one piece of work: all in one transaction and one fsync.

SQLite has one writer at a time, so there all work that waits is committed in groups: many small commits after each
other made some wait for seconds. On both databases the work of many orders is written in groups.
"""

import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from contextlib import closing
from dataclasses import dataclass, field
from itertools import chain
from operator import attrgetter
from typing import Any, Generic, TypeVar

from sqlalchemy import Engine

from cloud.database.transaction import Dispatchers, Transaction

T = TypeVar("T")
MAX_GROUP = 64
"""Pieces of work in one commit: bounds how long the first of them waits for the last."""


@dataclass(frozen=True, eq=False, slots=True)
class Piece(Generic[T]):
    """One piece of work, `work(tx, *args, **named)`, and whoever waits for it."""

    work: Callable[..., T]
    args: Sequence[Any] = ()
    named: Mapping[str, Any] = field(default_factory=dict)
    key: str = ""
    """What it locks: pieces with a key are done in the order of their keys, and share a transaction."""
    future: "Future[T]" = field(default_factory=Future)
    turn: threading.Lock = field(default_factory=threading.Lock)
    """Held while somebody waits: until the work is done, or until the waiter is to commit the next group itself."""


_Finished = tuple[Sequence[Piece[Any]], Sequence[Any], Transaction]
"""Pieces that shared a transaction, their results, and the transaction."""


class GroupCommit:
    """One waiter commits for all that wait, in one transaction and one fsync, then wakes the first that came meanwhile.

    `committed` is called with each committed transaction. `apart`: said where each piece is done by itself, to limit
    its waiting for locks: many that wait must not add up, with the locks of all others kept.
    """

    def __init__(
        self, engine: Engine, dispatchers: Dispatchers, committed: Callable[[Transaction], None], apart: str = ""
    ) -> None:
        self.engine = engine
        self._apart = apart
        self._dispatchers = dispatchers
        self._committed = committed
        self._lock = threading.Lock()
        self._waiting: deque[Piece[Any]] = deque()
        self._leader: Piece[Any] | None = None
        """The piece of the waiter that commits, or has been woken to commit; all that come meanwhile wait."""
        self._writing = threading.Lock()
        self._seen: object = None
        """The file's version as our own connection last saw it, which does not count its own changes."""

    def transact(self, piece: Piece[T]) -> T:
        """The work's result once it is committed, alone or with others'."""
        try:
            with self._lock:
                self._waiting.append(piece)
                if self._leader is None:
                    self._leader = piece
                else:
                    piece.turn.acquire()
            if self._leader is not piece:
                piece.turn.acquire()
            if not piece.future.done():
                self._lead()
        except BaseException:  # Ctrl-C: nobody may wait for us to lead
            self._leave(piece)
            raise
        return piece.future.result()

    def _lead(self) -> None:
        """Commit the longest-waiting pieces, our own first; none of them waits for the next group to end."""
        committed: list[Transaction] = []
        with self._lock:
            group = [self._waiting.popleft() for _ in range(min(MAX_GROUP, len(self._waiting)))]
        try:
            with self._writing:
                committed = self._commit(group)
        finally:
            with self._lock:
                self._leader = follows = self._waiting[0] if self._waiting else None
                if follows:
                    follows.turn.release()
            for piece in group:
                if piece.turn.locked():
                    piece.turn.release()
        if follows:
            time.sleep(0)  # the next group begins now: what is left for us to do can wait
        for tx in committed:  # outside the lock: what follows may itself write, and the next group is written
            self._committed(tx)

    def _leave(self, piece: Piece[Any]) -> None:
        """Wait no longer; whoever was to lead leads."""
        with self._lock:
            leads = self._leader is piece
            if not leads and piece in self._waiting:
                self._waiting.remove(piece)
        if leads:
            self._lead()

    def transact_all(self, pieces: Sequence[Piece[Any]]) -> None:
        """These in one commit of their own; each future tells how it went."""
        with self._writing:
            committed = self._commit(pieces)
        for tx in committed:
            self._committed(tx)

    def changed_elsewhere(self) -> bool:
        """Whether others have changed this SQLite file since we were last asked: what we write ourselves is no news."""
        with self._writing, self.engine.connect() as connection:
            driver = connection.connection.driver_connection
            seen = (id(driver), driver.execute("PRAGMA data_version").fetchone() if driver is not None else None)
        is_news = seen != self._seen
        self._seen = seen
        return is_news

    def _commit(self, group: Sequence[Piece[Any]]) -> list[Transaction]:
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
        return [transaction for _, _, transaction in finished]

    def _commit_as_one(self, group: Sequence[Piece[Any]]) -> list[_Finished]:
        """All or nothing, without savepoints: nearly always nothing fails."""
        finished: list[_Finished] = []
        with self.engine.connect() as connection, connection.begin():
            for pieces in _sharing(group) if len(group) > 1 else [group]:
                keys = [piece.key for piece in pieces if piece.key]
                with closing(Transaction(connection, self._dispatchers, keys)) as tx:
                    results = [piece.work(tx, *piece.args, **piece.named) for piece in pieces]
                    tx.finish()
                    finished.append((pieces, results, tx))
        return finished

    def _commit_apart(self, group: Sequence[Piece[Any]]) -> list[_Finished]:
        """Once more, each piece in its own savepoint: its failure is its own caller's."""
        finished: list[_Finished] = []
        try:
            with self.engine.connect() as connection, connection.begin():
                if self._apart:
                    connection.exec_driver_sql(self._apart)
                for piece in chain.from_iterable(_sharing(group)):
                    try:
                        with connection.begin_nested(), closing(Transaction(connection, self._dispatchers)) as tx:
                            result = piece.work(tx, *piece.args, **piece.named)
                            tx.finish()
                    except Exception as error:  # noqa: BLE001  # handed to the caller who brought the work
                        piece.future.set_exception(error)
                    else:
                        finished.append(([piece], [result], tx))
        except BaseException as error:
            _failed(group, error)
            if not isinstance(error, Exception):
                raise
            return []
        return finished


def _sharing(group: Sequence[Piece[Any]]) -> list[list[Piece[Any]]]:
    """Those with a key together, by key and as they came; each of the others by itself."""
    keyed = sorted([piece for piece in group if piece.key], key=attrgetter("key"))
    return [*([keyed] if keyed else []), *[[piece] for piece in group if not piece.key]]


def _failed(group: Sequence[Piece[Any]], error: BaseException) -> list[_Finished]:
    for piece in group:
        if not piece.future.done():
            piece.future.set_exception(error)
    return []
