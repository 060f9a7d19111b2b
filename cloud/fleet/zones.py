"""In whose time a day begins: each machine stands in a zone, each merchant keeps books in one."""

from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

DEFAULT = "Europe/Moscow"
YEARS = range(2000, 2101)
"""Of the days people may name: every zone and every database knows these, and some years around them."""


@lru_cache(64)
def zone(name: str) -> ZoneInfo:
    """The zone of this IANA name; the default where nobody knows it any more."""
    try:
        return ZoneInfo(name or DEFAULT)
    except (ZoneInfoNotFoundError, ValueError):
        return ZoneInfo(DEFAULT)


def day_at(moment: datetime, name: str) -> date:
    """Which day it is there."""
    return moment.astimezone(zone(name)).date()


def day_of(year: int, month: int, day: int) -> date:
    """A day that a person has named. Raises `ValueError` where there is none such."""
    if year not in YEARS:
        raise ValueError(f"year {year} is not of {YEARS.start} to {YEARS[-1]}")
    return date(year, month, day)


def read_day(text: str) -> date | None:
    """The same of a text like 2026-03-31; None for what is no day."""
    try:
        named = date.fromisoformat(text)
        return day_of(named.year, named.month, named.day)
    except ValueError:
        return None


def span(day: date, name: str) -> tuple[datetime, datetime]:
    """When that day begins and ends there; 23 to 25 hours."""
    there = zone(name)
    begin, end = (datetime.combine(one, datetime.min.time(), there) for one in (day, day + timedelta(days=1)))
    return begin.astimezone(UTC), end.astimezone(UTC)
