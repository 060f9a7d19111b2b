"""How long the next try to log in waits after failures: by account and by address, in a table all processes share.

A try is counted before it is judged, and given back when it was right: of many at once no more are judged than of as
many one after another.
"""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Row, Select, case, delete, literal, select, true, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from cloud.access.models import LoginAttempt
from cloud.database.transaction import Transaction
from cloud.http.addresses import home_of

FORGOTTEN_AFTER = timedelta(hours=1)
FREE = {"account": 5, "address": 20, "browser": 5, "session": 5}
"""Failures in a row that cost nothing."""
_LONG = timedelta(minutes=15)
LONGEST = {"account": timedelta(minutes=1), "address": _LONG, "browser": _LONG, "session": _LONG}
"""An account's wait is short: it is for all browsers the account does not know, and a stranger who knows its name can
make it last. A known browser and an open session are counted for themselves alone: no stranger makes them wait.
"""
FIRST = timedelta(seconds=5)
MOST = 65_536
"""Rows of the table; the oldest go first. A stranger cannot fill it, and to have a row forgotten costs him thousands of
failures for the five it frees."""


class Waits(Exception):
    """The user must wait before his next try, and until when."""

    def __init__(self, until: datetime) -> None:
        super().__init__(until)
        self.until = until


@dataclass(frozen=True)
class Try:
    """A try that is counted as a failure until it proves right."""

    at: datetime
    before: Mapping[str, datetime]
    """The rows it is counted in, and when each had its last one."""


def delay(kind: str, failures: int) -> timedelta:
    """How long after so many failures the next attempt waits."""
    over = failures - FREE[kind]
    return timedelta(0) if over < 0 else min(FIRST * 2 ** min(over, 20), LONGEST[kind])


def keys_of(email: str, address: str, browser: str = "") -> tuple[str, ...]:
    """The rows an attempt is counted in. No two accounts share one, however an address is typed.

    `browser`: what the account calls a browser it was entered by before (`known_browsers.py`).
    """
    if browser:
        return (f"browser:{browser}",)
    name = hashlib.sha256(email.strip().lower().encode()).hexdigest()
    return (f"account:{name}", *keys_of_address(address))


def keys_of_address(address: str) -> tuple[str, ...]:
    """Return the rows of a client that has given no name yet."""
    return (f"address:{home_of(address)}",) if address else ()


def keys_of_session(session_id: str) -> tuple[str, ...]:
    """Return the rows of a user who shows again who he is."""
    return (f"session:{session_id}",)


def waits_until(session: Session, keys: tuple[str, ...], now: datetime) -> datetime | None:
    """Until when attempts counted there are not looked at; None when they are."""
    return _end(session.execute(_rows_of(keys)).all(), now)


def begin(tx: Transaction, keys: tuple[str, ...], now: datetime) -> Try:
    """Count a try; two at once are both counted. Raises `Waits`, and then the whole transaction is to be undone."""
    adding = (sqlite if tx.connection.dialect.name == "sqlite" else postgresql).insert(LoginAttempt)
    is_old = LoginAttempt.last_at < now - FORGOTTEN_AFTER
    statement = adding.on_conflict_do_update(
        index_elements=["key"], set_={"failures": case((is_old, 1), else_=LoginAttempt.failures + 1)}
    )
    for key in sorted(keys):
        tx.execute(statement, {"key": key, "failures": 1, "last_at": now})
    rows = tx.execute(_rows_of(keys)).all()
    if until := _end(rows, now, but=1):
        raise Waits(until)
    tx.execute(update(LoginAttempt).where(LoginAttempt.key.in_(keys)).values(last_at=now))
    _forget(tx, now)
    return Try(now, {row.key: row.last_at for row in rows})


def give_back(tx: Transaction, counted: Try) -> None:
    """It was no failure: as if it had not been."""
    last_at = LoginAttempt.last_at
    for key, before in sorted(counted.before.items()):
        was = case((last_at == counted.at, literal(before, last_at.type)), else_=last_at)
        undone = update(LoginAttempt).where(LoginAttempt.key == key)
        tx.execute(undone.values(failures=LoginAttempt.failures - 1, last_at=was))
    _delete(tx, counted.before, LoginAttempt.failures <= 0)


def succeeded(tx: Transaction, counted: Try) -> None:
    """Forget the failures of what was entered; its address keeps its own, but for this try."""
    give_back(tx, counted)
    _delete(tx, [key for key in counted.before if not key.startswith("address:")], true())


def _rows_of(keys: Iterable[str]) -> Select[str, int, datetime]:
    return select(LoginAttempt.key, LoginAttempt.failures, LoginAttempt.last_at).where(LoginAttempt.key.in_(keys))


def _end(rows: Iterable[Row[*tuple[Any, ...]]], now: datetime, but: int = 0) -> datetime | None:
    """Until when these make wait, without so many failures of each."""
    ends = [one.last_at + delay(one.key.partition(":")[0], one.failures - but) for one in rows
            if now - one.last_at < FORGOTTEN_AFTER]  # fmt: skip
    latest = max(ends, default=now)
    return latest if latest > now else None


def _delete(tx: Transaction, keys: Iterable[str], which: ColumnElement[bool]) -> None:
    tx.execute(delete(LoginAttempt).where(LoginAttempt.key.in_(list(keys)), which))


def _forget(tx: Transaction, now: datetime) -> None:
    old = now - 2 * FORGOTTEN_AFTER
    newest_first = select(LoginAttempt.last_at).order_by(LoginAttempt.last_at.desc())
    oldest_kept = tx.session.scalar(newest_first.offset(MOST - 1).limit(1)) or old
    over = select(LoginAttempt.key).where(LoginAttempt.last_at < max(oldest_kept, old))
    free = over.with_for_update(skip_locked=True)  # so that no two who count wait for each other
    tx.session.execute(delete(LoginAttempt).where(LoginAttempt.key.in_(free)))
