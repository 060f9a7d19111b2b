"""The list queries of payments, refunds and receipts: filters, a page limit and a cursor, newest first."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from operator import ge, gt, le, lt
from typing import Generic, TypeVar

from simulator.yookassa import problems
from simulator.yookassa.fiscal import FiscalReceipt
from simulator.yookassa.problems import Rejected
from simulator.yookassa.refunds import Refund
from simulator.yookassa.state import Payment, Status

DEFAULT_LIMIT = 10
MAX_LIMIT = 100
COMPARISONS: dict[str, Callable[[datetime, datetime], bool]] = {"gte": ge, "gt": gt, "lte": le, "lt": lt}

Listed = TypeVar("Listed", Payment, Refund, FiscalReceipt)


@dataclass(frozen=True, slots=True)
class Page(Generic[Listed]):
    """`next_cursor` is the id the next page starts with; None on the last page."""

    items: list[Listed]
    next_cursor: str | None


def page_of_payments(newest: Iterable[Payment], query: Mapping[str, str]) -> Page[Payment]:
    created, captured = _between(query, "created_at"), _between(query, "captured_at")
    status, method = _status(query), query.get("payment_method")

    def fits(payment: Payment) -> bool:
        used = payment.instrument.method if payment.instrument else ""
        return (
            status in (None, payment.status)
            and method in (None, used)
            and created(payment.created_at)
            and captured(payment.captured_at)
        )

    return _page(newest, fits, query)


def page_of_refunds(newest: Iterable[Refund], query: Mapping[str, str]) -> Page[Refund]:
    created, status, payment_id = _between(query, "created_at"), _status(query), query.get("payment_id")

    def fits(refund: Refund) -> bool:
        return (
            status in (None, refund.status) and payment_id in (None, refund.payment_id) and created(refund.created_at)
        )

    return _page(newest, fits, query)


def page_of_receipts(newest: Iterable[FiscalReceipt], query: Mapping[str, str]) -> Page[FiscalReceipt]:
    """Of one payment or of one refund, where either is named."""
    if query.get("payment_id") and query.get("refund_id"):
        raise Rejected(problems.invalid_value("refund_id"))
    created, status = _between(query, "created_at"), _status(query)
    wanted = {kind: query.get(f"{kind}_id") for kind in ("payment", "refund")}

    def fits(receipt: FiscalReceipt) -> bool:
        return (
            status in (None, receipt.status)
            and created(receipt.created_at)
            and all(
                not subject_id or (kind, subject_id) == (receipt.kind, receipt.subject_id)
                for kind, subject_id in wanted.items()
            )
        )

    return _page(newest, fits, query)


def _page(newest: Iterable[Listed], fits: Callable[[Listed], bool], query: Mapping[str, str]) -> Page[Listed]:
    limit, cursor = _limit(query), query.get("cursor")
    items: list[Listed] = []
    for subject in newest:
        if cursor is not None:
            if subject.id != cursor:
                continue
            cursor = None
        if not fits(subject):
            continue
        if len(items) == limit:
            return Page(items, subject.id)
        items.append(subject)
    if cursor is not None:
        raise Rejected(problems.invalid_value("cursor"))
    return Page(items, None)


def _limit(query: Mapping[str, str]) -> int:
    text = query.get("limit", str(DEFAULT_LIMIT))
    if not (text.isascii() and text.isdigit() and len(text) <= 3 and 1 <= int(text) <= MAX_LIMIT):
        raise Rejected(problems.invalid_value("limit"))
    return int(text)


def _status(query: Mapping[str, str]) -> Status | None:
    text = query.get("status")
    if not text:
        return None
    try:
        return Status(text)
    except ValueError:
        raise Rejected(problems.invalid_value("status")) from None


def _between(query: Mapping[str, str], name: str) -> Callable[[datetime | None], bool]:
    """A test of a moment against `name.gte`, `.gt`, `.lte` and `.lt`; no moment fails any bound."""
    bounds = [
        (compare, _moment(text, f"{name}.{suffix}"))
        for suffix, compare in COMPARISONS.items()
        if (text := query.get(f"{name}.{suffix}"))
    ]
    return lambda moment: all(moment is not None and compare(moment, bound) for compare, bound in bounds)


def _moment(text: str, parameter: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise Rejected(problems.invalid_value(parameter)) from None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
