"""Wakes waiters the moment what they wait for is committed. It only shortens a wait: polling is the truth.

Topics are short texts (`news`, `outbox:mqtt`, `order:<id>`). A lost wake-up costs one polling interval, never work.
"""

import threading
from collections import defaultdict
from collections.abc import Iterable

POLLING_SLEEP_S = 1.0
"""So long a waiter may sleep that cannot be sure to be woken: a lost wake-up costs no more."""
NOTIFIED_SLEEP_S = 5.0
"""And so long, where other processes' commits are known to reach us."""


class Waiter:
    """Waits for one topic. Made before looking, so that nothing falls between the look and the wait."""

    def __init__(self, wakeups: "Wakeups", topic: str) -> None:
        self._wakeups = wakeups
        self.topic = topic
        self._is_woken = threading.Event()

    def wait(self, timeout: float) -> bool:
        """True when woken since the last wait; false after `timeout` seconds."""
        is_woken = self._is_woken.wait(max(0.0, timeout))
        self._is_woken.clear()
        return is_woken

    def wake(self) -> None:
        """Wake this one only."""
        if not self._is_woken.is_set():  # one wake does for all that came meanwhile, and asks no lock
            self._is_woken.set()

    def close(self) -> None:
        """Wait no more."""
        self._wakeups.forget(self)

    def __enter__(self) -> "Waiter":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class Wakeups:
    """All the waiters of one process."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiters: dict[str, set[Waiter]] = defaultdict(set)
        self.are_notified = False
        """Whatever is committed, in other processes too, wakes its waiters here for all we know."""

    def waiter(self, topic: str) -> Waiter:
        """Wait for one topic; close it."""
        waiter = Waiter(self, topic)
        self.admit(waiter)
        return waiter

    def admit(self, waiter: Waiter) -> None:
        """Wake a waiter made elsewhere, too; close it."""
        with self._lock:
            self._waiters[waiter.topic].add(waiter)

    def forget(self, waiter: Waiter) -> None:
        """Wake it no more."""
        with self._lock:
            self._waiters[waiter.topic].discard(waiter)
            if not self._waiters[waiter.topic]:
                del self._waiters[waiter.topic]

    @property
    def longest_sleep_s(self) -> float:
        """How long a waiter may sleep before it looks by itself."""
        return NOTIFIED_SLEEP_S if self.are_notified else POLLING_SLEEP_S

    @property
    def topics(self) -> int:
        """How many topics anybody waits for."""
        with self._lock:
            return len(self._waiters)

    def wake(self, topics: Iterable[str]) -> None:
        """Wake all that wait for any of these topics in this process."""
        with self._lock:
            waiting = [waiter for topic in topics for waiter in self._waiters.get(topic, ())]
        for waiter in waiting:
            waiter.wake()

    def wake_all(self) -> None:
        """Something changed, nobody knows what: let everyone look."""
        with self._lock:
            topics = list(self._waiters)
        self.wake(topics)
