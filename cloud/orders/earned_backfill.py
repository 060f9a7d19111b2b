"""Fill `payments.earned` for payments older than the column.

`owed_tasks.py` writes it for new ones. An unfilled one is only looked at too often.
"""

from datetime import datetime, timedelta

from sqlalchemy import select, text, update

from cloud.database.database import Database
from cloud.database.transaction import Transaction
from cloud.orders.models import NOT_EARNED, Order, Payment
from cloud.orders.states import Status
from cloud.orders.waiting_return import PAYS

BATCH = 200
SOON, LATER = timedelta(seconds=1), timedelta(hours=1)


class EarnedBackfill:
    """One per worker; several share the work, as nobody waits for a row that is held."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def step(self, now: datetime) -> datetime:
        """Mark some; return when to go on."""
        return now + (SOON if self._database.transact(mark_some) == BATCH else LATER)


def mark_some(tx: Transaction) -> int:
    """Mark up to `BATCH` payments; return how many."""
    poured = select(Payment.id).join(Order, Order.id == Payment.order_id)
    poured = poured.where(
        text(NOT_EARNED), PAYS, Order.status == Status.SUCCESSFUL.value, Order.given_back <= Payment.refunded
    ).limit(BATCH)
    ids = tx.session.scalars(poured.with_for_update(skip_locked=True)).all()
    if ids:
        tx.session.execute(update(Payment).where(Payment.id.in_(ids)).values(earned=True))
    return len(ids)
