"""YooKassa's JSON objects read into our facts, leniently: unknown keys, methods, statuses and gaps are normal.

Only what identifies the object and its money is demanded; without it the object is Unreadable. No I/O.
"""

import re
from collections.abc import Callable
from datetime import UTC, datetime
from typing import TypeVar

from cloud.payments.bounded_text import URL_LIMIT, bounded_text, evidence
from cloud.payments.facts import (
    Cancellation,
    Page,
    PaymentFacts,
    ProviderStatus,
    RefundFacts,
    RefundStatus,
    ShopFacts,
    Unread,
)

_AMOUNT = re.compile(r"([0-9]{1,10})(?:\.([0-9]{1,2})0*)?")
_STATUSES = {
    "pending": ProviderStatus.PENDING,
    "waiting_for_capture": ProviderStatus.HELD,
    "succeeded": ProviderStatus.SUCCEEDED,
    "canceled": ProviderStatus.CANCELED,
}
_REFUND_STATUSES = {
    "pending": RefundStatus.PENDING,
    "succeeded": RefundStatus.SUCCEEDED,
    "canceled": RefundStatus.CANCELED,
}
_METHOD_KEPT = ("type", "id", "status", "saved", "sbp_operation_id")

T = TypeVar("T")


class Unreadable(ValueError):
    """The answer lacks what identifies the object or its money. The text names the field, never its value."""


def amount_text(kopecks: int) -> str:
    """`15050` → `"150.50"`, the only form the API promises to take."""
    if kopecks < 0:
        raise ValueError("an amount is never negative")
    return f"{kopecks // 100}.{kopecks % 100:02d}"


