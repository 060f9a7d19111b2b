"""What is kept only for a while, and the loop that removes it when its time is over: a few rows at a time.

Orders, their history and the ledger stay (`orders/forgetting.py` removes those nobody paid); events of machines,
spells of presence and alerts are limited where they are written. docs/operations.md has the rule of every table.
"""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import select, text
from sqlalchemy.orm import InstrumentedAttribute

from cloud.access.models import LoginSession
from cloud.courier.device_jobs import DeviceJob
from cloud.database.base import Base
from cloud.database.database import Database
from cloud.database.transaction import Transaction
from cloud.fleet import replaced_credentials
from cloud.fleet.replaced_credentials import ReplacedCredential
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
    """Rows of one table, by the moment they are kept from; `is_over` says which may go at all."""

    table: type[Base]
    key: InstrumentedAttribute[Any]
    """What the rows are removed by, the oldest first: numbers that grow, or the moment itself."""
    since: Callable[[Any], datetime | None]
    term: timedelta
    is_over: Callable[[Any], bool] = lambda _: True
    among: str = ""
    """Only these of the table, by an index's condition."""


def _day_of(row: Any) -> datetime:
    day = row.day
    return datetime(day.year, day.month, day.day, tzinfo=UTC)


ALL: tuple[Kept, ...] = (
    Kept(
        StoredNotification, StoredNotification.id, lambda row: row.received_at, QUARTER,
        lambda row: row.handled_at is not None,
    ),
    Kept(UnclaimedOutcome, UnclaimedOutcome.id, lambda row: row.received_at, QUARTER),
    Kept(
        FoundDifference, FoundDifference.id, lambda row: row.closed_at, YEARS,
        lambda row: row.state == State.CLOSED.value,
    ),
    Kept(DeviceJob, DeviceJob.asked_at, lambda row: row.ended_at, QUARTER, lambda row: row.ended_at is not None),
    Kept(
        OutboxRow, OutboxRow.id, lambda row: row.settled_at, QUARTER, lambda row: row.settled_at is not None,
        OF_NO_ORDER,
    ),
    Kept(LoginSession, LoginSession.expires_at, lambda row: row.expires_at, QUARTER),
    Kept(ReplacedCredential, ReplacedCredential.replaced_at, lambda row: row.replaced_at, replaced_credentials.KEPT),
    Kept(Reconciliation, Reconciliation.day, _day_of, YEARS, lambda row: row.next_at is None),
    Kept(DeviceCount, DeviceCount.day, _day_of, YEARS),
)  # fmt: skip


class Retention:
    """One per worker; two do no harm to each other."""

    def __init__(self, database: Database, kinds: Sequence[Kept] = ALL) -> None:
        self._database = database
        self._kinds = kinds

    def step(self, now: datetime) -> datetime:
        """Remove some of each kind; when to go on."""
        removed = {kept.table.__tablename__: self._database.transact(remove, kept, now) for kept in self._kinds}
        told = {name: count for name, count in removed.items() if count}
        if told:
            log.info("past their term and removed: %s", ", ".join(f"{n} of {name}" for name, n in told.items()))
        return now + (SOON if told else LATER)


def remove(tx: Transaction, kept: Kept, now: datetime) -> int:
    """Of the oldest rows those whose term is over; how many. Only the oldest are looked at, however many there are."""
    some = select(kept.table).where(text(kept.among)) if kept.among else select(kept.table)
    oldest = tx.session.scalars(some.order_by(kept.key).limit(BATCH).with_for_update(skip_locked=True))
    over = [row for row in oldest if kept.is_over(row) and (kept.since(row) or now) < now - kept.term]
    for row in over:
        tx.session.delete(row)
    return len(over)
