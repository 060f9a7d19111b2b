"""Is it due? A date of ours further ahead than anything here ever waits was written while the clock was wrong.

A hardware clock kept in local time is set back by hours after a start. What was put off before must not wait for them.
"""

from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, or_
from sqlalchemy.orm import InstrumentedAttribute


def is_due(at: datetime, now: datetime, longest: timedelta) -> bool:
    """Its time has come, or can never have been meant."""
    return at <= now or at > now + longest


def due(at: ColumnElement[Any] | InstrumentedAttribute[Any], now: object, beyond: object) -> ColumnElement[bool]:
    """The same of a column; `beyond` is `now` and the longest wait."""
    return or_(at <= now, at > beyond)
