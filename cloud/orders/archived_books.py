"""What rests in the archive, read where it lies: the orders of a time with their money, for books and sums."""

import heapq
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TypeVar

from sqlalchemy import ColumnElement, select
from sqlalchemy.orm import Session

from cloud.database.base import Base
from cloud.database.plain_rows import fresh
from cloud.orders.archive import SHORT, ArchivedOrder, Parts, Row, known_columns, unpack
from cloud.orders.models import MakeCommand, Movement, Order, Payment

AT_ONCE = 500
T = TypeVar("T", bound=Base)
Line = tuple[Movement, Payment, Order, int | None]
"""A movement of money; of what was captured the commission, where it is known."""


@dataclass(frozen=True)
class Resting:
    """One order at rest: rows to read, that no session knows."""

    begins_at: datetime
    order: Order
    lines: Sequence[Line]


def find(session: Session, order_id: str) -> Order | None:
    """An order at rest; None where it does not."""
    packed = session.scalar(select(ArchivedOrder.packed).where(ArchivedOrder.order_id == order_id))
    return None if packed is None else _row(Order, unpack(packed)["orders"][0])


def names(session: Session, which: ColumnElement[bool], begin: datetime, end: datetime, limit: int) -> list[str]:
    """The numbers of some of those that `resting` would give."""
    found: list[str] = []
    for condition in _within(begin, end):
        found += session.scalars(select(ArchivedOrder.order_id).where(which, condition).limit(limit - len(found)))
    return found


def resting(session: Session, which: ColumnElement[bool], begin: datetime, end: datetime) -> Iterator[Resting]:
    """Of those orders all that something may have happened to in a time, by their beginning."""
    begins = ArchivedOrder.begins_at
    for condition in _within(begin, end):
        found = select(begins, ArchivedOrder.packed).where(which, condition).order_by(begins)
        for begins_at, packed in session.execute(found.execution_options(yield_per=AT_ONCE)):
            yield _resting(begins_at, unpack(packed))


def ledger_lines(session: Session, which: ColumnElement[bool], begin: datetime, end: datetime) -> Iterator[Line]:
    """Every movement of money of those orders in a time, oldest first; none of a test device."""
    waiting: list[tuple[datetime, int, Line]] = []
    for one in resting(session, which, begin, end):
        while waiting and waiting[0][0] < one.begins_at:
            yield heapq.heappop(waiting)[2]
        for line in one.lines:
            if begin <= line[0].at < end and not one.order.is_test:
                heapq.heappush(waiting, (line[0].at, line[0].id, line))
    while waiting:
        yield heapq.heappop(waiting)[2]


def commands(
    session: Session, which: ColumnElement[bool], begin: datetime, end: datetime
) -> Iterator[tuple[MakeCommand, Order]]:
    """The commands of those orders that were issued in a time."""
    for condition in _within(begin, end):
        found = select(ArchivedOrder.packed).where(which, condition)
        for packed in session.scalars(found.execution_options(yield_per=AT_ONCE)):
            parts = unpack(packed)
            order = _row(Order, parts["orders"][0])
            for row in parts["make_commands"]:
                if begin <= row["issued_at"] < end:
                    yield _row(MakeCommand, row), order


def _within(begin: datetime, end: datetime) -> tuple[ColumnElement[bool], ColumnElement[bool]]:
    begins, early = ArchivedOrder.begins_at, begin - SHORT
    return (ArchivedOrder.long_until >= begin) & (begins < early), (begins >= early) & (begins < end)


def _resting(begins_at: datetime, parts: Parts) -> Resting:
    order = _row(Order, parts["orders"][0])
    payments = {row["id"]: _row(Payment, row) for row in parts["payments"]}
    kept = {row["payment_id"]: row["amount"] for row in parts.get("commissions", ())}
    lines = [
        (_row(Movement, row), payments[row["payment_id"]], order,
         kept.get(row["payment_id"]) if row["kind"] == "captured" else None)
        for row in parts["movements"]
        if row["kind"] in {"captured", "refunded"}
    ]  # fmt: skip
    return Resting(begins_at, order, lines)


def _row(kind: type[T], values: Row) -> T:
    return fresh(kind, **known_columns(kind.__tablename__, values))
