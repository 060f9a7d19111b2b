"""What is owed to whom, and why: pure rules over an order's status and its payments. Kopecks everywhere; no I/O.

The one answer is `owed()`; `owed_tasks.py` turns it into tasks in the outbox.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Protocol, TypeVar

from cloud.orders.states import STILL_OPEN, Status
from cloud.orders.tasks import Task


class PaymentState(StrEnum):
    """How far one payment has come; it only ever moves forward."""

    CREATING = "creating"
    """Asked of the provider, no certain answer yet."""
    PENDING = "pending"
    HELD = "held"
    CAPTURED = "captured"
    CANCELED = "canceled"
    REFUSED = "refused"
    """The provider never opened it."""


_RANK = {
    PaymentState.CREATING: 0,
    PaymentState.PENDING: 1,
    PaymentState.HELD: 2,
    PaymentState.CAPTURED: 3,
    PaymentState.CANCELED: 3,
    PaymentState.REFUSED: 1,  # should it turn out to have brought money, that money is not lost
}


def moves_forward(before: PaymentState, after: PaymentState, had_money: bool = False) -> bool:
    """An old answer that comes late, and any about money that has moved, moves nothing.

    One told to be canceled may bring money after all (`had_money`: it had not before).
    """
    if before is PaymentState.CANCELED:
        return after is PaymentState.CAPTURED or (after is PaymentState.HELD and not had_money)
    return _RANK[after] > _RANK[before]


@dataclass(frozen=True)
class PaymentAnswer:
    """What a provider says of one payment now, in our words."""

    state: PaymentState
    provider_payment_id: str
    confirmation_url: str = ""
    captured: int = 0
    refunded: int = 0
    """Kopecks that are back already, whoever returned them."""
    method: str = ""
    problem: str = ""
    cancel_reason: str = ""
    hold_expires_at: datetime | None = None
    income: int | None = None
    """Kopecks of what was captured that reach the shop; None: the provider has not said."""


class Paid(Protocol):
    """What is asked of a payment, whoever has read it."""

    @property
    def id(self) -> str: ...
    @property
    def captured(self) -> int: ...
    @property
    def refunded(self) -> int: ...
    @property
    def problem(self) -> str: ...
    @property
    def paid_at(self) -> datetime | None: ...


P = TypeVar("P", bound=Paid)


@dataclass(frozen=True)
class PaymentSnapshot:
    """One payment as `owed` sees it."""

    id: str
    state: PaymentState
    amount: int
    captured: int
    refunded: int
    problem: str
    paid_at: datetime | None


@dataclass(frozen=True)
class Due:
    """One act that money waits for."""

    task: Task
    payment_id: str
    amount: int
    not_before: datetime | None
    why: str


REFUSALS_FOR_A_PERSON = 3
"""The provider's "no" to the same act so often is not going to change by itself (the retries reach an hour by then)."""


@dataclass(frozen=True)
class ReturnPolicy:
    """What bears on the money of an order beside its status."""

    returns_from: datetime | None = None
    """Nobody knows whether a drink was poured: until then evidence is waited for."""
    waits_for_person: bool = False
    """Nobody knows, and a person decides: nothing goes back by itself."""
    given_back: int = 0
    """Kopecks of a poured drink that a person decided to return."""


def owed(
    status: Status,
    payments: Sequence[PaymentSnapshot],
    policy: ReturnPolicy = ReturnPolicy(),  # frozen
) -> list[Due]:
    """Every act due now or later for an order in `status`; empty when money is where it belongs, or not decided yet.

    The first payment that fits pays the order; every other kopeck goes back.
    """
    pays = paying_payment(payments)
    return [due for payment in payments if (due := _owed_for(payment, payment is pays, status, policy))]


def paying_payment(payments: Iterable[P]) -> P | None:
    """The payment that pays the order: the first to bring money that fits it."""
    fitting = [p for p in payments if p.paid_at is not None and not p.problem]
    return min(fitting, key=lambda p: (p.paid_at, p.id), default=None)


def to_return(payment: Paid, pays: bool, status: Status, given_back: int) -> int:
    """Kopecks taken by a payment that do not stay, and are not back yet. `pays`: it is the one that pays the order."""
    balance = max(0, payment.captured - payment.refunded)
    if pays and status in STILL_OPEN:
        return 0
    if pays and status is Status.SUCCESSFUL:
        return min(max(0, given_back - payment.refunded), balance)
    return balance


def _owed_for(payment: PaymentSnapshot, pays: bool, status: Status, policy: ReturnPolicy) -> Due | None:
    back = to_return(payment, pays, status, policy.given_back)
    if payment.state is not PaymentState.HELD and not back:
        return None
    if not pays:
        return _return(payment, back, None, payment.problem or "not the payment of this order")
    if status in STILL_OPEN:
        return None
    if status is Status.SUCCESSFUL:
        return _owed_for_poured(payment, back)
    if policy.waits_for_person:
        return None
    return _return(payment, back, policy.returns_from, f"order {status.value}")


def _owed_for_poured(payment: PaymentSnapshot, back: int) -> Due:
    if payment.state is PaymentState.HELD:
        return Due(Task.CAPTURE, payment.id, payment.amount, None, "poured")
    return Due(Task.REFUND, payment.id, back, None, "given back by a person")


def _return(payment: PaymentSnapshot, back: int, not_before: datetime | None, why: str) -> Due:
    if payment.state is PaymentState.HELD:
        return Due(Task.CANCEL, payment.id, payment.amount, not_before, why)
    return Due(Task.REFUND, payment.id, back, not_before, why)
