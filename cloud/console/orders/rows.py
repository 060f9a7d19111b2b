"""The list of orders: filters of an address made into one query by key, newest first, within a person's scope."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from sqlalchemy import ColumnElement, Select, and_, exists, or_, select, text
from sqlalchemy.orm import Session

from cloud.access.person import Scope
from cloud.console.orders.query import NOTHING, Query
from cloud.console.shell.paging import Key, Listed, newest_first
from cloud.fleet.models import Device
from cloud.orders.claims import UNRESOLVED, Claim
from cloud.orders.models import Order, Payment
from cloud.orders.pour_again import FREE
from cloud.orders.states import UNOBSERVED, Status

LOOKS_BACK = timedelta(days=62)
"""What no index finds (an amount, the end of a number) is looked for so far back."""
MOST_NAMED = 5


class Chip(StrEnum):
    """The filters people use; one at a time."""

    PAID = "paid"
    NOW = "now"
    FAILED = "failed"
    WAITS = "waits"
    GIVEN = "given"
    ALL = "all"


_UNDER_WAY = [Status.PENDING.value, Status.PAID.value, Status.MAKE_PENDING.value, Status.MANUAL_MAKE.value]
_OF_CHIP: dict[Chip, ColumnElement[bool]] = {
    Chip.PAID: Order.paid_at.is_not(None),
    Chip.NOW: Order.status.in_(_UNDER_WAY),
    Chip.FAILED: Order.status == Status.MAKE_FAILED.value,
    Chip.WAITS: or_(Order.waits_for_person, Order.status == Status.MANUAL_MAKE.value),
    Chip.GIVEN: or_(Order.given_back > 0, Order.goodwill),
}


@dataclass(frozen=True)
class Filters:
    """What the address of the list says."""

    chip: Chip = Chip.PAID
    query: Query = NOTHING
    device_uuid: str = ""


@dataclass(frozen=True)
class Row:
    """One order of the list."""

    id: str
    at: datetime
    merchant_id: str
    device_uuid: str
    location: str
    drink_name: str
    size: int
    price: int
    status: str
    reason: str
    is_returned: bool
    is_free: bool
    is_test: bool
    has_claim: bool

    @property
    def light(self) -> str:
        """good, warn, bad or nothing."""
        if self.status in {"uncertain", "waits", Status.MAKE_FAILED}:
            return "bad" if self.status == "waits" else "warn"
        return "warn" if self.status == Status.MANUAL_MAKE else ""


def listed(session: Session, scope: Scope, filters: Filters, after: Key | None, now: datetime) -> Listed[Row]:
    """One page of the list."""
    query = _asked(scope).where(*_conditions(filters, now))
    rows, following = newest_first(session, query, Order.created_at, Order.id, after)
    return Listed([_row(row) for row in rows], following)


def named(session: Session, scope: Scope, name: str) -> list[str]:
    """The numbers of orders that this names for certain: their own, or one of their payments'."""
    if not name:
        return []
    inside = scope.where(Order.merchant_id, Order.device_uuid)
    by_payment = select(Payment.order_id).where(or_(Payment.provider_payment_id == name, Payment.id == name))
    found = select(Order.id).where(or_(Order.id == name, Order.id.in_(by_payment)), inside)
    exact = list(session.scalars(found.limit(MOST_NAMED)))
    if exact:
        return exact
    begins = and_(Order.id >= name, Order.id < name + "\U0010ffff")
    return list(session.scalars(select(Order.id).where(begins, inside).limit(MOST_NAMED)))


def rows_of(session: Session, scope: Scope, order_ids: list[str]) -> Listed[Row]:
    """These orders, newest first."""
    query = _asked(scope).where(Order.id.in_(order_ids)).order_by(Order.created_at.desc())
    return Listed([_row(row) for row in session.execute(query)])


def machines(session: Session, scope: Scope, limit: int = 300) -> list[tuple[str, str]]:
    """Machines to narrow the list to: name and place."""
    inside = scope.where(Device.merchant_id, Device.device_uuid)
    found = select(Device.device_uuid, Device.location).where(inside).order_by(Device.location, Device.device_uuid)
    return [(row.device_uuid, row.location) for row in session.execute(found.limit(limit))]


_COLUMNS: tuple[Any, ...] = (
    Order.id.label("id"), Order.created_at.label("at"), Order.merchant_id, Order.device_uuid, Device.location,
    Order.drink_name, Order.size, Order.price, Order.status, Order.reason, Order.stage, Order.uncertain,
    Order.waits_for_person, Order.goodwill, Order.given_back, Order.is_test, Order.opened_by,
    exists().where(Claim.order_id == Order.id, text(UNRESOLVED)).label("has_claim"),
)  # fmt: skip


def _asked(scope: Scope) -> Select[Any]:
    inside = scope.where(Order.merchant_id, Order.device_uuid)
    return select(*_COLUMNS).join(Device, Device.device_uuid == Order.device_uuid).where(inside)


def _conditions(filters: Filters, now: datetime) -> list[ColumnElement[bool]]:
    query = filters.query
    conditions = []
    if filters.chip in _OF_CHIP:
        conditions.append(_OF_CHIP[filters.chip])
    if filters.device_uuid:
        conditions.append(Order.device_uuid == filters.device_uuid)
    if query.since is not None and query.until is not None:
        conditions += [Order.created_at >= query.since, Order.created_at < query.until]
    elif query.kopecks is not None or query.tail:
        conditions.append(Order.created_at > now - LOOKS_BACK)
    either = [Order.price == query.kopecks] if query.kopecks is not None else []
    if query.tail:
        either.append(Order.id.endswith(query.tail, autoescape=True))
    return [*conditions, or_(*either)] if either else conditions


def _row(row: Any) -> Row:
    status = row.status
    if status == Status.SUCCESSFUL and row.stage == UNOBSERVED:
        status = UNOBSERVED
    if status == Status.MAKE_FAILED and row.uncertain:
        status = "waits" if row.waits_for_person else "uncertain"
    return Row(
        row.id, row.at, row.merchant_id, row.device_uuid, row.location, row.drink_name, row.size, row.price, status,
        row.reason, row.goodwill or row.given_back > 0, row.opened_by == FREE, row.is_test, row.has_claim,
    )  # fmt: skip
