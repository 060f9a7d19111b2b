"""Fill `payments.earned` for payments older than the column, and take it away where it is not so any more.

`owed_tasks.py` writes it; a program from before the column does not. An unfilled one is only looked at too often. One
that stays where the drink was not poured after all, or is to be paid back, is never looked at.
"""

from collections.abc import Iterator
from datetime import datetime, timedelta

from sqlalchemy import Select, select, text, update

from cloud.database.database import Database
from cloud.database.transaction import Transaction
from cloud.orders.models import GIVEN_BACK, NOT_EARNED, Order, Payment
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
        with self._database.read() as session:  # it writes on the day of an upgrade, and looks at thousands every hour
            is_due = any(session.scalar(which.limit(1)) for which, _ in _wrong())
        return now + (SOON if is_due and self._database.transact(mark_some) == BATCH else LATER)


def mark_some(tx: Transaction) -> int:
    """Mark up to `BATCH` payments, and take the mark from as many; return the greater number."""
    return max(_write(tx, which, earned) for which, earned in _wrong())


def _wrong() -> Iterator[tuple[Select[str], bool]]:
    """What is to be written, and of which payments: few orders were not poured, of few a person returns something."""
    of_orders = select(Payment.id).join(Order, Order.id == Payment.order_id).limit(BATCH)
    poured = of_orders.where(text(NOT_EARNED), PAYS, Order.status == Status.SUCCESSFUL.value)
    yield poured.where(Order.given_back <= Payment.refunded), True
    marked = of_orders.where(Payment.earned, Payment.captured > Payment.refunded)
    yield marked.where(Order.status == Status.MAKE_FAILED.value), False
    yield marked.where(text(GIVEN_BACK), Order.given_back > Payment.refunded), False


def _write(tx: Transaction, which: Select[str], earned: bool) -> int:
    ids = tx.session.scalars(which.with_for_update(skip_locked=True)).all()
    if ids:
        tx.session.execute(update(Payment).where(Payment.id.in_(ids)).values(earned=earned))
    return len(ids)
