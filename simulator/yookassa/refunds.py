"""The life of one refund, as pure functions: pending, then succeeded or canceled; never more than was captured."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from simulator.yookassa.instruments import PROVIDER, Cancellation
from simulator.yookassa.money import MIN_AMOUNT
from simulator.yookassa.state import Payment, Refusal, Refused, Status
from simulator.yookassa.terms import Terms

# Which party the provider names for each reason a refund can fail for.
REFUND_FAILURES = {
    "insufficient_funds": PROVIDER,
    "yoo_money_account_closed": PROVIDER,
    "general_decline": "refund_network",
    "rejected_by_payee": "refund_network",
    "rejected_by_timeout": "refund_network",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class RefundRequest:
    """What was asked for. `amount` in kopecks."""

    payment_id: str
    amount: int
    description: str | None = None
    metadata: Mapping[str, str | None] = field(default_factory=dict)
    receipt: Mapping[str, object] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Refund:
    """One refund. `verdict` is how it will end at `due_at`: None for well, else why it is cancelled."""

    id: str
    shop_id: str
    request: RefundRequest
    method: str
    created_at: datetime
    due_at: datetime
    verdict: Cancellation | None = None
    status: Status = Status.PENDING
    rrn: str = ""
    sbp_operation_id: str = ""
    receipt: Status | None = None

    @property
    def payment_id(self) -> str:
        return self.request.payment_id

    @property
    def amount(self) -> int:
        return self.request.amount


def reserve(payment: Payment, amount: int, now: datetime, terms: Terms) -> Payment:
    """The payment with `amount` kopecks set aside for a refund, or Refused."""
    if payment.status is not Status.SUCCEEDED:
        raise Refused(Refusal.CANNOT_REFUND)
    by_sberpay = payment.instrument is not None and payment.instrument.method == "sberbank"
    if now > payment.created_at + (terms.sberpay_refund_window if by_sberpay else terms.refund_window):
        raise Refused(Refusal.REFUND_TOO_LATE)
    if payment.refundable == 0:
        raise Refused(Refusal.ALREADY_REFUNDED)
    if amount > payment.refundable:
        raise Refused(Refusal.REFUND_EXCEEDS)
    # The edge is unconfirmed; the published wording is "must be greater than 1.00 RUB".
    if 0 < payment.refundable - amount <= MIN_AMOUNT:
        raise Refused(Refusal.REMAINDER_TOO_SMALL)
    return replace(payment, refunding=payment.refunding + amount)


def due_at(now: datetime, delay: timedelta | None, at_once: bool, terms: Terms) -> datetime:
    """When a refund asked for now becomes final: after `delay` if one is set, else at once or on SBP's next day."""
    if delay is not None:
        return now + delay
    return now if at_once else now + terms.sbp_refund


def settle(payment: Payment, refund: Refund) -> tuple[Payment, Refund]:
    """End a pending refund by its verdict: the reserved money leaves the shop, or becomes refundable again."""
    if refund.status is not Status.PENDING:
        return payment, refund
    freed = payment.refunding - refund.amount
    if refund.verdict is not None:
        return replace(payment, refunding=freed), replace(refund, status=Status.CANCELED)
    receipt = Status.PENDING if payment.receipt or refund.request.receipt is not None else None
    return (
        replace(payment, refunding=freed, refunded=payment.refunded + refund.amount),
        replace(refund, status=Status.SUCCEEDED, receipt=receipt),
    )
