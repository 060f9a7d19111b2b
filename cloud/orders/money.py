"""What is owed to whom, and why: pure rules over an order's status and its payments. Kopecks everywhere; no I/O.

The one answer is `owed()`; `owed_tasks.py` turns it into tasks in the outbox.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from cloud.orders.states import Status
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
    """Old news arriving late, and any news of money that has moved, moves nothing.

    A payment told to be canceled that brings money after all (`had_money`: it had not before) is news.
    """
    if before is PaymentState.CANCELED:
        return after is PaymentState.CAPTURED or (after is PaymentState.HELD and not had_money)
    return _RANK[after] > _RANK[before]


@dataclass(frozen=True)
class PaymentNews:
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


@dataclass(frozen=True)
class PaidFor:
    """One payment as `owed` sees it."""

    payment_id: str
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


STILL_OPEN = frozenset({Status.PENDING, Status.PAID, Status.MAKE_PENDING, Status.MANUAL_MAKE})
"""The drink may still be poured: money stays where it is."""


@dataclass(frozen=True)
class Wish:
    """What bears on the money of an order beside its status."""

    returns_from: datetime | None = None
    """Nobody knows whether a drink was poured: until then evidence is waited for."""
    waits_for_person: bool = False
    """Nobody knows, and the machine has had its returns of the day: nothing goes back by itself."""
    given_back: int = 0
    """Kopecks of a poured drink that a person decided to return."""


def owed(status: Status, payments: Sequence[PaidFor], wish: Wish = Wish()) -> list[Due]:  # frozen
    """Every act due now or later for an order in `status`; empty when money is where it belongs, or not decided yet.

    The first payment that fits pays the order; every other kopeck goes back.
    """
    return [due for payment in payments if (due := _owed_for(payment, payment is paying(payments), status, wish))]


def paying(payments: Sequence[PaidFor]) -> PaidFor | None:
    """The payment that pays the order: the first to bring money that fits it."""
    fitting = [p for p in payments if p.paid_at is not None and not p.problem]
    return min(fitting, key=lambda p: (p.paid_at, p.payment_id), default=None)


def _owed_for(payment: PaidFor, pays: bool, status: Status, wish: Wish) -> Due | None:
    balance = payment.captured - payment.refunded
    if payment.state is not PaymentState.HELD and balance <= 0:
        return None
    if not pays:
        return _return(payment, balance, None, payment.problem or "not the payment of this order")
    if status in STILL_OPEN:
        return None
    if status is Status.SUCCESSFUL:
        return _owed_for_poured(payment, balance, wish.given_back)
    if wish.waits_for_person:
        return None
    return _return(payment, balance, wish.returns_from, f"order {status.value}")


def _owed_for_poured(payment: PaidFor, balance: int, given_back: int) -> Due | None:
    if payment.state is PaymentState.HELD:
        return Due(Task.CAPTURE, payment.payment_id, payment.amount, None, "poured")
    missing = min(given_back - payment.refunded, balance)
    return Due(Task.REFUND, payment.payment_id, missing, None, "given back by a person") if missing > 0 else None


def _return(payment: PaidFor, balance: int, not_before: datetime | None, why: str) -> Due:
    if payment.state is PaymentState.HELD:
        return Due(Task.CANCEL, payment.payment_id, payment.amount, not_before, why)
    return Due(Task.REFUND, payment.payment_id, balance, not_before, why)


_ARRIVES_WITHIN_DAYS = {"bank_card": 3, "sbp": 1, "sberbank": 0, "yoo_money": 0}
_ARRIVES_DEFAULT_DAYS = 3


def arrives_by(task: Task, method: str, asked_at: datetime) -> datetime:
    """When the buyer sees the money: a cancelled hold at once, a refund by its method (docs/yookassa.md 2.2)."""
    if task is Task.CANCEL:
        return asked_at
    return asked_at + timedelta(days=_ARRIVES_WITHIN_DAYS.get(method, _ARRIVES_DEFAULT_DAYS))


@dataclass(frozen=True)
class Return:
    """How the money's way back stands, for the buyer."""

    status: str
    """`waiting` (evidence is awaited), `in_progress`, `done`."""
    amount: int
    expected_by: datetime | None
