"""Whose turn it is: of several workers one looks at a time, and what is done once a day is done once."""

from datetime import datetime, timedelta

from sqlalchemy import or_, update

from cloud.alerts.models import Watch
from cloud.database.transaction import Transaction

NAMES = ("incidents", "usual_weeks", "presses:telegram", "presses:max")
"""Their rows are made with the table."""


def take(tx: Transaction, name: str, every: timedelta, now: datetime, holder: str = "") -> bool:
    """Take the turn, and tell whether it is ours: due `every` after the last, for its holder at once.

    Until the commit nobody else gets it. A last time ahead of `now` was written before the clock was set back.
    """
    mine = [Watch.looked_at <= now - every, Watch.looked_at > now]
    if holder:
        mine.append(Watch.holder == holder)
    taken = update(Watch).where(Watch.name == name, or_(*mine)).values(looked_at=now, holder=holder)
    return tx.session.scalar(taken.returning(Watch.name)) is not None


def is_alone(tx: Transaction) -> bool:
    """On SQLite there is one worker: it need not write down that it looks."""
    return tx.session.get_bind().dialect.name == "sqlite"
