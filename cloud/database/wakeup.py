"""Wakes those who wait the moment what they wait for is committed. It only shortens a wait: polling is the truth.

Topics are short texts (`news`, `outbox:mqtt`, `order:<id>`). A lost wake-up costs one polling interval, never work.
"""

import threading
from collections import defaultdict
from collections.abc import Iterable

DEAF_SLEEP_S = 1.0
"""So long may sleep who cannot be sure to be woken: a lost wake-up costs no more."""
HEARING_SLEEP_S = 5.0
"""And so long, where what others commit is known to be heard."""


class Listener:
    """One waiter's ear; created before looking, so that nothing falls between the look and the wait."""

    def __init__(self, bell: "Bell", topic: str) -> None:
        self._bell = bell
        self.topic = topic
        self._rung = threading.Event()

    def wait(self, timeout: float) -> bool:
        """True when rung since the last wait; false after `timeout` seconds."""
        rung = self._rung.wait(max(0.0, timeout))
        self._rung.clear()
        return rung

    def ring(self) -> None:
        """Wake this one only."""
        self._rung.set()

    def close(self) -> None:
        """Stop listening."""
        self._bell.forget(self.topic, self)

    def __enter__(self) -> "Listener":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class Bell:
    """All the waiters of one process."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._listeners: dict[str, set[Listener]] = defaultdict(set)
        self.hears = False
        """Everything that is committed, in other processes too, rings here for all we know."""

    def listen(self, topic: str) -> Listener:
        """An ear for one topic; close it."""
        listener = Listener(self, topic)
        self.admit(listener)
        return listener

    def admit(self, listener: Listener) -> None:
        """Let a listener made elsewhere hear; close it."""
        with self._lock:
            self._listeners[listener.topic].add(listener)

    def forget(self, topic: str, listener: Listener) -> None:
        """Undo `listen`."""
        with self._lock:
            self._listeners[topic].discard(listener)
            if not self._listeners[topic]:
                del self._listeners[topic]

    @property
    def longest_sleep_s(self) -> float:
        """How long one may sleep who waits to be woken."""
        return HEARING_SLEEP_S if self.hears else DEAF_SLEEP_S

    @property
    def topics(self) -> int:
        """How many topics anybody waits for."""
        with self._lock:
            return len(self._listeners)

    def ring(self, topics: Iterable[str]) -> None:
        """Wake all who wait for any of these topics in this process."""
        with self._lock:
            waiting = [listener for topic in topics for listener in self._listeners.get(topic, ())]
        for listener in waiting:
            listener.ring()

    def ring_all(self) -> None:
        """Something changed, nobody knows what: let everyone look."""
        with self._lock:
            topics = list(self._listeners)
        self.ring(topics)
