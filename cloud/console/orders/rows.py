"""The list of orders: filters of an address made into one query by key, newest first, within a person's scope."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, cast

from sqlalchemy import ColumnElement, Select, and_, exists, or_, select, text
from sqlalchemy.orm import Session

from cloud.access.person import Scope
from cloud.console.orders.query import NOTHING, Query, Span
from cloud.console.shell.paging import PAGE, Key, Listed, newest_first
from cloud.database.beginnings import begins
from cloud.fleet.models import Device
from cloud.orders import archive
from cloud.orders.archive import ArchivedOrder
from cloud.orders.claims import UNRESOLVED, Claim
from cloud.orders.models import NOT_POURED, Order, Payment
from cloud.orders.money import PaymentState
from cloud.orders.pour_again import FREE
from cloud.orders.states import SEEN_POURED, STILL_OPEN, UNOBSERVED, Status, values_of
from cloud.orders.waiting_return import PAYS

LOOKS_BACK = timedelta(days=3)
"""What no index finds (an amount, the end of a number) is looked for so far back, unless a day is named."""
MOST_NAMED = 5
MOST_FEW = 1000
MOST_BEGIN = 200
"""Orders whose numbers begin alike: of more nobody is meant."""


class Chip(StrEnum):
    """The filters people use; one at a time."""

    PAID = "paid"
    NOW = "now"
    FAILED = "failed"
    WAITS = "waits"
    GIVEN = "given"
    ALL = "all"


_OF_CHIP: dict[Chip, ColumnElement[bool]] = {
    Chip.PAID: Order.paid_at.is_not(None),
    Chip.FAILED: cast("ColumnElement[bool]", text(f"orders.{NOT_POURED}")),
    Chip.GIVEN: cast("ColumnElement[bool]", Order.goodwill),
}
_FEW: dict[Chip, tuple[ColumnElement[bool], ...]] = {
    Chip.NOW: (Order.status.in_(values_of(STILL_OPEN)),),
    Chip.WAITS: (cast("ColumnElement[bool]", Order.waits_for_person), Order.status == Status.MANUAL_MAKE.value),
}
"""Chips of which there are few orders at any time, each found by an index of its own, however many there ever were."""
_OF_NO_INDEX = Order.merchant_id + "", Order.device_uuid + ""
"""Merchant and machine, whose own indexes lead to all the orders they ever had."""


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
    zone: str
    drink_name: str
    size: int
    price: int
    status: str
    reason: str
    is_returned: bool
    is_to_be_returned: bool
    """A person has decided so, or a call may be on its way; nothing is back."""
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
    if filters.chip in _FEW:
        return _few(session, scope, filters, after)
    query = _asked(scope).where(*_conditions(filters, now))
    rows, following = newest_first(session, query, Order.created_at, Order.id, after)
    return Listed([_row(row) for row in rows], following)


def named(session: Session, scope: Scope, name: str) -> list[str]:
    """The numbers of orders that this names for certain: their own, or one of their payments'."""
    if not name:
        return []
    of_payments = select(Payment.order_id).where(or_(Payment.provider_payment_id == name, Payment.id == name))
    found = _within(session, scope, [name, *session.scalars(of_payments.limit(MOST_NAMED))])
    if found:
        return found
    alike = select(Order.id).where(begins(session, Order.id, name))
    found = _within(session, scope, list(session.scalars(alike.limit(MOST_BEGIN))))
    at_rest = archive.named(session, name, MOST_BEGIN) if not found else ()
    return found or [one for one, merchant, machine in at_rest if scope.covers(merchant, machine)][:MOST_NAMED]


def numbered(session: Session, scope: Scope, number: str) -> list[str]:
    """The order whose whole number this is."""
    if not number:
        return []
    at_rest = select(ArchivedOrder.merchant_id, ArchivedOrder.device_uuid).where(ArchivedOrder.order_id == number)
    found = _within(session, scope, [number])
    return found or [number for row in session.execute(at_rest) if scope.covers(row.merchant_id, row.device_uuid)]


def _within(session: Session, scope: Scope, order_ids: list[str]) -> list[str]:
    """Those of them that this person may see. Asked by number alone, which leaves the database no worse way."""
    owners = select(Order.id, Order.merchant_id, Order.device_uuid).where(Order.id.in_(order_ids))
    found = [row.id for row in session.execute(owners) if scope.covers(row.merchant_id, row.device_uuid)]
    return found[:MOST_NAMED]


