"""Sales by machine and day in the machine's own zone, and by merchant and day: always a day anew as a whole.

What has changed is found in the three tables that only grow. A number may be committed after a higher one, so the last
ones are looked at again each time; what is rolled up twice is the same.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator
from datetime import date, datetime, timedelta
from typing import Any

from sqlalchemy import and_, delete, func, select
from sqlalchemy.orm import Session

from cloud.database.database import Database
from cloud.database.plain_rows import insert_if_new
from cloud.database.transaction import Transaction
from cloud.fleet.zones import day_at, span, zone
from cloud.orders import archived_books, sales_forms, sales_zones
from cloud.orders.archive import ArchivedOrder
from cloud.orders.commissions import Commission
from cloud.orders.models import Movement, Order, OrderChange, Payment
from cloud.orders.sales_figures import Figures
from cloud.orders.sales_tables import MerchantDay, SalesDay, SalesMark, SalesZone
from cloud.orders.states import DRINK_ENDED, UNTIMED, Status, values_of

EVERY = timedelta(seconds=60)
BATCH = 5_000
"""Rows looked at in one transaction."""
AGAIN = 500
"""Numbers looked at once more: none is committed so late."""
AT_ONCE = 200
"""Machines asked about in one statement."""
FORM = 2
"""Of what a day holds. Where it changes, all is rolled up anew, and programs of another form go by their own marks.

What those wrote over our days is rolled up anew (`sales_forms.py`). Days all of whose orders rest in the archive never
are: a change of it must read those there.
"""
GROWING = (OrderChange, Movement, Commission)
_ENDS = values_of(DRINK_ENDED)
_ENDED = Order.status.concat("").in_(_ENDS)
"""Said so that no index of statuses finds them: SQLite, not knowing how many they are, would read all of them."""
_MONEY = ("captured", "refunded")
Growing = OrderChange | Movement | Commission
Key = tuple[str, date]
"""A machine and a day."""


class SalesRollup:
    """Keeps `sales_days` true; in every worker, one of them at a time."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def step(self, now: datetime) -> datetime:
        """Roll up what has changed; at once again while there is more."""
        return now if self._database.transact(roll_up, now) else now + EVERY


def roll_up(tx: Transaction, now: datetime) -> bool:
    """Bring the days that have changed up to date. Whether there is more."""
    for table in GROWING:
        insert_if_new(tx.connection, SalesMark, {"name": mark_of(table), "number": 0})
    held = select(SalesMark).where(SalesMark.name.in_(_marks())).order_by(SalesMark.name)
    marks = {mark.name: mark for mark in tx.session.scalars(held.with_for_update(skip_locked=True))}
    if len(marks) < len(GROWING):  # another worker is at it
        return False
    for table in GROWING:
        sales_forms.go_back(tx, marks[mark_of(table)], table.__tablename__, FORM)
    ended, more_ended = _read_on(tx.session, marks, OrderChange)
    moved, more_moved = _read_on(tx.session, marks, Movement)
    told, more_told = _read_on(tx.session, marks, Commission)
    sales_zones.follow(tx, now)  # after that: whose machine was added by then is there
    days = _days_of_ends(tx.session, ended) | _days_of_money(tx.session, moved) | _days_of_commissions(tx.session, told)
    if (anew := sales_zones.take_day(tx)) is not None:
        days |= {(device, anew[0]) for device in anew[1]}
    _roll_up(tx, days)
    return more_ended or more_moved or more_told or sales_zones.is_behind(tx.session)


def is_behind(session: Session) -> bool:
    """Whether old days are still being rolled up: what is told of them is not yet all there is."""
    found = select(SalesMark.name, SalesMark.number).where(SalesMark.name.in_(_marks()))
    read = dict(session.execute(found).all())
    is_reading = any(_last(session, table) - read.get(mark_of(table), 0) > BATCH for table in GROWING)
    return is_reading or sales_zones.is_behind(session)


def mark_of(table: type[Growing]) -> str:
    """The name of its mark."""
    return sales_forms.mark(table.__tablename__, FORM)


def _marks() -> tuple[str, ...]:
    return tuple(mark_of(table) for table in GROWING)


def _last(session: Session, table: type[Growing]) -> int:
    return session.scalar(select(func.max(table.id))) or 0


def _read_on(session: Session, marks: dict[str, SalesMark], table: type[Growing]) -> tuple[range, bool]:
    """Which numbers to look at; whether there will be more."""
    return read_on(session, marks[mark_of(table)], table)


