"""A stretch of days and the one before it, as an address names them. Pure."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta

PRESETS = {"7": 7, "28": 28, "91": 91}
"""Days, whole weeks: weekdays stand over the same weekdays."""
DEFAULT = "28"
LONGEST = 732


@dataclass(frozen=True)
class Period:
    """From its first day to its last, both within."""

    first: date
    last: date

    @property
    def length(self) -> int:
        return (self.last - self.first).days + 1

    @property
    def before(self) -> "Period":
        """As long, right before it."""
        return Period(self.first - timedelta(days=self.length), self.first - timedelta(days=1))

    def days(self) -> Iterator[date]:
        for number in range(self.length):
            yield self.first + timedelta(days=number)


def read_period(preset: str, first: date | None, last: date | None, today: date) -> Period:
    """What is asked for, or the usual one; never longer than two years, never ahead of today."""
    if first is not None and last is not None and first <= last:
        last = min(last, today)
        first = max(min(first, last), last - timedelta(days=LONGEST - 1))
        return Period(first, last)
    length = PRESETS.get(preset, PRESETS[DEFAULT])
    return Period(today - timedelta(days=length - 1), today)
