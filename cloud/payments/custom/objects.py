"""What a merchant's own payment page says of a payment, and what that means in our words. Pure; refuses what it
cannot read rather than guess (docs/custom-payments.md, "The payment").
"""

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Annotated, TypeVar

import msgspec

from cloud.payments.facts import (
    CURRENCY,
    Cancellation,
    PaymentFacts,
    ProviderStatus,
    RefundFacts,
    RefundStatus,
)
from protocol import json_text

MAX_REFUNDS = 100
_Id = Annotated[str, msgspec.Meta(pattern=r"\A[0-9A-Za-z_.-]{1,64}\Z")]
_Kopecks = Annotated[int, msgspec.Meta(ge=0, le=100_000_000_00)]
_Word = Annotated[str, msgspec.Meta(max_length=64)]
_Nonce = Annotated[str, msgspec.Meta(max_length=64, pattern=r"\A[^\x00]*\Z")]
"""A callback is kept by it, and PostgreSQL cannot store a NUL."""
Kind = TypeVar("Kind", bound=msgspec.Struct)


class Unreadable(ValueError):
    """Not what the document describes. The text is safe to log."""


class ToldRefund(msgspec.Struct, frozen=True):
    """One return. Of those we asked for, `id` is our key."""

    id: _Id
    amount: _Kopecks
    status: _Word


class Told(msgspec.Struct, frozen=True, omit_defaults=True):
    """The payment as the merchant tells it, in an answer (`nonce` or `key`) or in a callback (`nonce` and `time`)."""

    account: _Id
    payment: _Id
    order: Annotated[str, msgspec.Meta(max_length=255)]
    status: _Word
    amount: _Kopecks
    currency: _Word = CURRENCY
    captured: _Kopecks | None = None
    refunds: Annotated[tuple[ToldRefund, ...], msgspec.Meta(max_length=MAX_REFUNDS)] = ()
    test: bool | None = None
    method: _Word = ""
    reason: _Word = ""
    hold_until: Annotated[datetime, msgspec.Meta(tz=True)] | None = None
    nonce: _Nonce = ""
    key: _Word = ""
    time: int = 0


class Note(msgspec.Struct, frozen=True):
    """What every answer has, whatever else it says: what it answers, and why not, if not."""

    account: _Word = ""
    nonce: _Word = ""
    key: _Word = ""
    error: _Word = ""
    test: bool | None = None


_RANK = {"pending": 0, "held": 1, "canceled": 2, "succeeded": 3}
_REFUND_RANK = {"pending": 0, "canceled": 1, "succeeded": 2}


def told_of(payload: str) -> Told:
    """Read a payment. Raises `Unreadable`."""
    return _read(payload, Told)


def note_of(payload: str) -> Note:
    """Read what every answer has. Raises `Unreadable`."""
    return _read(payload, Note)


def without_words(payload: str) -> str:
    """The same payment without what may tell of its buyer. Raises `Unreadable`."""
    return msgspec.json.encode(msgspec.structs.replace(told_of(payload), method="", reason="")).decode()


def as_a_whole(callbacks: Iterable[Told]) -> Told | None:
    """The payment after all that was told of it, in whatever order it came. None when nothing was.

    The furthest status counts, and money that was taken counts most; of each return the furthest word.
    """
    told = sorted(callbacks, key=lambda one: (_RANK.get(one.status, -1), one.time))
    if not told:
        return None
    refunds: dict[str, ToldRefund] = {}
    for refund in (refund for one in told for refund in one.refunds):
        known = refunds.get(refund.id)
        if known is None or _REFUND_RANK.get(refund.status, -1) > _REFUND_RANK.get(known.status, -1):
            refunds[refund.id] = refund
    return msgspec.structs.replace(told[-1], refunds=tuple(refunds.values()))


def payment_facts(told: Told) -> PaymentFacts:
    """In our words. A status that is none of the four is UNKNOWN_STATUS: ask again, decide nothing."""
    status = ProviderStatus(told.status) if told.status in _RANK else ProviderStatus.UNKNOWN_STATUS
    captured = told.amount if told.captured is None else told.captured
    return PaymentFacts(
        provider_payment_id=told.payment,
        status=status,
        amount=captured if status is ProviderStatus.SUCCEEDED else told.amount,  # what was taken must be the price
        currency=told.currency,
        captured=captured if status is ProviderStatus.SUCCEEDED else 0,
        refunded=sum(refund.amount for refund in told.refunds if refund.status == "succeeded"),
        method=_storable(told.method) or None,
        test=told.test,
        account_id=told.account,
        metadata={"order_id": told.order, "payment": our_payment(told.payment)},
        hold_expires_at=_in_utc(told.hold_until),
        cancellation=Cancellation("merchant", _storable(told.reason)) if status is ProviderStatus.CANCELED else None,
        raw=msgspec.json.encode(told).decode(),
    )


def _in_utc(moment: datetime | None) -> datetime | None:
    """None also for the first and last hours of the calendar, by which some say "no time"."""
    try:
        return moment.astimezone(UTC) if moment is not None else None
    except OverflowError:
        return None


def _storable(words: str) -> str:
    return words.replace("\0", "\ufffd")


def refund_facts(told: Told, refund: ToldRefund) -> RefundFacts:
    """One of its returns, in our words."""
    known = refund.status in _REFUND_RANK
    return RefundFacts(
        provider_refund_id=refund.id,
        provider_payment_id=told.payment,
        status=RefundStatus(refund.status) if known else RefundStatus.UNKNOWN_STATUS,
        amount=refund.amount,
        currency=told.currency,
        raw=msgspec.json.encode(refund).decode(),
    )


def payment_name(payment: str, pay_until: int) -> str:
    """The payment's id between us and the merchant: ours, and until when it may be paid (Unix seconds)."""
    return f"{payment}.{pay_until}"


def our_payment(name: str) -> str:
    """Our own id of it."""
    return name.partition(".")[0]


def pay_until(name: str) -> int | None:
    """Until when it may be paid; None when this is no id of ours."""
    moment = name.partition(".")[2]
    return int(moment) if moment.isascii() and moment.isdigit() and len(moment) <= 12 else None


def _read(payload: str, kind: type[Kind]) -> Kind:
    try:
        return json_text.decode(payload, kind)
    except json_text.NotJson as error:
        raise Unreadable(str(error)[:200].encode("ascii", "replace").decode()) from None