def read_on(session: Session, mark: SalesMark, table: type[Growing]) -> tuple[range, bool]:
    """Of a table that has been read up to `mark`: which numbers to look at; whether there will be more."""
    last = _last(session, table)
    if last < mark.number:  # the last rows were removed, and SQLite gives their numbers again
        mark.number = max(0, last - AGAIN)
    if last <= mark.number:
        return range(0), False
    looked, until = (
        range(max(1, mark.number - AGAIN), min(last, mark.number + BATCH) + 1),
        min(last, mark.number + BATCH),
    )
    mark.number = until
    return looked, until < last


def _days_of_ends(session: Session, numbers: range) -> set[Key]:
    """Days on which orders ended; of one that ended anew, the day of its earlier end too."""
    if not numbers:
        return set()
    changed = and_(OrderChange.id >= numbers.start, OrderChange.id < numbers.stop)
    is_end = OrderChange.status_after.in_(_ENDS) | OrderChange.status_before.in_(_ENDS)
    found = session.execute(select(OrderChange.order_id, OrderChange.status_before).where(changed, is_end)).all()
    orders = {row.order_id for row in found}
    return {
        (device, day_at(at, name))
        for some in in_lots(sorted(orders))
        for device, name, at in session.execute(
            select(Order.device_uuid, SalesZone.zone, OrderChange.at)
            .join(Order, Order.id == OrderChange.order_id)
            .join(SalesZone, SalesZone.device_uuid == Order.device_uuid)
            .where(OrderChange.order_id.in_(some), OrderChange.status_after.in_(_ENDS))
        )
    }


def _days_of_money(session: Session, numbers: range) -> set[Key]:
    if not numbers:
        return set()
    moved = (
        select(Order.device_uuid, SalesZone.zone, Movement.at)
        .join(Order, Order.id == Movement.order_id)
        .join(SalesZone, SalesZone.device_uuid == Order.device_uuid)
        .where(Movement.id >= numbers.start, Movement.id < numbers.stop, Movement.kind.in_(_MONEY))
    )
    return {(device, day_at(at, name)) for device, name, at in session.execute(moved)}


def _days_of_commissions(session: Session, numbers: range) -> set[Key]:
    """A commission belongs to the day on which its payment was captured, whenever it was told."""
    if not numbers:
        return set()
    told = (
        select(Order.device_uuid, SalesZone.zone, Movement.at)
        .select_from(Commission)
        .join(Movement, and_(Movement.payment_id == Commission.payment_id, Movement.kind == "captured"))
        .join(Order, Order.id == Movement.order_id)
        .join(SalesZone, SalesZone.device_uuid == Order.device_uuid)
        .where(Commission.id >= numbers.start, Commission.id < numbers.stop)
    )
    return {(device, day_at(at, name)) for device, name, at in session.execute(told)}


def _roll_up(tx: Transaction, keys: Collection[Key]) -> None:
    by_day: dict[date, set[str]] = defaultdict(set)
    for device, day in keys:
        by_day[day].add(device)
    for day, devices in sorted(by_day.items()):
        merchants: set[str] = set()
        for some in in_lots(sorted(devices)):
            merchants |= _replace(tx, day, some)
        for merchant in sorted(merchants):
            sum_up(tx, merchant, day)


def sum_up(tx: Transaction, merchant: str, day: date) -> None:
    """A merchant's day anew from all its machines' days."""
    of_day = and_(SalesDay.merchant_id == merchant, SalesDay.day == day)
    tx.session.execute(delete(MerchantDay).where(MerchantDay.merchant_id == merchant, MerchantDay.day == day))
    figures, machines = Figures(), 0
    sold = select(SalesDay.taken, SalesDay.returned, SalesDay.parts).where(of_day)
    for taken, returned, parts in tx.session.execute(sold):
        figures.add_parts(parts)
        figures.taken, figures.returned, machines = figures.taken + taken, figures.returned + returned, machines + 1
    if machines:
        tx.session.add(
            MerchantDay(
                merchant_id=merchant, day=day, cups=figures.cups, failed=figures.failed, taken=figures.taken,
                returned=figures.returned, parts=figures.stored(),
            )
        )  # fmt: skip
        tx.session.flush()


