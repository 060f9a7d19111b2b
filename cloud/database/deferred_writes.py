"""Work nobody waits for: written in groups, now and then, so that one fsync does for many."""

import logging
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

from cloud.database.group_commit import MAX_GROUP, GroupCommit, Piece

log = logging.getLogger("cloud.database.deferred_writes")

STOP_WITHIN_S = 10.0


def on_failure(future: "Future[Any]", act: Callable[[Exception], None]) -> None:
    """Have `act` called should deferred work fail. What ends the program is told elsewhere."""

    def look(ended: "Future[Any]") -> None:
        error = ended.exception()
        if isinstance(error, Exception):
            act(error)

    future.add_done_callback(look)


class DeferredWrites:
    """One thread, begun with the first piece, writes what has come every `patience_s`; 0: nothing is put off."""

    def __init__(self, group: GroupCommit, patience_s: float) -> None:
        self._group = group
        self._patience_s = patience_s
        self._changed = threading.Condition()
        self._pieces: list[Piece[Any]] = []
        self._thread: threading.Thread | None = None
        self._is_ending = False

    def add(self, piece: Piece[Any]) -> None:
        """Returns at once; after the end, or without patience, once it is written."""
        if not self._patience_s:
            self._group.transact_all([piece])
            return
        with self._changed:
            if self._is_ending:
                self._group.transact_all([piece])
                return
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="deferred-writes", daemon=True)
                self._thread.start()
            self._pieces.append(piece)
            if len(self._pieces) in {1, MAX_GROUP}:  # between the two it only waits for time to pass
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
                self._group.transact_all(pieces)
            except Exception:  # of what follows the commit, which was told to each: the next pieces want to be written
                log.exception("what follows a commit failed")

    def _next(self) -> list[Piece[Any]]:
        """What has come within the patience of the first; none at the end."""
        with self._changed:
            self._changed.wait_for(lambda: self._pieces or self._is_ending)
            until = time.monotonic() + self._patience_s
            while (left := until - time.monotonic()) > 0 and len(self._pieces) < MAX_GROUP and not self._is_ending:
                self._changed.wait(left)
            taken, self._pieces = self._pieces[:MAX_GROUP], self._pieces[MAX_GROUP:]
        return taken
