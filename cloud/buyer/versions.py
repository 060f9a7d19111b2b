"""Tells event streams when their orders change: one thread looks for all of them, and only those concerned wake.

A thousand streams that each looked for themselves would ask the database a thousand times for each change.
"""

import logging
import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import bindparam, select

from cloud.database.database import Database
from cloud.database.wakeup import Waiter, Wakeups
from cloud.orders.models import Order
from cloud.orders.status_change import order_topic

log = logging.getLogger("cloud.buyer.versions")

LOOK_S = 1.0
"""A lost wake-up costs this much and no more."""
MOST_AT_ONCE = 500
"""Ids in one query; SQLite takes 999 values, older ones fewer."""
REST_S_PER_ORDER = 0.00005
"""Rest after looking for many: woken for everything (SQLite between processes), a thousand are looked for 20 times a
second at most."""
_VERSIONS = select(Order.id, Order.version).where(Order.id.in_(bindparam("some", expanding=True)))


class Follower:
    """One stream's interest in one order."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._newer = threading.Event()
        self._seen = -1
        self._known = -1
        self._is_over = False

    def seen(self, version: int) -> None:
        """The stream has told this version."""
        with self._lock:
            self._seen = max(self._seen, version)
            if self._known <= self._seen and not self._is_over:
                self._newer.clear()

    def wait(self, timeout: float) -> bool:
        """True once there is a newer version than the one seen, or no more to wait for; false after `timeout`."""
        return self._newer.wait(max(0.0, timeout))

    def tell(self, version: int) -> None:
        """The order is at this version."""
        with self._lock:
            self._known = max(self._known, version)
            if self._known > self._seen:
                self._newer.set()

    def end(self) -> None:
        """It waits no more."""
        with self._lock:
            self._is_over = True
            self._newer.set()


class Versions:
    """All followers of one process."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._lock = threading.Lock()
        self._followers: defaultdict[str, list[Follower]] = defaultdict(list)
        self._woken: set[str] = set()
        self._wake = threading.Event()
        self._thread: threading.Thread | None = None
        self.is_over = False
        """Nobody is to follow anything any more: this process ends."""

    @contextmanager
    def follow(self, order_id: str) -> Iterator[Follower]:
        """Be told of this order's changes; begin before looking at it, so that nothing falls between."""
        follower, waiter = Follower(), _OrderWaiter(self._database.wakeups, self, order_id)
        with self._lock:
            self._followers[order_id].append(follower)
            if self._thread is None:
                self._thread = threading.Thread(target=self._look_on, name="versions", daemon=True)
                self._thread.start()
        self._database.wakeups.admit(waiter)
        try:
            yield follower
        finally:
            waiter.close()
            self._forget(order_id, follower)

    def end(self) -> None:
        """Let all streams end; their readers come back to another process, or to the next one here."""
        self.is_over = True
        with self._lock:
            followers = [follower for followers in self._followers.values() for follower in followers]
        for follower in followers:
            follower.end()

    def wake(self, order_id: str) -> None:
        """This order may have changed."""
        with self._lock:
            self._woken.add(order_id)
        self._wake.set()

    def _forget(self, order_id: str, follower: Follower) -> None:
        with self._lock:
            self._followers[order_id].remove(follower)
            if not self._followers[order_id]:
                del self._followers[order_id]
        self._wake.set()

    def _look_on(self) -> None:
        """Until nobody follows anything any more. Looking for all keeps its own time, however often others wake it."""
        looks_for_all_at = time.monotonic() + LOOK_S
        while True:
            self._wake.wait(max(0.0, looks_for_all_at - time.monotonic()))
            self._wake.clear()
            is_for_all = time.monotonic() >= looks_for_all_at
            with self._lock:
                if not self._followers:
                    self._thread = None
                    return
                looked_for = list(self._followers) if is_for_all else [o for o in self._woken if o in self._followers]
                self._woken.clear()
            try:
                self._look(looked_for)
            except Exception:  # streams depend on this thread; the next look finds what this one missed
                log.exception("versions of orders cannot be read")
            if is_for_all:
                looks_for_all_at = time.monotonic() + LOOK_S
            time.sleep(len(looked_for) * REST_S_PER_ORDER)

    def _look(self, order_ids: list[str]) -> None:
        for start in range(0, len(order_ids), MOST_AT_ONCE):
            some = order_ids[start : start + MOST_AT_ONCE]
            found = self._database.look(_VERSIONS, {"some": some})
            with self._lock:
                told = [(follower, version) for order, version in found for follower in self._followers.get(order, ())]
            for follower, version in told:
                follower.tell(version)


class _OrderWaiter(Waiter):
    """Hears one order's wakeups for all of its followers."""

    def __init__(self, wakeups: Wakeups, versions: Versions, order_id: str) -> None:
        super().__init__(wakeups, order_topic(order_id))
        self._versions = versions
        self._order_id = order_id

    def wake(self) -> None:
        """No thread waits on this one: the one that looks is woken."""
        self._versions.wake(self._order_id)
