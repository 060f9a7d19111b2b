"""What time it is: here, since start, and at the cloud. Nothing else in the agent reads a clock."""

import threading
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from math import inf
from typing import NamedTuple, Protocol

MAX_ANSWER_S = 10.0
"""A welcome that took longer says too little about the cloud's clock."""
_STEADY = getattr(time, "CLOCK_BOOTTIME", None)
"""Counts through a suspend, where the plain monotonic clock stands still."""


class Clock(Protocol):
    """Wall time (may be wrong, may jump) and steady seconds (only differences mean anything)."""

    def wall(self) -> datetime: ...

    def monotonic(self) -> float: ...


class Stamp(NamedTuple):
    """A moment as it survives a restart: the run of the agent, and its steady seconds."""

    session: str
    second: float


@dataclass(frozen=True, slots=True)
class Reading:
    """The clocks at one instant."""

    wall: datetime
    monotonic: float
    cloud: datetime | None
    heard_at: float = inf
    """Steady seconds at which the cloud was asked for its time."""


class SystemClock:
    """The real clock."""

    def wall(self) -> datetime:
        return datetime.now(UTC)

    def monotonic(self) -> float:
        return time.monotonic() if _STEADY is None else time.clock_gettime(_STEADY)


class CloudClock:
    """The cloud's time, carried on by the steady clock, so that a jump of our own wall clock changes nothing.

    It is never behind the cloud: the welcome's time was read after our hello left, and we count from the hello.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._learnt: tuple[datetime, float] | None = None

    def learn(self, cloud_time: datetime, asked_at: float) -> bool:
        """Take the time of a welcome to the hello sent at `asked_at` (steady seconds); False when it took too long."""
        if not 0 <= self._clock.monotonic() - asked_at <= MAX_ANSWER_S:
            return False
        self._learnt = (cloud_time, asked_at)
        return True

    def now(self) -> datetime | None:
        """The cloud's time, or None when it was never learnt by this process."""
        learnt = self._learnt
        if learnt is None:
            return None
        cloud_time, asked_at = learnt
        return cloud_time + timedelta(seconds=self._clock.monotonic() - asked_at)

    def reading(self) -> Reading:
        """All clocks at this instant."""
        learnt = self._learnt
        heard_at = inf if learnt is None else learnt[1]
        return Reading(self._clock.wall(), self._clock.monotonic(), self.now(), heard_at)

    def best(self) -> datetime:
        """The cloud's time, else our own wall clock: for reports, never for a deadline."""
        return self.now() or self._clock.wall()


class Bell:
    """Wakes one waiting loop at once; a ring while nobody waits is not lost."""

    def __init__(self) -> None:
        self._rung = threading.Event()

    def ring(self) -> None:
        self._rung.set()

    def wait(self, timeout: float) -> None:
        """Return at the next ring, or after `timeout` seconds."""
        self._rung.wait(max(0.0, timeout))
        self._rung.clear()
