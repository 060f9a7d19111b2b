"""Tells in the log of a database that does not answer: once for all loops of the process, then once a minute."""

import logging
import threading
from datetime import UTC, datetime, timedelta

log = logging.getLogger("cloud.background.absence")

TOLD_EVERY = timedelta(minutes=1)


class Absence:
    """It lasts from the first step that fails until each loop that failed has made a step, or has ended."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._failing: dict[object, str] = {}
        self._steps = 0
        self._since = self._told_at = datetime.min.replace(tzinfo=UTC)

    def fails(self, loop: object, name: str, why: str, now: datetime) -> None:
        """A step of this loop has failed, because the database did not answer."""
        with self._lock:
            if not self._failing:
                self._since, self._told_at, self._steps = now, now, 0
                log.error("%s: the database does not answer (%s)", name, why)
            self._failing[loop] = name
            self._steps += 1
            if not self._told_at <= now < self._told_at + TOLD_EVERY:  # the clock may have been set back
                self._told_at = now
                words = "the database has not answered since %s (%s): %d steps failed, of %s"
                log.error(words, f"{self._since:%H:%M:%S} UTC", why, self._steps, ", ".join(self._names()))

    def answers(self, loop: object) -> None:
        """This loop has made a step."""
        if loop in self._failing and self._forget(loop):
            log.info("the database answers again: %d steps had failed", self._steps)

    def ends(self, loop: object) -> None:
        """This loop steps no more."""
        self._forget(loop)

    def _forget(self, loop: object) -> bool:
        """Whether it was the last."""
        with self._lock:
            return self._failing.pop(loop, None) is not None and not self._failing

    def _names(self) -> list[str]:
        return sorted(set(self._failing.values()))
