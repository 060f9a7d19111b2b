"""In whose time a day begins: each machine stands in a zone, each merchant keeps books in one."""

from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

DEFAULT = "Europe/Moscow"


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


def span(day: date, name: str) -> tuple[datetime, datetime]:
    """When that day begins and ends there; 23 to 25 hours."""
    there = zone(name)
    begin, end = (datetime.combine(one, datetime.min.time(), there) for one in (day, day + timedelta(days=1)))
    return begin.astimezone(UTC), end.astimezone(UTC)
