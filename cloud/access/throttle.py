"""How long who failed to log in waits: by account and by address, in a table all processes share."""

import hashlib
from datetime import datetime, timedelta

from sqlalchemy import case, delete, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from cloud.access.models import LoginAttempt
from cloud.database.transaction import Transaction

FORGOTTEN_AFTER = timedelta(hours=1)
FREE = {"account": 5, "address": 20}
"""Failures in a row that cost nothing."""
LONGEST = {"account": timedelta(minutes=1), "address": timedelta(minutes=15)}
"""An account's wait is short: a stranger who knows its name must not be able to keep its owner out."""
FIRST = timedelta(seconds=5)
MOST = 65_536
"""Rows of the table; the oldest go first. A stranger cannot fill it, and to have a row forgotten costs him thousands of
failures for the five it frees."""


def delay(kind: str, failures: int) -> timedelta:
    """How long after so many failures the next attempt waits."""
    over = failures - FREE[kind]
    return timedelta(0) if over < 0 else min(FIRST * 2 ** min(over, 20), LONGEST[kind])


def keys_of(email: str, address: str) -> tuple[str, ...]:
    """The rows an attempt is counted in. No two accounts share one, however an address is typed."""
    name = hashlib.sha256(email.strip().lower().encode()).hexdigest()
    return (f"account:{name}", *([f"address:{address}"] if address else []))


def waits_until(session: Session, keys: tuple[str, ...], now: datetime) -> datetime | None:
    """Until when attempts of this account or address are not looked at; None when they are."""
    found = session.execute(select(LoginAttempt).where(LoginAttempt.key.in_(keys))).scalars()
    ends = [one.last_at + delay(one.key.partition(":")[0], one.failures) for one in found
            if now - one.last_at < FORGOTTEN_AFTER]  # fmt: skip
    latest = max(ends, default=now)
    return latest if latest > now else None


def failed(tx: Transaction, keys: tuple[str, ...], now: datetime) -> None:
    """Count a failure. Two at once are both counted."""
    adding = (sqlite if tx.connection.dialect.name == "sqlite" else postgresql).insert(LoginAttempt)
    is_old = LoginAttempt.last_at < now - FORGOTTEN_AFTER
    statement = adding.on_conflict_do_update(
        index_elements=["key"],
        set_={"failures": case((is_old, 1), else_=LoginAttempt.failures + 1), "last_at": now},
    )
    for key in sorted(keys):
        tx.execute(statement, {"key": key, "failures": 1, "last_at": now})
    _forget(tx, now)


def succeeded(tx: Transaction, keys: tuple[str, ...]) -> None:
    """An account that was entered has no failures; its address keeps its own."""
    tx.session.execute(delete(LoginAttempt).where(LoginAttempt.key.in_([k for k in keys if k.startswith("account")])))


def _forget(tx: Transaction, now: datetime) -> None:
    old = now - 2 * FORGOTTEN_AFTER
    newest_first = select(LoginAttempt.last_at).order_by(LoginAttempt.last_at.desc())
    oldest_kept = tx.session.scalar(newest_first.offset(MOST - 1).limit(1)) or old
    over = select(LoginAttempt.key).where(LoginAttempt.last_at < max(oldest_kept, old))
    free = over.with_for_update(skip_locked=True)  # so that no two who count wait for each other
    tx.session.execute(delete(LoginAttempt).where(LoginAttempt.key.in_(free)))
