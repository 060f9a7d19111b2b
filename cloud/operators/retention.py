"""What is kept only for a while, and the loop that removes it when its time is over: a few rows at a time.

Orders, their history and the ledger stay (`orders/forgetting.py` removes those nobody paid); events of machines,
spells of presence and alerts are limited where they are written. docs/operations.md has the rule of every table.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, and_, case, select, text, true
from sqlalchemy.orm import InstrumentedAttribute

from cloud.access.models import LoginSession
from cloud.courier.device_jobs import DeviceJob
from cloud.database.base import Base
from cloud.database.database import Database
from cloud.database.transaction import Transaction
from cloud.fleet import replaced_credentials
from cloud.fleet.replaced_credentials import ReplacedCredential
from cloud.operators import old_news
from cloud.orders.outbox import OF_NO_ORDER, OutboxRow
from cloud.orders.restores import UnclaimedOutcome
from cloud.payments.models import StoredNotification
from cloud.payments.reconcile.models import DeviceCount, FoundDifference, Reconciliation, State

log = logging.getLogger("cloud.operators.retention")

BATCH = 500
SOON, LATER = timedelta(seconds=1), timedelta(hours=1)
QUARTER = timedelta(days=90)
YEARS = timedelta(days=3 * 366)
"""A merchant's books are asked for so long after the year's end."""


@dataclass(frozen=True)
class Kept:
    """Rows of one table, by the moment they are kept from."""

    table: type[Base]
    key: InstrumentedAttribute[Any]
    """What the rows are removed by, the oldest first: numbers that grow, or the moment itself."""
    since: Callable[[Any], datetime | None]
    term: timedelta
    may_go: Callable[[datetime], ColumnElement[bool]] = lambda _: true()
    """Which may go at all, of those kept from before a moment. The others are not in the way of these."""
    among: str = ""
    """Only these of the table, by an index's condition."""


def _day_of(row: Any) -> datetime:
    day = row.day
    return datetime(day.year, day.month, day.day, tzinfo=UTC)


def _is_past(before: datetime) -> ColumnElement[bool]:
    """Of findings: closed, or explained and not seen again. One that is open waits for a person."""
    found = FoundDifference
    ended_at = case(
        (found.state == State.CLOSED.value, found.closed_at), (found.state == State.EXPLAINED.value, found.last_seen_at)
    )
    return and_(found.day < before.date(), ended_at < before)


ALL: tuple[Kept, ...] = (
    Kept(UnclaimedOutcome, UnclaimedOutcome.id, lambda row: row.received_at, QUARTER),
    Kept(FoundDifference, FoundDifference.day, lambda row: row.closed_at or row.last_seen_at, YEARS, _is_past),
    Kept(
        DeviceJob, DeviceJob.asked_at, lambda row: row.ended_at, QUARTER, lambda _: DeviceJob.ended_at.is_not(None)
    ),
    Kept(
        OutboxRow, OutboxRow.id, lambda row: row.settled_at, QUARTER, lambda _: OutboxRow.settled_at.is_not(None),
        OF_NO_ORDER,
    ),
    Kept(LoginSession, LoginSession.expires_at, lambda row: row.expires_at, QUARTER),
    Kept(ReplacedCredential, ReplacedCredential.replaced_at, lambda row: row.replaced_at, replaced_credentials.KEPT),
    Kept(Reconciliation, Reconciliation.day, _day_of, YEARS, lambda _: Reconciliation.next_at.is_(None)),
    Kept(DeviceCount, DeviceCount.day, _day_of, YEARS),
)  # fmt: skip


class Retention:
    """One per worker; two do no harm to each other."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._news_place = 0
        """How far old notifications have been looked at since this worker began."""

    def step(self, now: datetime) -> datetime:
        """Remove some of each kind; when to go on."""
        removed = {kept.table.__tablename__: self._database.transact(remove, kept, now) for kept in ALL}
        place, gone = self._database.transact(old_news.let_go, self._news_place, now - QUARTER, BATCH)
        removed[StoredNotification.__tablename__] = gone
        told = {name: count for name, count in removed.items() if count}
        if told:
            log.info("past their term and removed: %s", ", ".join(f"{n} of {name}" for name, n in told.items()))
        goes_on = bool(told) or place != self._news_place
        self._news_place = place
        return now + (SOON if goes_on else LATER)


def remove(tx: Transaction, kept: Kept, now: datetime) -> int:
    """Of the oldest rows that may go those whose term is over; how many. Only the oldest are looked at."""
    before = now - kept.term
    some = select(kept.table).where(kept.may_go(before), *([text(kept.among)] if kept.among else []))
    oldest = tx.session.scalars(some.order_by(kept.key).limit(BATCH).with_for_update(skip_locked=True))
    over = [row for row in oldest if (kept.since(row) or now) < before]
    for row in over:
        tx.session.delete(row)
    return len(over)
