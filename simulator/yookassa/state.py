"""The life of one payment at the provider, as pure functions: pending, held, succeeded or canceled. Money in kopecks.

Each function returns the next Payment or raises Refused; nothing here reads a clock, draws an id or keeps anything.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum

from simulator.yookassa.instruments import METHODS, PROVIDER, Cancellation, Instrument
from simulator.yookassa.terms import Terms


class Status(StrEnum):
    """Of a payment, a refund (never `waiting_for_capture`) or a receipt's registration (likewise)."""

    PENDING = "pending"
    WAITING_FOR_CAPTURE = "waiting_for_capture"
    SUCCEEDED = "succeeded"
    CANCELED = "canceled"


class Refusal(StrEnum):
    """Why the provider will not do what was asked of it."""

    CANNOT_CAPTURE = "cannot_capture"
    CANNOT_CAPTURE_AUTOCAPTURE = "cannot_capture_autocapture"
    ILLEGAL_CAPTURE_AMOUNT = "illegal_capture_amount"
    CANNOT_CANCEL = "cannot_cancel"
    CANNOT_CANCEL_AUTOCAPTURE = "cannot_cancel_autocapture"
    CANNOT_REFUND = "cannot_refund"
    REFUND_TOO_LATE = "refund_too_late"
    REFUND_EXCEEDS = "refund_exceeds"
    ALREADY_REFUNDED = "already_refunded"
    REMAINDER_TOO_SMALL = "remainder_too_small"
    NOT_PENDING = "not_pending"
    METHOD_NOT_OFFERED = "method_not_offered"
    METHOD_HAS_NO_HOLD = "method_has_no_hold"


class Refused(Exception):
    """The payment's present state does not allow it; nothing has changed."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(refusal.value)
        self.refusal = refusal


EXPIRED_ON_CONFIRMATION = Cancellation(PROVIDER, "expired_on_confirmation")
EXPIRED_ON_CAPTURE = Cancellation(PROVIDER, "expired_on_capture")
CANCELED_BY_MERCHANT = Cancellation("merchant", "canceled_by_merchant")


@dataclass(frozen=True, slots=True, kw_only=True)
class Confirmation:
    """How the buyer is to confirm, and where the page sends them afterwards."""

    type: str
    return_url: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PaymentRequest:
    """What the shop asked for. `amount` in kopecks; `method` None lets the buyer choose."""

    amount: int
    capture: bool = False
    method: str | None = None
    confirmation: Confirmation | None = None
    description: str | None = None
    metadata: Mapping[str, str | None] = field(default_factory=dict)
    receipt: Mapping[str, object] | None = None
    merchant_customer_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Payment:
    """One payment. Always: authorized == held + captured + released, and refunded + refunding <= captured."""

    id: str
    shop_id: str
    request: PaymentRequest
    created_at: datetime
    pay_until: datetime
    status: Status = Status.PENDING
    instrument: Instrument | None = None
    authorized: int = 0
    captured: int = 0
    released: int = 0
    refunding: int = 0
    refunded: int = 0
    captured_at: datetime | None = None
    hold_until: datetime | None = None
    cancellation: Cancellation | None = None
    receipt: Status | None = None
    part_receipt: Mapping[str, object] | None = None

    @property
    def sent_receipt(self) -> Mapping[str, object] | None:
        """What goes to the register: the receipt of the captured part, where one came, else the whole one."""
        return self.part_receipt or self.request.receipt

    @property
    def held(self) -> int:
        return self.authorized - self.captured - self.released

    @property
    def amount(self) -> int:
        """What the object shows: the captured sum once captured, else the sum asked for."""
        return self.captured or self.request.amount

    @property
    def refundable(self) -> int:
        return self.captured - self.refunded - self.refunding

    @property
    def due_at(self) -> datetime | None:
        """When this payment expires by itself, if it still can."""
        if self.status is Status.PENDING:
            return self.pay_until
        return self.hold_until if self.status is Status.WAITING_FOR_CAPTURE else None


def open_payment(payment_id: str, shop_id: str, request: PaymentRequest, now: datetime, terms: Terms) -> Payment:
    instrument = Instrument(request.method) if request.method else None
    return Payment(
        id=payment_id,
        shop_id=shop_id,
        request=request,
        created_at=now,
        pay_until=now + terms.payment_lifetime,
        instrument=instrument,
    )


def check_payable(payment: Payment, method: str) -> None:
    """Refuse a buyer's attempt by `method`: it must be pending, offer the method, and hold only where that can."""
    if payment.status is not Status.PENDING:
        raise Refused(Refusal.NOT_PENDING)
    if method not in METHODS or payment.request.method not in (None, method):
        raise Refused(Refusal.METHOD_NOT_OFFERED)
    if not payment.request.capture and not METHODS[method].hold:
        raise Refused(Refusal.METHOD_HAS_NO_HOLD)


