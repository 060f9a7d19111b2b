"""What `scope` lets a person read of sales and money, in pages by key: each machine's days in its own zone."""

import heapq
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from itertools import islice

from sqlalchemy import ColumnElement, and_, select, true, tuple_
from sqlalchemy.orm import Session

from cloud.access.person import Scope
from cloud.books.period import Period
from cloud.fleet.models import Device
from cloud.fleet.zones import day_at, span, zone
from cloud.orders import archived_books
from cloud.orders.archive import ArchivedOrder
from cloud.orders.commissions import Commission
from cloud.orders.models import Movement, Order, Payment
from cloud.orders.sales_figures import Figures, ProviderSums
from cloud.orders.sales_tables import MerchantDay, SalesDay

WIDEST_ZONES = ("Pacific/Kiritimati", "Etc/GMT+12")
"""No day begins earlier than there, and none ends later."""


@dataclass(frozen=True)
class Asked:
    """What is to be read, and of when: whole merchants, some machines, or one."""

    scope: Scope
    period: Period
    device_uuid: str = ""


@dataclass(frozen=True)
class MachineDay:
    """One machine on one day."""

    day: date
    merchant_id: str
    device_uuid: str
    place: str
    figures: Figures


@dataclass(frozen=True)
class ProviderDay:
    """One merchant's money at one provider on one day."""

    day: date
    merchant_id: str
    provider: str
    sums: ProviderSums


@dataclass(frozen=True)
class LedgerLine:
    """One movement of money, at its machine's own time."""

    at: datetime
    movement: Movement
    payment: Payment
    order: Order
    commission: int | None
    """What the provider kept of it; None for a return, and where it has not said."""


MachineKey = tuple[date, str, str]
LedgerKey = tuple[datetime, int]


def read_machine_days(
    session: Session, asked: Asked, after: MachineKey | None, limit: int
) -> tuple[list[MachineDay], MachineKey | None]:
    """A page of them by day and machine, and where the next begins."""
    place = tuple_(SalesDay.day, SalesDay.device_uuid, SalesDay.merchant_id)
    found = (
        select(SalesDay, Device.location)
        .join(Device, Device.device_uuid == SalesDay.device_uuid)
        .where(wanted(SalesDay, asked.scope, asked.period, asked.device_uuid))
    )
    if after is not None:
        found = found.where(place > after)
    rows = session.execute(found.order_by(*place).limit(limit)).all()
    days = [MachineDay(row.day, row.merchant_id, row.device_uuid, where, row.figures) for row, where in rows]
    last = days[-1] if len(days) == limit else None
    return days, None if last is None else (last.day, last.device_uuid, last.merchant_id)


def read_provider_days(session: Session, asked: Asked) -> Iterator[ProviderDay]:
    """By day, merchant and provider; the newest last."""
    found: dict[tuple[date, str, str], ProviderSums] = {}
    rows = SalesDay if asked.device_uuid or asked.scope.machines else MerchantDay
    chosen = wanted(rows, asked.scope, asked.period, asked.device_uuid)
    for day, merchant, parts in session.execute(select(rows.day, rows.merchant_id, rows.parts).where(chosen)):
        for provider, sums in parts.get("providers", {}).items():
            found.setdefault((day, merchant, provider), ProviderSums()).add(*sums)
    for key in sorted(found):
        yield ProviderDay(*key, found[key])


def read_ledger(
    session: Session, asked: Asked, after: LedgerKey | None, limit: int
) -> tuple[list[LedgerLine], LedgerKey | None]:
    """A page of what was captured and refunded, oldest first, and where the next begins. None of a test device."""
    period = asked.period
    begin, end = span(period.first, WIDEST_ZONES[0])[0], span(period.last, WIDEST_ZONES[1])[1]
    place = tuple_(Movement.at, Movement.id)
    found = (
        select(Movement, Payment, Order, Commission.amount)
        .select_from(Movement)
        .join(Payment, Payment.id == Movement.payment_id)
        .join(Order, Order.id == Movement.order_id)
        .outerjoin(Commission, Commission.payment_id == Movement.payment_id)
        .where(Movement.at < end, place > (after or (begin - timedelta(microseconds=1), 0)))
        .where(Movement.kind.in_(("captured", "refunded")), Order.is_test.is_(False))
        .where(asked.scope.where(Order.merchant_id, Order.device_uuid))
        .where(Order.device_uuid == asked.device_uuid if asked.device_uuid else true())
    )
    rows = session.execute(found.order_by(Movement.at, Movement.id).limit(limit)).all()
    living = ((movement, payment, order, kept) for movement, payment, order, kept in rows)
    resting = _at_rest(session, asked, after or (begin, 0), end)
    page = list(islice(heapq.merge(living, resting, key=_place), limit))
    zones = _zones(session, {order.device_uuid for _, _, order, _ in page})
    lines = [
        LedgerLine(
            movement.at.astimezone(zone(zones[order.device_uuid])), movement, payment, order,
            kept if movement.kind == "captured" else None,
        )
        for movement, payment, order, kept in page
        if period.first <= day_at(movement.at, zones[order.device_uuid]) <= period.last
    ]  # fmt: skip
    return lines, _place(page[-1]) if len(page) == limit else None


def _place(line: archived_books.Line) -> LedgerKey:
    return line[0].at, line[0].id


def _at_rest(session: Session, asked: Asked, after: LedgerKey, end: datetime) -> Iterator[archived_books.Line]:
    """The same of orders in the archive."""
    which = asked.scope.where(ArchivedOrder.merchant_id, ArchivedOrder.device_uuid)
    if asked.device_uuid:
        which = and_(which, ArchivedOrder.device_uuid == asked.device_uuid)
    lines = archived_books.ledger_lines(session, which, after[0], end)
    return (line for line in lines if _place(line) > after)


def _zones(session: Session, devices: Collection[str]) -> dict[str, str]:
    found = session.execute(select(Device.device_uuid, Device.zone).where(Device.device_uuid.in_(devices)))
    return dict(found.all())


def wanted(
    days: type[MerchantDay] | type[SalesDay], scope: Scope, period: Period, device_uuid: str = ""
) -> ColumnElement[bool]:
    """The condition of what is meant, for rows of either kind."""
    of_period = and_(days.day >= period.first, days.day <= period.last)
    if days is MerchantDay:
        return and_(of_period, scope.where(MerchantDay.merchant_id))
    of_machine = SalesDay.device_uuid == device_uuid if device_uuid else true()
    return and_(of_period, of_machine, scope.where(SalesDay.merchant_id, SalesDay.device_uuid))


def by_provider(days: Sequence[ProviderDay]) -> dict[str, ProviderSums]:
    """Each provider's sums of them all."""
    sums: dict[str, ProviderSums] = {}
    for one in days:
        sums.setdefault(one.provider, ProviderSums()).add(*one.sums.stored())
    return sums
