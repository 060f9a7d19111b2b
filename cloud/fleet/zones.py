"""In whose time a day begins: each machine stands in a zone, each merchant keeps books in one."""

import hashlib
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


def rules_of(name: str) -> str:
    """Names when which offset holds there: where this is another one, days begin at other moments than before."""
    return _rules(zone(name))


@lru_cache(64)
def _rules(there: ZoneInfo) -> str:
    found = hashlib.sha256()
    at, end, a_week = datetime(YEARS.start, 1, 1, tzinfo=UTC), datetime(YEARS.stop, 1, 1, tzinfo=UTC), timedelta(days=7)
    before = at.astimezone(there).utcoffset()
    found.update(f"{before}".encode())
    while (at := at + a_week) < end:
        offset = at.astimezone(there).utcoffset()
        if offset != before:
            found.update(f" {_changes(at - a_week, at, there)} {offset}".encode())
            before = offset
    return found.hexdigest()[:32]


def _changes(after: datetime, until: datetime, there: ZoneInfo) -> datetime:
    """The second, of one week, from which on another offset holds."""
    before = after.astimezone(there).utcoffset()
    while until - after > timedelta(seconds=1):
        between = after + (until - after) // timedelta(seconds=2) * timedelta(seconds=1)
        if between.astimezone(there).utcoffset() == before:
            after = between
        else:
            until = between
    return until
