"""How many orders have ended how, kept by the hour they were scanned in: no query counts millions of them.

`order_counts.py` counts an hour anew when one of its orders has ended; taking orders away, or back, is counted here.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Integer, String, func, select, update
from sqlalchemy.orm import Mapped, Session, mapped_column

from cloud.database.base import Base
from cloud.database.plain_rows import insert_if_new
from cloud.database.transaction import Transaction
from cloud.orders.models import Order
from cloud.orders.states import FINAL, Status, values_of

AT_REST = datetime(1970, 1, 1, tzinfo=UTC)
"""The hour that stands for all orders in the archive."""
Place = tuple[datetime, str]
"""An hour and a status."""


class OrderHour(Base):
    """The orders of one hour that stand in one final status."""

    __tablename__ = "order_hours"

    hour: Mapped[datetime] = mapped_column(primary_key=True)
    status: Mapped[str] = mapped_column(String(16), primary_key=True)
    number: Mapped[int] = mapped_column(Integer)


def hour_of(moment: datetime) -> datetime:
    """The hour it lies in."""
    return moment.replace(minute=0, second=0, microsecond=0)


def by_status(session: Session) -> dict[str, int]:
    """Orders by their status; those that have ended as of the last minute."""
    ended = select(OrderHour.status, func.sum(OrderHour.number)).group_by(OrderHour.status)
    has_not_ended = Order.status.in_(values_of(frozenset(Status) - FINAL))
    under_way = select(Order.status, func.count()).where(has_not_ended).group_by(Order.status)
    return {status: int(number) for asked in (ended, under_way) for status, number in session.execute(asked)}


def taken_away(tx: Transaction, orders: Iterable[Mapping[str, Any]]) -> None:
    """These rows of orders are removed; what is not counted yet is none."""
    _add(tx, {place: -number for place, number in _counted(orders).items()})


def put_to_rest(tx: Transaction, orders: Iterable[Mapping[str, Any]]) -> None:
    """These rows of orders go into the archive."""
    _move(tx, _counted(orders), 1)


def taken_from_rest(tx: Transaction, orders: Iterable[Mapping[str, Any]]) -> None:
    """And out of it."""
    _move(tx, _counted(orders), -1)


def _counted(orders: Iterable[Mapping[str, Any]]) -> Counter[Place]:
    return Counter((hour_of(row["created_at"]), str(row["status"])) for row in orders)


def _move(tx: Transaction, counted: Counter[Place], to_rest: int) -> None:
    changes = {place: -to_rest * number for place, number in counted.items()}
    for (_, status), number in counted.items():
        changes[AT_REST, status] = changes.get((AT_REST, status), 0) + to_rest * number
    _add(tx, changes)


def _add(tx: Transaction, changes: Mapping[Place, int]) -> None:
    """In one order for all, so that nobody waits for each other."""
    for (hour, status), number in sorted(changes.items()):
        if number > 0:
            insert_if_new(tx.connection, OrderHour, {"hour": hour, "status": status, "number": 0})
        of_hour = (OrderHour.hour == hour, OrderHour.status == status)
        tx.connection.execute(update(OrderHour).where(*of_hour).values(number=OrderHour.number + number))
