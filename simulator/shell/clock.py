"""The simulator's clock: the real one, or any given, plus what was advanced by hand; never goes back."""

import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

Clock = Callable[[], datetime]


def real_clock() -> datetime:
    return datetime.now(UTC)


class AdvancingClock:
    """Calling it tells the time (aware, UTC)."""

    def __init__(self, source: Clock = real_clock) -> None:
        self._source = source
        self._ahead = timedelta()
        self._lock = threading.Lock()

    def __call__(self) -> datetime:
        return self._source() + self._ahead

    def advance(self, seconds: float) -> datetime:
        """Jump forward and return the new time; ValueError for a step back or beyond the calendar."""
        if seconds < 0:
            raise ValueError("the clock only goes forward")
        with self._lock:
            try:
                ahead = self._ahead + timedelta(seconds=seconds)
                now = self._source() + ahead
            except OverflowError as error:
                raise ValueError("that is beyond the calendar") from error
            self._ahead = ahead
            return now