def pay(payment: Payment, instrument: Instrument, now: datetime, terms: Terms) -> Payment:
    """The buyer paid: captured at once, or held for `terms.hold` when the shop asked for two stages."""
    check_payable(payment, instrument.method)
    paid = replace(payment, instrument=instrument, authorized=payment.request.amount)
    if payment.request.capture:
        return _captured(paid, payment.request.amount, now)
    return replace(paid, status=Status.WAITING_FOR_CAPTURE, hold_until=now + terms.hold)


def decline(payment: Payment, instrument: Instrument, cancellation: Cancellation, *, final: bool) -> Payment:
    """The bank refused the buyer's attempt; unless `final`, the payment stays pending for another try."""
    check_payable(payment, instrument.method)
    if not final:
        return payment
    return replace(payment, status=Status.CANCELED, instrument=instrument, cancellation=cancellation)


def capture(
    payment: Payment, amount: int | None, now: datetime, receipt: Mapping[str, object] | None = None
) -> Payment:
    """Take `amount` of the hold (None: all of it), with its own receipt; the rest goes back to the buyer."""
    if payment.request.capture:
        raise Refused(Refusal.CANNOT_CAPTURE_AUTOCAPTURE)
    if payment.status is not Status.WAITING_FOR_CAPTURE:
        raise Refused(Refusal.CANNOT_CAPTURE)
    taken = payment.held if amount is None else amount
    if not 0 < taken <= payment.held:
        raise Refused(Refusal.ILLEGAL_CAPTURE_AMOUNT)
    return _captured(replace(payment, part_receipt=receipt), taken, now)


def cancel(payment: Payment) -> Payment:
    """Release the hold. Only `waiting_for_capture` can be cancelled, never `pending`."""
    if payment.request.capture:
        raise Refused(Refusal.CANNOT_CANCEL_AUTOCAPTURE)
    if payment.status is not Status.WAITING_FOR_CAPTURE:
        raise Refused(Refusal.CANNOT_CANCEL)
    return _canceled(payment, CANCELED_BY_MERCHANT)


def expire(payment: Payment, now: datetime) -> Payment:
    """The same payment, or the cancelled one when its time to pay or to capture is over."""
    if payment.due_at is None or now < payment.due_at:
        return payment
    reason = EXPIRED_ON_CONFIRMATION if payment.status is Status.PENDING else EXPIRED_ON_CAPTURE
    return _canceled(payment, reason)


def _captured(payment: Payment, amount: int, now: datetime) -> Payment:
    return replace(
        payment,
        status=Status.SUCCEEDED,
        captured=amount,
        released=payment.authorized - amount,
        captured_at=now,
        hold_until=None,
        receipt=Status.PENDING if payment.sent_receipt is not None else None,
    )


def _canceled(payment: Payment, cancellation: Cancellation) -> Payment:
    return replace(
        payment,
        status=Status.CANCELED,
        released=payment.held + payment.released,
        hold_until=None,
        cancellation=cancellation,
    )
