"""One time for all programs: the database server's, carried on by our own steady clock between two looks at it.

Hosts' wall clocks differ, by seconds or by hours; moments that one program stores and another compares must not.
"""

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial

MEASURED_EVERY_S = 15.0
WORTH_TELLING = timedelta(seconds=5)
"""A host's clock that is further off than this is a fault of that host, though nothing of ours suffers from it."""


utc_now: Callable[[], datetime] = partial(datetime.now, UTC)
"""This host's wall clock."""


_STEADY = getattr(time, "CLOCK_BOOTTIME", None)
"""Counts through a suspend, where the plain monotonic clock stands still."""


def steady_s() -> float:
    """Seconds of which only differences mean anything; no suspend of this host stops them."""
    return time.monotonic() if _STEADY is None else time.clock_gettime(_STEADY)


class SharedClock:
    """This host's wall clock until it is set; from then on whoever it was set by."""

    def __init__(self, wall: Callable[[], datetime] = utc_now, ticks: Callable[[], float] = steady_s) -> None:
        self._wall = wall
        self._ticks = ticks
        self._known: tuple[datetime, float] | None = None
        """A moment, and our ticks at that moment."""

    def __call__(self) -> datetime:
        """Now."""
        if self._known is None:
            return self._wall()
        moment, ticks = self._known
        return moment + timedelta(seconds=self._ticks() - ticks)

    def set_by(self, ask: Callable[[], datetime]) -> None:
        """Take over what `ask` tells, as of the middle of the call, unless it differs by no more than the call took."""
        began = self._ticks()
        moment = ask()
        took = self._ticks() - began
        heard = (moment, began + took / 2)
        off = heard[0] + timedelta(seconds=self._ticks() - heard[1]) - self()
        if self._known is None or abs(off) > timedelta(seconds=took):
            self._known = heard

    @property
    def host_is_ahead(self) -> timedelta:
        """How far this host's wall clock is before everybody's."""
        return self._wall() - self()

    def complaint(self) -> str:
        """In words, when this host's clock is too far off; empty when it is good."""
        off = self.host_is_ahead
        if abs(off) <= WORTH_TELLING:
            return ""
        way = "ahead of" if off > timedelta(0) else "behind"
        return f"this host's clock is {abs(off).total_seconds():.0f} s {way} the database's"
