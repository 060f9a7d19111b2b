"""How the return of an order's money stands for its buyer, from its payments and its tasks. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

from cloud.orders.money import Paid, PaymentState, paying_payment, to_return
from cloud.orders.states import Status
from cloud.orders.tasks import DONE, FOR_A_PERSON, NEVER_RETURNED, REFUSED, RETURNS, Task

_ARRIVES_WITHIN_DAYS = {"bank_card": 3, "sbp": 1, "sberbank": 0, "yoo_money": 0}
_ARRIVES_DEFAULT_DAYS = 3


@dataclass(frozen=True)
class Return:
    """How the money's way back stands, for the buyer."""

    status: str
    """`waiting` (evidence is awaited), `in_progress`, `done`."""
    amount: int
    expected_by: datetime | None
    payment_id: str
    """Whose money it is; of several that go back, the newest return's."""


class ReturnedOrder(Protocol):
    """What is asked of the order."""

    @property
    def status(self) -> str: ...
    @property
    def uncertain(self) -> bool: ...
    @property
    def return_after(self) -> datetime | None: ...
    @property
    def waits_for_person(self) -> bool: ...
    @property
    def given_back(self) -> int: ...


class Returned(Paid, Protocol):
    """What is asked of each of its payments."""

    @property
    def state(self) -> str: ...
    @property
    def method(self) -> str: ...


class ReturnTask(Protocol):
    """What is asked of each of its tasks; `subject` is the payment."""

    @property
    def task(self) -> str: ...
    @property
    def subject(self) -> str: ...
    @property
    def amount(self) -> int: ...
    @property
    def attempts(self) -> int: ...
    @property
    def due_at(self) -> datetime: ...
    @property
    def first_tried_at(self) -> datetime | None: ...
    @property
    def verdict(self) -> str: ...


def return_progress(
    order: ReturnedOrder, payments: Mapping[str, Returned], tasks: Sequence[ReturnTask]
) -> Return | None:
    """The return by our own tasks, oldest first; None when no task returns money or did."""
    returns = [task for task in tasks if task.task in RETURNS and task.verdict not in NEVER_RETURNED | {REFUSED}]
    if order.waits_for_person:  # what is open was not decided yet
        returns = [task for task in returns if task.verdict]
    if not returns:
        return None
    last = returns[-1]
    payment = payments[last.subject]
    expected_by = _expected_by(last, payment)
    if last.verdict == DONE or _is_let_go(payment):
        return Return("done", max(refunded(payments), last.amount), expected_by, last.subject)
    if last.verdict in FOR_A_PERSON and payment.captured > 0:
        left = to_return(payment, payment is paying_payment(payments.values()), Status(order.status), order.given_back)
        # what a person returned is told as what came back (`returned_by_hand.py`)
        return Return("in_progress", left, expected_by, last.subject) if left else None
    # not `may_be_done`: of a return that was tried, though in vain, the buyer has heard that it is on its way
    waiting = last.attempts == 0 and order.uncertain and order.return_after is not None
    return Return("waiting" if waiting else "in_progress", last.amount, expected_by, last.subject)


def _expected_by(task: ReturnTask, payment: Returned) -> datetime | None:
    """When the buyer sees the money; what is left to a person nobody can date."""
    if task.verdict in FOR_A_PERSON:
        return None
    return arrives_by(Task(task.task), payment.method, task.first_tried_at or task.due_at)


def arrives_by(task: Task, method: str, asked_at: datetime) -> datetime:
    """When the buyer sees the money: a cancelled hold at once, a refund by its method (docs/yookassa.md 2.2)."""
    if task is Task.CANCEL:
        return asked_at
    return asked_at + timedelta(days=_ARRIVES_WITHIN_DAYS.get(method, _ARRIVES_DEFAULT_DAYS))


def refunded(payments: Mapping[str, Returned]) -> int:
    """Kopecks that went back, whoever asked for it."""
    return sum(payment.refunded for payment in payments.values())


def _is_let_go(payment: Returned) -> bool:
    """The provider says so, whether or not the answer to our own call is written down yet."""
    return payment.state == PaymentState.CANCELED.value
