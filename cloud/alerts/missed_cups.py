"""Has this machine sold nothing for longer than chance explains? Judged by its own hours of its own week. Pure.

A fixed silence is noise: a machine in an office sells nothing on Sundays. What counts is how many cups it would have
sold meanwhile. From about three missed cups on silence is no chance (docs/alerts.md, "No sales").
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

WEEKS = 8
"""The usual week is that of the last eight."""
LEAST_DAYS = 14
"""Of a machine with a shorter history nothing is known."""
LEAST_CUPS_A_DAY = 1.0
"""One that sells less is silent for days as a rule."""
WEAK_DAY = 0.8
"""A day that is a fifth worse than usual is ordinary: so much of the usual cups is expected."""
_LONGEST_LOOK = timedelta(days=14)


@dataclass(frozen=True)
class UsualWeek:
    """Cups this machine sells in an hour of its week, Monday 00:00 first, in the zone they are counted in."""

    cups: Mapping[int, float]
    zone: ZoneInfo

    @property
    def cups_a_day(self) -> float:
        """On an average day."""
        return sum(self.cups.values()) / 7


def missed_cups(usual: UsualWeek, last_sale: datetime, now: datetime) -> float:
    """How many cups it would have sold between the two, on days that are all weak."""
    at, missed = max(last_sale, now - _LONGEST_LOOK), 0.0
    while at < now:
        local = at.astimezone(usual.zone)
        ends = at + timedelta(hours=1) - timedelta(minutes=local.minute, seconds=local.second)
        ends -= timedelta(microseconds=local.microsecond)
        share = (min(ends, now) - at) / timedelta(hours=1)
        missed += WEAK_DAY * share * usual.cups.get(hour_of_week(local), 0.0)
        at = ends
    return missed


def too_many(cups_a_day: float) -> float:
    """From so many missed cups on silence is a trouble: once in a hundred days of such a machine at most by chance."""
    return 1.5 * math.log(100 * cups_a_day)


def is_silent(usual: UsualWeek, last_sale: datetime, now: datetime) -> bool:
    """Whether it sells nothing though it should."""
    a_day = usual.cups_a_day
    return a_day >= LEAST_CUPS_A_DAY and missed_cups(usual, last_sale, now) >= too_many(a_day)


def hour_of_week(local: datetime) -> int:
    """Monday 00:00 to 00:59 is 0."""
    return local.weekday() * 24 + local.hour
