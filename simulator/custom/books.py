"""The merchant's books: payments made on its page, and money that went back. The truth a test compares with.

One payment per link, however often it comes; the same key is the same act.
"""

import threading
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum

MAX_PAYMENTS = 10_000


class Status(StrEnum):
    """How a payment stands."""

    PENDING = "pending"
    HELD = "held"
    SUCCEEDED = "succeeded"
    CANCELED = "canceled"


class Refused(Exception):
    """The act cannot be done; the text is the code that is told."""


@dataclass(frozen=True)
class Refund:
    """Money on its way back, or back. Of returns that were ordered, `id` is the key of the order."""

    id: str
    amount: int
    status: str = "succeeded"


@dataclass(frozen=True)
class Payment:
    """One payment, amounts in kopecks."""

    name: str
    order: str
    amount: int
    currency: str
    hold: bool
    description: str
    return_url: str
    status: Status = Status.PENDING
    captured: int = 0
    refunds: tuple[Refund, ...] = ()
    reason: str = ""

    @property
    def pay_until(self) -> int:
        """Unix seconds."""
        return int(self.name.rpartition(".")[2])

    @property
    def refunded(self) -> int:
        """Kopecks that are back."""
        return sum(refund.amount for refund in self.refunds if refund.status == "succeeded")

    def told(self, account: str) -> dict[str, object]:
        """As answers and callbacks have it."""
        told: dict[str, object] = {
            "account": account, "payment": self.name, "order": self.order, "amount": self.amount,
            "currency": self.currency, "status": self.status.value, "method": "bank_card",
            "refunds": [vars(refund) for refund in self.refunds],
        }  # fmt: skip
        if self.status is Status.SUCCEEDED:
            told["captured"] = self.captured
        if self.reason:
            told["reason"] = self.reason
        return told


@dataclass
class Books:
    """All payments. `changed` is called after each change and must return at once."""

    clock: Callable[[], datetime]
    changed: Callable[[Payment], None]
    slow_refunds: bool = False
    """Returns are first `pending`."""
    _payments: dict[str, Payment] = field(default_factory=dict)
    _lock: threading.RLock = field(default_factory=threading.RLock)

    def arrive(self, payment: Payment) -> Payment:
        """A buyer came with a link: the payment it names, new or known."""
        with self._lock:
            if payment.name not in self._payments and len(self._payments) >= MAX_PAYMENTS:
                raise Refused("full")
            return self._payments.setdefault(payment.name, payment)

    def find(self, name: str) -> Payment:
        """Raises `Refused`. What was not paid in time is canceled by now."""
        with self._lock:
            if name not in self._payments:
                raise Refused("unknown_payment")
            payment = self._payments[name]
            if payment.status is Status.PENDING and self.clock().timestamp() > payment.pay_until:
                return self._put(replace(payment, status=Status.CANCELED, reason="expired"))
            return payment

    def all(self) -> list[Payment]:
        with self._lock:
            return list(self._payments.values())

    def pay(self, name: str) -> Payment:
        """The buyer pays."""
        with self._lock:
            payment = self._expect(name, Status.PENDING)
            if payment.hold:
                return self._put(replace(payment, status=Status.HELD))
            return self._put(replace(payment, status=Status.SUCCEEDED, captured=payment.amount))

    def decline(self, name: str) -> Payment:
        """The buyer's bank says no, and the buyer leaves."""
        with self._lock:
            return self._put(replace(self._expect(name, Status.PENDING), status=Status.CANCELED, reason="declined"))

    def capture(self, name: str, amount: int | None = None) -> Payment:
        """Take what is held, or `amount` of it."""
        with self._lock:
            payment = self._expect(name, Status.HELD, Status.SUCCEEDED)
            if payment.status is Status.SUCCEEDED:
                return payment
            taken = payment.amount if amount is None else _some(amount, payment.amount)
            return self._put(replace(payment, status=Status.SUCCEEDED, captured=taken))

    def cancel(self, name: str) -> Payment:
        """Let a hold go."""
        with self._lock:
            payment = self._expect(name, Status.HELD, Status.CANCELED)
            if payment.status is Status.CANCELED:
                return payment
            return self._put(replace(payment, status=Status.CANCELED))

    def refund(self, name: str, key: str, amount: int) -> Payment:
        """Give money back, once for each key."""
        with self._lock:
            payment = self._expect(name, Status.SUCCEEDED)
            if any(refund.id == key for refund in payment.refunds):
                return payment
            gone = sum(refund.amount for refund in payment.refunds if refund.status != "canceled")
            status = "pending" if self.slow_refunds else "succeeded"
            refund = Refund(key, _some(amount, payment.captured - gone), status)
            return self._put(replace(payment, refunds=(*payment.refunds, refund)))

    def finish_refunds(self, name: str, status: str = "succeeded") -> Payment:
        """The bank has decided on the returns that were pending."""
        with self._lock:
            payment = self.find(name)
            waiting = [refund for refund in payment.refunds if refund.status == "pending"]
            done = tuple(replace(refund, status=status) if refund in waiting else refund for refund in payment.refunds)
            return self._put(replace(payment, refunds=done))

    def _expect(self, name: str, *statuses: Status) -> Payment:
        payment = self.find(name)
        if payment.status not in statuses:
            raise Refused("wrong_status")
        return payment

    def _put(self, payment: Payment) -> Payment:
        self._payments[payment.name] = payment
        self.changed(payment)
        return payment


def _some(amount: int, most: int) -> int:
    """Kopecks that can move out of `most`; raises `Refused`."""
    if amount <= 0:
        raise Refused("wrong_amount")
    if amount > most:
        raise Refused("too_much")
    return amount