def _replace(tx: Transaction, day: date, devices: tuple[str, ...]) -> set[str]:
    """The days of these machines anew; the merchants they are and were of."""
    zones = dict(
        tx.session.execute(
            select(SalesZone.device_uuid, SalesZone.zone).where(SalesZone.device_uuid.in_(devices))
        ).all()
    )
    spans = [span(day, name) for name in set(zones.values())]
    first, last = min(begin for begin, _ in spans), max(end for _, end in spans)
    found: dict[tuple[str, str], Figures] = defaultdict(Figures)
    for row in tx.session.execute(_ends(devices, first, last)):
        if day_at(row.finished_at, zones[row.device_uuid]) == day:
            _count(found[row.device_uuid, row.merchant_id], row, zones[row.device_uuid])
    for device, merchant, at, *money in tx.session.execute(_money(devices, first, last)):
        if day_at(at, zones[device]) == day:
            found[device, merchant].add_money(*money)
    _add_resting(tx.session, found, day, zones, (first, last))
    old = delete(SalesDay).where(SalesDay.day == day, SalesDay.device_uuid.in_(devices)).returning(SalesDay.merchant_id)
    before = set(tx.session.scalars(old))
    tx.session.add_all(_rows(day, found.items()))
    tx.session.flush()
    return before | {merchant for _, merchant in found}


def _add_resting(
    session: Session, found: dict[tuple[str, str], Figures], day: date, zones: dict[str, str],
    within: tuple[datetime, datetime],
) -> None:  # fmt: skip
    """Orders of the day that rest in the archive count as those among the living."""
    first, last = within
    for resting in archived_books.resting(session, ArchivedOrder.device_uuid.in_(zones), first, last):
        order = resting.order
        if order.is_test:
            continue
        key, name = (order.device_uuid, order.merchant_id), zones[order.device_uuid]
        ended = order.finished_at if order.status in DRINK_ENDED else None
        if ended is not None and day_at(ended, name) == day:
            _count(found[key], order, name)
        for move, payment, _, kept in resting.lines:
            if day_at(move.at, name) == day:
                found[key].add_money(payment.scenario, move.kind, move.amount, kept)


def in_lots(names: list[str]) -> Iterator[tuple[str, ...]]:
    """As many as one statement is asked about."""
    for start in range(0, len(names), AT_ONCE):
        yield tuple(names[start : start + AT_ONCE])


def _ends(devices: tuple[str, ...], first: datetime, last: datetime) -> Any:
    columns = (
        Order.device_uuid, Order.merchant_id, Order.status, Order.reason, Order.drink_no, Order.drink_name, Order.price,
        Order.paid_at, Order.finished_at, Order.stage,
    )  # fmt: skip
    of_days = and_(Order.finished_at >= first, Order.finished_at < last)
    sold = and_(Order.device_uuid.in_(devices), Order.is_test.is_(False), _ENDED)
    return select(*columns).where(sold, of_days)


def _money(devices: tuple[str, ...], first: datetime, last: datetime) -> Any:
    columns = (
        Order.device_uuid, Order.merchant_id, Movement.at, Payment.scenario, Movement.kind, Movement.amount,
        Commission.amount,
    )  # fmt: skip
    of_days = and_(Movement.at >= first, Movement.at < last, Movement.kind.in_(_MONEY))
    sold = and_(Order.device_uuid.in_(devices), Order.is_test.is_(False))
    return (
        select(*columns)
        .select_from(Movement)
        .join(Order, Order.id == Movement.order_id)
        .join(Payment, Payment.id == Movement.payment_id)
        .outerjoin(Commission, Commission.payment_id == Movement.payment_id)
        .where(of_days, sold)
    )


def _count(figures: Figures, order: Any, zone_name: str) -> None:
    if order.status == Status.MAKE_FAILED:
        figures.reasons[order.reason or "unknown"] += 1
        return
    hour = order.finished_at.astimezone(zone(zone_name)).hour
    is_timed = order.paid_at is not None and order.stage not in UNTIMED
    waited = (order.finished_at - order.paid_at).total_seconds() if is_timed else None
    figures.add_cup(order.drink_no, order.drink_name, order.price, hour, waited)


def _rows(day: date, found: Iterable[tuple[tuple[str, str], Figures]]) -> list[SalesDay]:
    return [
        SalesDay(
            device_uuid=device, day=day, merchant_id=merchant, cups=figures.cups, failed=figures.failed,
            taken=figures.taken, returned=figures.returned, parts=figures.stored(),
        )
        for (device, merchant), figures in found
    ]  # fmt: skip
