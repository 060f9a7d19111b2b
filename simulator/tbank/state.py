"""One payment at the bank and every step it can take. Pure: a step gives a new payment or raises `Refused`.

Amounts are kopecks. The sums say what is true; the status is how the bank puts it.
"""

from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum


class Status(StrEnum):
    """The published statuses that a payment rests in; passing ones come from the fault switches."""

    NEW = "NEW"
    FORM_SHOWED = "FORM_SHOWED"
    AUTHORIZED = "AUTHORIZED"
    PARTIAL_REVERSED = "PARTIAL_REVERSED"
    REVERSED = "REVERSED"
    CONFIRMED = "CONFIRMED"
    REFUNDING = "REFUNDING"
    ASYNC_REFUNDING = "ASYNC_REFUNDING"
    PARTIAL_REFUNDED = "PARTIAL_REFUNDED"
    REFUNDED = "REFUNDED"
    CANCELED = "CANCELED"
    DEADLINE_EXPIRED = "DEADLINE_EXPIRED"
    REJECTED = "REJECTED"


PAYABLE = frozenset({Status.NEW, Status.FORM_SHOWED})
HELD = frozenset({Status.AUTHORIZED, Status.PARTIAL_REVERSED})
REFUNDABLE = frozenset({Status.CONFIRMED, Status.PARTIAL_REFUNDED})
UNDER_WAY = frozenset({Status.REFUNDING, Status.ASYNC_REFUNDING})
SBP = "sbp"
CARD = "card"


class Refused(Exception):
    """The payment's status or sum does not allow the step; the text says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Payment:
    """`amount` is Init's; `due_at` is when the bank itself does the next thing (link, hold or refund runs out)."""

    id: str
    page: str
    terminal: str
    order_id: str
    amount: int
    two_stage: bool
    description: str
    success_url: str
    fail_url: str
    notification_url: str
    opened_at: datetime
    due_at: datetime | None
    status: Status = Status.NEW
    method: str = ""
    error: str = "0"
    declines: int = 0
    held: int = 0
    confirmed: int = 0
    reversed: int = 0
    refunding: int = 0
    refunded: int = 0

    @property
    def standing(self) -> int:
        """What the operation stands at now: all, until part of it is taken less, let go or returned."""
        if self.status in HELD:
            return self.held
        if self.confirmed:
            return self.confirmed - self.refunded
        return 0 if self.status is Status.REVERSED else self.amount


def show(payment: Payment) -> Payment:
    """The buyer's browser opened the page."""
    return replace(payment, status=Status.FORM_SHOWED) if payment.status is Status.NEW else payment


def authorize(payment: Payment, method: str, hold_until: datetime) -> Payment:
    """The buyer pays: the money is held, and stays so in a two-stage payment."""
    _require(payment, PAYABLE)
    if method == SBP and payment.two_stage:
        raise Refused("SBP knows one stage only")
    return replace(payment, status=Status.AUTHORIZED, method=method, held=payment.amount, due_at=hold_until, error="0")


def decline(payment: Payment, method: str, code: str, attempts: int) -> Payment:
    """The issuer says no; the last of `attempts` tries ends the payment."""
    _require(payment, PAYABLE)
    declines = payment.declines + 1
    if declines < attempts:
        return replace(payment, status=Status.FORM_SHOWED, method=method, declines=declines)
    return replace(payment, status=Status.REJECTED, method=method, declines=declines, error=code, due_at=None)


def confirm(payment: Payment, amount: int | None) -> Payment:
    """Take the hold, or part of it; the rest is let go. Without an amount it is the one of Init."""
    _require(payment, HELD)
    taken = payment.amount if amount is None else amount
    if not 0 < taken <= payment.held:
        raise Refused("more than is held")
    return replace(
        payment, status=Status.CONFIRMED, confirmed=taken, held=0, reversed=payment.amount - taken, due_at=None
    )


def cancel(payment: Payment, amount: int | None) -> Payment:
    """Nothing paid: the payment ends. Held: the hold, or part of it, is let go."""
    if payment.status in PAYABLE:
        return replace(payment, status=Status.CANCELED, due_at=None)
    _require(payment, HELD)
    gone = payment.held if amount is None else amount
    if not 0 < gone <= payment.held:
        raise Refused("more than is held")
    left = payment.held - gone
    status = Status.PARTIAL_REVERSED if left else Status.REVERSED
    return replace(
        payment, status=status, held=left, reversed=payment.reversed + gone, due_at=payment.due_at if left else None
    )


def ask_refund(payment: Payment, amount: int | None, due_at: datetime, status: Status) -> Payment:
    """Money is to go back; without an amount it is the one of Init."""
    _require(payment, REFUNDABLE)
    back = payment.amount if amount is None else amount
    if not 0 < back <= payment.confirmed - payment.refunded:
        raise Refused("more than is left")
    return replace(payment, status=status, refunding=back, due_at=due_at)


def end_refund(payment: Payment, works: bool) -> Payment:
    """The refund under way has come to its end."""
    _require(payment, UNDER_WAY)
    refunded = payment.refunded + (payment.refunding if works else 0)
    left = payment.confirmed - refunded
    status = Status.REFUNDED if not left else Status.PARTIAL_REFUNDED if refunded else Status.CONFIRMED
    return replace(payment, status=status, refunded=refunded, refunding=0, due_at=None)


def run_out(payment: Payment) -> Payment:
    """The link or the hold is too old."""
    if payment.status in PAYABLE:
        return replace(payment, status=Status.DEADLINE_EXPIRED, due_at=None)
    if payment.status in HELD:
        return cancel(payment, None)
    return payment


def _require(payment: Payment, allowed: frozenset[Status]) -> None:
    if payment.status not in allowed:
        raise Refused(f"the payment is {payment.status}")