def _few(session: Session, scope: Scope, filters: Filters, after: Key | None) -> Listed[Row]:
    """A page of a chip of which there are few."""
    ids: set[str] = set()
    inside = scope.where(*_OF_NO_INDEX)
    for condition in _FEW[filters.chip]:
        ids.update(session.scalars(select(Order.id).where(condition, inside).limit(MOST_FEW)))
    asked = select(*_COLUMNS).join(Device, Device.device_uuid == Order.device_uuid).where(Order.id.in_(ids))
    rows = sorted(map(_row, session.execute(asked)), key=lambda row: (row.at, row.id), reverse=True)
    shown = [row for row in rows if scope.covers(row.merchant_id, row.device_uuid) and _fits(row, filters)]
    if after is not None:
        shown = [row for row in shown if (row.at, row.id) < (after.at, after.id)]
    page = shown[:PAGE]
    return Listed(page, str(Key(page[-1].at, page[-1].id)) if len(shown) > PAGE else "")


def _fits(row: Row, filters: Filters) -> bool:
    """As `_conditions` asks the database."""
    query = filters.query
    if filters.device_uuid not in {"", row.device_uuid}:
        return False
    if query.spans and not any(row.zone == zone and since <= row.at < until for zone, since, until in query.spans):
        return False
    either = [row.price == query.kopecks] if query.kopecks is not None else []
    either += [row.id.endswith(query.tail)] if query.tail else []
    return not either or any(either)


def rows_of(session: Session, scope: Scope, order_ids: list[str]) -> Listed[Row]:
    """These orders, newest first."""
    query = _asked(scope).where(Order.id.in_(order_ids)).order_by(Order.created_at.desc())
    return Listed([_row(row) for row in session.execute(query)])


_WENT_BACK = exists().where(
    Payment.order_id == Order.id, Order.goodwill, PAYS,
    or_(Payment.refunded > 0, and_(Payment.state == PaymentState.CANCELED.value, Payment.paid_at.is_not(None))),
)  # fmt: skip
"""Of a poured order its own money is back, or its hold was let go."""
_COLUMNS: tuple[Any, ...] = (
    Order.id.label("id"), Order.created_at.label("at"), Order.merchant_id, Order.device_uuid, Device.location,
    Device.zone,
    Order.drink_name, Order.size, Order.price, Order.status, Order.reason, Order.stage, Order.uncertain,
    Order.waits_for_person, Order.goodwill, Order.given_back, Order.is_test, Order.opened_by,
    exists().where(Claim.order_id == Order.id, text(UNRESOLVED)).label("has_claim"), _WENT_BACK.label("went_back"),
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
    if query.spans:
        conditions += _within_spans(query.spans)
    elif query.kopecks is not None or query.tail:
        conditions.append(Order.created_at > now - LOOKS_BACK)
    either = [Order.price == query.kopecks] if query.kopecks is not None else []
    if query.tail:
        either.append(Order.id.endswith(query.tail, autoescape=True))
    return [*conditions, or_(*either)] if either else conditions


def _within_spans(spans: Sequence[Span]) -> list[ColumnElement[bool]]:
    """Made in the span of its machine's zone; all of them together first, which an index finds."""
    first, last = min(one.since for one in spans), max(one.until for one in spans)
    there = [
        and_(Device.zone == zone, Order.created_at >= since, Order.created_at < until) for zone, since, until in spans
    ]
    return [Order.created_at >= first, Order.created_at < last, or_(*there)]


def _row(row: Any) -> Row:
    status = row.status
    if status == Status.SUCCESSFUL and row.stage in {UNOBSERVED, SEEN_POURED}:
        status = row.stage
    if status == Status.MAKE_FAILED and row.uncertain:
        status = "waits" if row.waits_for_person else "uncertain"
    return Row(
        row.id, row.at, row.merchant_id, row.device_uuid, row.location, row.zone, row.drink_name, row.size, row.price,
        status, row.reason, row.went_back, not row.went_back and (row.goodwill or row.given_back > 0),
        row.opened_by == FREE, row.is_test, row.has_claim,
    )  # fmt: skip
