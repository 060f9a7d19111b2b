"""Remove orders that nobody ever began to pay, a week after they expired; their ids are not used again.

What is left is the id: its old code stays over. The database itself forbids to forget an order with a payment, and
to remove a history that was not forgotten (`cloud/migrations/append_only.py`).
"""

import logging
from datetime import datetime, timedelta

from sqlalchemy import String, delete, exists, insert, select
from sqlalchemy.orm import Mapped, mapped_column

from cloud.database.base import Base
from cloud.database.database import Database
from cloud.database.transaction import Transaction
from cloud.orders import order_hours
from cloud.orders.models import MakeCommand, Order, OrderChange, Payment
from cloud.orders.states import EXPIRED, Status

log = logging.getLogger("cloud.orders.forgetting")

KEPT_FOR = timedelta(days=7)
IDS_KEPT_FOR = timedelta(days=400)
"""How long an old code is answered with "it is over"."""
BATCH = 200
SOON, LATER = timedelta(seconds=1), timedelta(hours=1)


class ForgottenOrder(Base):
    """The id of a removed order, with the tag of the code that opened it (`order_ids.py`) and its machine."""

    __tablename__ = "forgotten_orders"

    order_id: Mapped[str] = mapped_column(String(255), primary_key=True)
    opened_by: Mapped[str | None] = mapped_column(String(24), default=None)
    device_uuid: Mapped[str | None] = mapped_column(String(64), default=None)
    """None: forgotten before machines were kept."""
    at: Mapped[datetime] = mapped_column(index=True)


class Forgetting:
    """Removes such orders in a loop, a few at a time."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def step(self, now: datetime) -> datetime:
        """Remove some; return when to go on."""
        forgotten = self._database.transact(forget, now)
        if forgotten:
            log.info("%d orders that nobody paid are removed", forgotten)
        return now + (SOON if forgotten == BATCH else LATER)


def forget(tx: Transaction, now: datetime) -> int:
    """Remove up to `BATCH` orders, and ids older than any code; return how many orders."""
    tx.session.execute(delete(ForgottenOrder).where(ForgottenOrder.at < now - IDS_KEPT_FOR))
    unpaid = ~exists().where(Payment.order_id == Order.id) & ~exists().where(MakeCommand.order_id == Order.id)
    over = select(Order.id, Order.opened_by, Order.device_uuid, Order.created_at, Order.status).where(
        Order.status == Status.FAILED.value, Order.reason == EXPIRED, Order.finished_at <= now - KEPT_FOR, unpaid
    )
    rows = tx.session.execute(over.limit(BATCH).with_for_update(skip_locked=True)).all()
    if not rows:
        return 0
    ids = [row.id for row in rows]
    tx.session.execute(
        insert(ForgottenOrder),
        [{"order_id": row.id, "opened_by": row.opened_by, "device_uuid": row.device_uuid, "at": now} for row in rows],
    )
    order_hours.taken_away(tx, [dict(row._mapping) for row in rows])
    tx.session.execute(delete(OrderChange).where(OrderChange.order_id.in_(ids)))
    tx.session.execute(delete(Order).where(Order.id.in_(ids)))
    return len(ids)
