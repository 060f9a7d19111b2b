"""Is it due? A date of ours further ahead than anything here ever waits was written while the clock was wrong.

A hardware clock kept in local time is set back by hours after a start. What was put off before must not wait for them.
"""

from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, or_
from sqlalchemy.orm import InstrumentedAttribute

SLACK = timedelta(minutes=10)
"""Others write dates, too, by a `now` that is ahead of ours by a blink, or by as long as a step of ours takes."""


def latest(now: datetime, longest: timedelta) -> datetime:
    """The latest date that can be meant where nothing waits longer than `longest`.

    The slack is no longer than the wait: what waits for seconds would wait for minutes once the clock was set back.
    """
    return now + longest + min(longest, SLACK)


def is_due(at: datetime, now: datetime, longest: timedelta) -> bool:
    """Its time has come, or can never have been meant."""
    return at <= now or at > latest(now, longest)


def due(at: ColumnElement[Any] | InstrumentedAttribute[Any], now: object, latest_meant: object) -> ColumnElement[bool]:
    """The same of a column."""
    return or_(at <= now, at > latest_meant)
