"""What happened, in order, in one line each: who, what, about which order. The same seed writes the same bytes."""

import hashlib
import logging
from collections.abc import Callable
from dataclasses import dataclass

from sqlalchemy.exc import OperationalError

from agent.journal.sqlite_file import JournalFailed

EXPECTED = (OperationalError, JournalFailed)
"""Databases and journals may fail: that is a fault of the world, not of the code that says so."""
MOST_LINES = 20_000
"""A world that says more than this has gone mad; the rest is only counted into the digest."""


@dataclass(frozen=True, slots=True)
class Line:
    """`at`: true seconds since the world's birth."""

    at: float
    who: str
    what: str
    order_id: str = ""

    def __str__(self) -> str:
        return f"{self.at:10.3f}  {self.who:<11} {f'[{self.order_id}] ' if self.order_id else ''}{self.what}"


class Timeline:
    """`now` gives true time."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self.lines: list[Line] = []
        self._hash = hashlib.sha256()

    def add(self, who: str, what: str, order_id: str = "") -> None:
        line = Line(self._now(), who, what.replace("\n", " | "), order_id)
        self._hash.update(str(line).encode() + b"\n")
        if len(self.lines) < MOST_LINES:
            self.lines.append(line)

    @property
    def digest(self) -> str:
        return self._hash.hexdigest()

    def text(self, last: int | None = None) -> str:
        """The last lines, or all."""
        return "\n".join(str(line) for line in (self.lines if last is None else self.lines[-last:]))


class Ear(logging.Handler):
    """Writes what the real code logs into the timeline; `complain` hears of errors nobody expected."""

    def __init__(self, timeline: Timeline, who: Callable[[], str], complain: Callable[[str], None]) -> None:
        super().__init__(logging.INFO)
        self._timeline = timeline
        self._who = who
        self._complain = complain

    def emit(self, record: logging.LogRecord) -> None:
        said = record.getMessage()
        if record.exc_info and record.exc_info[1] is not None:
            said += f": {type(record.exc_info[1]).__name__}: {record.exc_info[1]}"
            if not isinstance(record.exc_info[1], EXPECTED):
                self._complain(said)
        level = "" if record.levelno < logging.WARNING else f"{record.levelname.lower()}: "
        self._timeline.add(self._who(), level + said, str(getattr(record, "order_id", "")))
