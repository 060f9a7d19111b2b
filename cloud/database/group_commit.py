"""Commits of more than one piece of work: all in one transaction and one fsync.

SQLite has one writer at a time, so there all work that waits is committed in groups: many small commits after each
other made some wait for seconds. On both databases the work of many orders is written in groups.
"""

import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import closing
from dataclasses import dataclass
from itertools import chain
from operator import attrgetter
from typing import Any, TypeVar

from sqlalchemy import Engine

from cloud.database.transaction import Dispatchers, Transaction

T = TypeVar("T")
MAX_GROUP = 64
"""Pieces of work in one commit: bounds how long the first of them waits for the last."""


@dataclass(frozen=True, eq=False, slots=True)
class Piece:
    """One piece of work and whoever waits for it."""

    work: Callable[[Transaction], Any]
    future: "Future[Any]"
    key: str = ""
    """What it locks: pieces with a key are done in the order of their keys, and share a transaction."""


_Finished = tuple[Sequence[Piece], Sequence[Any], Transaction]
"""Pieces that shared a transaction, their results, and the transaction."""


class GroupCommit:
    """The first thread to come does the work of all who wait, in one transaction and one fsync.

    `committed` is called with each transaction that is.
    """

    def __init__(self, engine: Engine, dispatchers: Dispatchers, committed: Callable[[Transaction], None]) -> None:
        self.engine = engine
        self._dispatchers = dispatchers
        self._committed = committed
        self._lock = threading.Lock()
        self._waiting: deque[Piece] = deque()
        self._writing = threading.Lock()
        self._seen: object = None
        """The file's version as our own connection last saw it, which does not count its own changes."""

    def transact(self, work: Callable[[Transaction], T], key: str = "") -> T:
        """The work's result once it is committed, alone or with others'."""
        future: Future[T] = Future()
        with self._lock:
            self._waiting.append(Piece(work, future, key))
        while not future.done():
            with self._writing:
                committed = [] if future.done() else self._commit(self._group())
            self._follow(committed)
        return future.result()

    def transact_all(self, pieces: Sequence[Piece]) -> None:
        """These in one commit of their own; each future tells how it went."""
        with self._writing:
            committed = self._commit(pieces)
        self._follow(committed)

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

    def _commit(self, group: Sequence[Piece]) -> list[Transaction]:
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

    def _follow(self, committed: Sequence[Transaction]) -> None:
        """Outside the lock: the next group is written meanwhile, and what follows may itself write."""
        for transaction in committed:
            self._committed(transaction)

    def _commit_as_one(self, group: Sequence[Piece]) -> list[_Finished]:
        """All or nothing, without savepoints: nearly always nothing fails."""
        finished: list[_Finished] = []
        with self.engine.connect() as connection, connection.begin():
            for pieces in _sharing(group):
                keys = [piece.key for piece in pieces if piece.key]
                with closing(Transaction(connection, self._dispatchers, keys)) as tx:
                    results = [piece.work(tx) for piece in pieces]
                    tx.write()
                    finished.append((pieces, results, tx))
        return finished

    def _commit_apart(self, group: Sequence[Piece]) -> list[_Finished]:
        """Once more, each piece in its own savepoint: its failure is its own caller's."""
        finished: list[_Finished] = []
        try:
            with self.engine.connect() as connection, connection.begin():
                for piece in chain.from_iterable(_sharing(group)):
                    try:
                        with connection.begin_nested(), closing(Transaction(connection, self._dispatchers)) as tx:
                            result = piece.work(tx)
                            tx.write()
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


def _sharing(group: Sequence[Piece]) -> Iterator[list[Piece]]:
    """Those with a key together, by key and as they came; each of the others by itself."""
    keyed = sorted([piece for piece in group if piece.key], key=attrgetter("key"))
    yield from [keyed] if keyed else []
    yield from [[piece] for piece in group if not piece.key]


def _failed(group: Sequence[Piece], error: BaseException) -> list[_Finished]:
    for piece in group:
        if not piece.future.done():
            piece.future.set_exception(error)
    return []