def kopecks(value: object) -> int | None:
    """`"150.50"` (or a number, which is off-contract) → `15050`; None for anything that is not whole kopecks."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return None
    match = _AMOUNT.fullmatch(value if isinstance(value, str) else repr(value))
    if match is None:
        return None
    roubles, fraction = match.groups(default="")
    return int(roubles) * 100 + int(fraction.ljust(2, "0"))


def payment_facts(told: object) -> PaymentFacts:
    """A payment object; raises Unreadable."""
    payment = _object(told, "payment")
    amount, currency = _money(payment)
    status = _STATUSES.get(bounded_text(payment.get("status")) or "", ProviderStatus.UNKNOWN_STATUS)
    return PaymentFacts(
        provider_payment_id=_required(payment, "id"),
        status=status,
        amount=amount,
        currency=currency,
        # After a partial capture `amount` is presumably the captured sum.
        captured=amount if status is ProviderStatus.SUCCEEDED else 0,
        refunded=_refunded(payment),
        method=bounded_text(_part(payment, "payment_method").get("type")),
        test=_flag(payment.get("test")),
        account_id=bounded_text(_part(payment, "recipient").get("account_id")),
        metadata=_metadata(_part(payment, "metadata")),
        confirmation_url=bounded_text(_part(payment, "confirmation").get("confirmation_url"), URL_LIMIT),
        created_at=_time(payment.get("created_at")),
        hold_expires_at=_time(payment.get("expires_at")),
        cancellation=_cancellation(payment),
        receipt_registration=bounded_text(payment.get("receipt_registration")),
        income=_income(payment, currency),
        raw=_evidence(payment),
    )


def refund_facts(told: object) -> RefundFacts:
    """A refund object; raises Unreadable."""
    refund = _object(told, "refund")
    amount, currency = _money(refund)
    return RefundFacts(
        provider_refund_id=_required(refund, "id"),
        provider_payment_id=_required(refund, "payment_id"),
        status=_REFUND_STATUSES.get(bounded_text(refund.get("status")) or "", RefundStatus.UNKNOWN_STATUS),
        amount=amount,
        currency=currency,
        cancellation=_cancellation(refund),
        created_at=_time(refund.get("created_at")),
        receipt_registration=bounded_text(refund.get("receipt_registration")),
        raw=_evidence(refund),
    )


def shop_facts(told: object) -> ShopFacts:
    """The answer of `/me`, of both its known shapes; raises Unreadable."""
    shop = _object(told, "shop")
    fiscalization = _part(shop, "fiscalization").get("enabled", shop.get("fiscalization_enabled"))
    methods = shop.get("payment_methods")
    return ShopFacts(
        account_id=_required(shop, "account_id"),
        enabled=shop.get("status") == "enabled",
        test=_flag(shop.get("test")),
        fiscalization=_flag(fiscalization),
        methods=tuple(m for m in map(bounded_text, methods) if m) if isinstance(methods, list) else (),
    )


def page_of(read: Callable[[object], T]) -> Callable[[object], Page[T]]:
    """A reader of list answers whose items `read` reads. One broken item hides no other."""

    def read_page(told: object) -> Page[T]:
        listing = _object(told, "list")
        items = listing.get("items")
        if not isinstance(items, list):
            raise Unreadable("list: no items")
        facts: list[T] = []
        unreadable: list[Unread] = []
        for item in items:
            try:
                facts.append(read(item))
            except Unreadable as missing:
                unreadable.append(_unread(item, str(missing)))
        return Page(tuple(facts), bounded_text(listing.get("next_cursor")), tuple(unreadable))

    return read_page


def _unread(item: object, why: str) -> Unread:
    """A refund names its payment, a payment itself."""
    told = item if isinstance(item, dict) else {}
    provider_payment_id = bounded_text(told.get("payment_id")) or bounded_text(told.get("id")) or ""
    return Unread(why, provider_payment_id, _metadata(_part(told, "metadata")))


def _object(told: object, what: str) -> dict[str, object]:
    if not isinstance(told, dict):
        raise Unreadable(f"{what}: not an object")
    return told


def _part(whole: dict[str, object], name: str) -> dict[str, object]:
    """A nested object, or an empty one when it is absent or something else."""
    part = whole.get(name)
    return part if isinstance(part, dict) else {}


def _required(whole: dict[str, object], name: str) -> str:
    text = bounded_text(whole.get(name))
    if not text:
        raise Unreadable(f"no {name}")
    return text


def _money(whole: dict[str, object]) -> tuple[int, str]:
    told = _part(whole, "amount")
    amount = kopecks(told.get("value"))
    if amount is None:
        raise Unreadable("no readable amount")
    return amount, _required(told, "currency")


def _refunded(payment: dict[str, object]) -> int:
    """Absent is zero; present and unreadable is not: guessing zero there could return money twice."""
    if payment.get("refunded_amount") is None:
        return 0
    refunded = kopecks(_part(payment, "refunded_amount").get("value"))
    if refunded is None:
        raise Unreadable("no readable refunded_amount")
    return refunded


def _income(payment: dict[str, object], currency: str) -> int | None:
    """Told with a success; absent, unreadable or in another currency it is unknown, and no error."""
    told = _part(payment, "income_amount")
    return kopecks(told.get("value")) if told.get("currency") == currency else None


def _metadata(told: dict[str, object]) -> dict[str, str]:
    pairs = ((bounded_text(name), bounded_text(value)) for name, value in told.items())
    return {name: value for name, value in pairs if name is not None and value is not None}


def _cancellation(whole: dict[str, object]) -> Cancellation | None:
    details = whole.get("cancellation_details")
    if not isinstance(details, dict):
        return None
    return Cancellation(party=bounded_text(details.get("party")), reason=bounded_text(details.get("reason")))


def _flag(value: object) -> bool | None:
    return value if isinstance(value, bool) else None


def _time(value: object) -> datetime | None:
    """ISO 8601 with a zone; anything else is "not said"."""
    try:
        moment = datetime.fromisoformat(value) if isinstance(value, str) else None
        return moment.astimezone(UTC) if moment is not None and moment.tzinfo is not None else None
    except (ValueError, OverflowError):
        return None


def _evidence(whole: dict[str, object]) -> str:
    """The object's JSON for the ledger, without card and payer details."""
    kept = dict(whole)
    if "payment_method" in kept:
        method = _part(kept, "payment_method")
        kept["payment_method"] = {name: method[name] for name in _METHOD_KEPT if name in method}
    return evidence(kept)
