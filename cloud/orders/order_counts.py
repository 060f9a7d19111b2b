"""Keeps `order_hours` true: an hour of which an order has ended is counted anew as a whole."""

from collections.abc import Iterable
from datetime import datetime, timedelta

from sqlalchemy import delete, func, insert, select

from cloud.database.database import Database
from cloud.database.plain_rows import insert_if_new
from cloud.database.transaction import Transaction
from cloud.orders.models import Order, OrderChange
from cloud.orders.order_hours import OrderHour, hour_of
from cloud.orders.sales_days import EVERY, in_lots, read_on
from cloud.orders.sales_tables import SalesMark
from cloud.orders.states import FINAL, values_of

MARK = OrderHour.__tablename__
AN_HOUR = timedelta(hours=1)
_ENDS = values_of(FINAL)


class OrderCounts:
    """In every worker, one of them at a time."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def step(self, now: datetime) -> datetime:
        """Count what has changed; at once again while there is more."""
        return now if self._database.transact(count_on) else now + EVERY


def count_on(tx: Transaction) -> bool:
    """Bring the hours that have changed up to date. Whether there is more."""
    insert_if_new(tx.connection, SalesMark, {"name": MARK, "number": 0})
    mark = tx.session.scalar(select(SalesMark).where(SalesMark.name == MARK).with_for_update(skip_locked=True))
    if mark is None:  # another worker is at it
        return False
    numbers, is_more = read_on(tx.session, mark, OrderChange)
    if numbers:
        within = (OrderChange.id >= numbers.start, OrderChange.id < numbers.stop)
        is_end = OrderChange.status_after.in_(_ENDS) | OrderChange.status_before.in_(_ENDS)
        _count_anew(tx, set(tx.session.scalars(select(OrderChange.order_id).where(*within, is_end))))
    return is_more


def _count_anew(tx: Transaction, order_ids: Iterable[str]) -> None:
    hours = {
        hour_of(created_at)
        for some in in_lots(sorted(order_ids))
        for created_at in tx.session.scalars(select(Order.created_at).where(Order.id.in_(some)))
    }
    for hour in sorted(hours):
        of_hour = OrderHour.hour == hour
        tx.session.scalars(select(OrderHour).where(of_hour).with_for_update()).all()  # taking orders away waits
        counted = select(Order.status, func.count()).where(Order.created_at >= hour, Order.created_at < hour + AN_HOUR)
        found = tx.session.execute(counted.where(Order.status.in_(_ENDS)).group_by(Order.status)).all()
        tx.session.execute(delete(OrderHour).where(of_hour))
        if found:
            rows = [{"hour": hour, "status": status, "number": number} for status, number in found]
            tx.session.execute(insert(OrderHour), rows)
