"""What a day is: a calendar day in Moscow, as in the provider's own registries, whatever zone anything else is in."""

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from cloud.fleet.zones import read_day

ZONE = ZoneInfo("Europe/Moscow")
"""The provider's registries run from 00:00:00 to 23:59:59 of this zone (docs/reconciliation.md, What a day is)."""
OVERLAP = timedelta(hours=1)
"""How far beyond a day its lists are read: they are filtered by the provider's clock and may lag behind it."""
DUE_AFTER = timedelta(hours=3)
"""After a day's end: its last payment has had its hour, its cups are poured, its returns are asked for."""


def last_due(now: datetime) -> date:
    """The last day that is to be looked at by itself."""
    return Day.of(now - DUE_AFTER).date - timedelta(days=1)


@dataclass(frozen=True)
class Day:
    """One day and its edges in UTC; `end` is the first moment that is no longer in it."""

    date: date

    @property
    def start(self) -> datetime:
        """Its first moment."""
        return datetime.combine(self.date, time(), ZONE).astimezone(UTC)

    @property
    def end(self) -> datetime:
        """The next day's first moment."""
        return self.next.start

    @property
    def next(self) -> "Day":
        """The day after."""
        return Day(self.date + timedelta(days=1))

    @property
    def due_at(self) -> datetime:
        """When it is looked at by itself."""
        return self.end + DUE_AFTER

    def holds(self, moment: datetime | None) -> bool:
        """Whether `moment` is in it. A thing without a time is in every day: better named twice than never."""
        return moment is None or self.start <= moment < self.end

    @classmethod
    def named(cls, text: str, now: datetime) -> "Day":
        """`2026-03-31`, `today` or `yesterday`. ValueError for anything else, and for a day that has not begun."""
        today = cls.of(now)
        words = {"today": today.date, "yesterday": today.date - timedelta(days=1)}
        chosen = words.get(text) or read_day(text)
        if chosen is None:
            raise ValueError(f"{text!r} is no day like 2026-03-31")
        if chosen > today.date:
            raise ValueError(f"{chosen} has not begun in {ZONE.key}")
        return cls(chosen)

    @classmethod
    def of(cls, moment: datetime) -> "Day":
        """The day a moment is in."""
        return cls(moment.astimezone(ZONE).date())
