"""Payments that this process is opening: the threads that wait for one, and the short leases renewed meanwhile.

A process that dies renews nothing, so its openings are taken over within seconds: the same bytes under the same key.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta

from cloud.background.loops import Clock
from cloud.database.database import Database
from cloud.orders import outbox

LEASE_S = 5.0
"""So long a buyer waits at most for an opening whose process has died."""
RENEW_S = 1.5
IDLE_S = 60.0
TOPIC = "openings"


@dataclass
class _Opening:
    renew_at: datetime
    over: threading.Event


class Openings:
    """One per process; any thread. `step(now)` renews the leases."""

    def __init__(self, database: Database, owner: str, clock: Clock) -> None:
        self._database = database
        self._owner = owner
        self._clock = clock
        self._lock = threading.Lock()
        self._under_way: dict[str, _Opening] = {}
        """By idempotency key."""

    @contextmanager
    def holding(self, key: str) -> Iterator[None]:
        """Keep the lease of this opening while it is under way; then wake the threads that wait for it."""
        self.hold(key)
        try:
            yield
        finally:
            self.let_go(key)

    def hold(self, key: str) -> None:
        """Renew its lease from now on."""
        renew_at = self._clock() + timedelta(seconds=RENEW_S)
        with self._lock:
            is_first = not self._under_way
            self._under_way.setdefault(key, _Opening(renew_at, threading.Event()))
        if is_first:
            self._database.wakeups.wake((TOPIC,))

    def let_go(self, key: str) -> None:
        """It is over, however it went."""
        with self._lock:
            opening = self._under_way.pop(key, None)
        if opening is not None:
            opening.over.set()

    def wait(self, key: str, patience_s: float) -> None:
        """Until it is over, or for so long. At once when this process is not opening it."""
        with self._lock:
            opening = self._under_way.get(key)
        if opening is not None:
            opening.over.wait(patience_s)

    def step(self, now: datetime) -> datetime:
        """Renew what is due; when to look again."""
        with self._lock:
            due = [key for key, opening in self._under_way.items() if opening.renew_at <= now]
            for key in due:
                self._under_way[key].renew_at = now + timedelta(seconds=RENEW_S)
            next_at = min((opening.renew_at for opening in self._under_way.values()), default=None)
        if due:
            self._database.transact(outbox.renew, due, self._owner, now + timedelta(seconds=LEASE_S))
        return next_at or now + timedelta(seconds=IDLE_S)
