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
ACCOUNTS = 16
"""Bits: names that nobody has share so many rows, so that a stranger cannot fill the table."""


def delay(kind: str, failures: int) -> timedelta:
    """How long after so many failures the next attempt waits."""
    over = failures - FREE[kind]
    return timedelta(0) if over < 0 else min(FIRST * 2 ** min(over, 20), LONGEST[kind])


def keys_of(email: str, address: str) -> tuple[str, ...]:
    """The rows an attempt is counted in."""
    name = int.from_bytes(hashlib.sha256(email.lower().encode()).digest()[:4]) >> (32 - ACCOUNTS)
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
    tx.session.execute(delete(LoginAttempt).where(LoginAttempt.last_at < now - 2 * FORGOTTEN_AFTER))


def succeeded(tx: Transaction, keys: tuple[str, ...]) -> None:
    """An account that was entered has no failures; its address keeps its own."""
    tx.session.execute(delete(LoginAttempt).where(LoginAttempt.key.in_([k for k in keys if k.startswith("account")])))
