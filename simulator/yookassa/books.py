"""The provider's own books: every payment and refund with its history, what falls due when, and the news to tell.

Pure but for its own memory: `now` and ids are given. Keeps a bounded number of payments, forgetting the oldest.
"""

import heapq
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import count

from simulator.yookassa.instruments import Cancellation, Instrument
from simulator.yookassa.money import value_text
from simulator.yookassa.refunds import Refund, reserve, settle
from simulator.yookassa.state import (
    Payment,
    PaymentRequest,
    Status,
    cancel,
    capture,
    decline,
    expire,
    open_payment,
    pay,
)
from simulator.yookassa.terms import Terms

MAX_PAYMENTS = 50_000  # a long benchmark's worth, some 150 MB
MAX_REFUNDS = 50_000
DUE_PER_PAYMENT = 5  # above this many per payment kept, what is due for forgotten ones is thrown out
MAX_HISTORY = 100  # lines per payment; a buyer may try declined cards for an hour


@dataclass(frozen=True, slots=True)
class Event:
    """News for the shop: `name` as in a notification, with the object as it was at that moment."""

    name: str
    subject: Payment | Refund


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a payment's history."""

    at: datetime
    what: str


class Books:
    """Not thread-safe: the caller holds one lock around every call."""

    def __init__(self, terms: Terms, max_payments: int = MAX_PAYMENTS) -> None:
        self.terms = terms
        self.receipt_outcome = Status.SUCCEEDED
        self.forgotten = 0
        self._max_payments = max_payments
        self._payments: dict[str, Payment] = {}
        self._refunds: dict[str, Refund] = {}
        self._history: dict[str, deque[Line]] = {}
        self._due: list[tuple[datetime, int, str]] = []
        self._order = count()
        self._news: list[Event] = []

    def payment(self, payment_id: str) -> Payment | None:
        return self._payments.get(payment_id)

    def refund(self, refund_id: str) -> Refund | None:
        return self._refunds.get(refund_id)

    def newest_payments(self) -> Iterator[Payment]:
        return reversed(self._payments.values())

    def newest_refunds(self) -> Iterator[Refund]:
        return reversed(self._refunds.values())

    def history(self, payment_id: str) -> list[Line]:
        return list(self._history.get(payment_id, ()))

    def take_news(self) -> list[Event]:
        """The events since the last call, oldest first."""
        news, self._news = self._news, []
        return news

    def open_payment(self, payment_id: str, shop_id: str, request: PaymentRequest, now: datetime) -> Payment:
        payment = open_payment(payment_id, shop_id, request, now, self.terms)
        self._history[payment.id] = deque(maxlen=MAX_HISTORY)
        self._write(payment, now, f"created for {value_text(request.amount)}")
        if len(self._payments) > self._max_payments:
            self._forget(next(iter(self._payments)))
        return payment

    def pay(self, payment: Payment, instrument: Instrument, now: datetime) -> Payment:
        paid = pay(payment, instrument, now, self.terms)
        word = "captured" if paid.captured else "held"
        return self._write(paid, now, f"paid by {instrument.method}, {value_text(paid.authorized)} {word}")

    def decline(
        self, payment: Payment, instrument: Instrument, why: Cancellation, now: datetime, *, final: bool
    ) -> Payment:
        declined = decline(payment, instrument, why, final=final)
        return self._write(declined, now, f"declined: {why.reason}")

    def capture(
        self, payment: Payment, amount: int | None, now: datetime, receipt: Mapping[str, object] | None = None
    ) -> Payment:
        captured = capture(payment, amount, now, receipt)
        what = f"captured {value_text(captured.captured)}, released {value_text(captured.released)}"
        return self._write(captured, now, what)

    def cancel(self, payment: Payment, now: datetime) -> Payment:
        canceled = cancel(payment)
        return self._write(canceled, now, f"canceled by merchant, released {value_text(canceled.released)}")

    def open_refund(self, refund: Refund, now: datetime) -> Refund:
        """Reserve the money and settle the refund at once if it is already due."""
        payment = self._payments[refund.payment_id]
        reserved = reserve(payment, refund.amount, now, self.terms)
        self._refunds[refund.id] = refund
        self._write(reserved, now, f"refund {refund.id} of {value_text(refund.amount)} asked")
        self._push(refund.due_at, refund.id)
        if len(self._refunds) > MAX_REFUNDS:
            self._refunds.pop(next(iter(self._refunds)))
            self.forgotten += 1
        self.settle(now)
        return self._refunds[refund.id]

    @property
    def next_due(self) -> datetime | None:
        return self._due[0][0] if self._due else None

    def settle(self, now: datetime) -> None:
        """Let everything happen that is due by `now`, in order of time."""
        while self._due and self._due[0][0] <= now:
            at, _, subject_id = heapq.heappop(self._due)
            if payment := self._payments.get(subject_id):
                self._settle_payment(payment, at)
            elif refund := self._refunds.get(subject_id):
                self._settle_refund(refund, at)

    def _settle_payment(self, payment: Payment, at: datetime) -> None:
        if payment.receipt is Status.PENDING and self.receipt_outcome is Status.PENDING:
            self._push(at + self.terms.receipt, payment.id)
        elif payment.receipt is Status.PENDING:
            registered = replace(payment, receipt=self.receipt_outcome)
            self._write(registered, at, f"receipt {self.receipt_outcome}")
        elif (expired := expire(payment, at)) is not payment:
            self._write(expired, at, f"expired, released {value_text(expired.released)}")

    def _settle_refund(self, refund: Refund, at: datetime) -> None:
        if refund.receipt is Status.PENDING:
            self._refunds[refund.id] = replace(refund, receipt=self.receipt_outcome)
            if self.receipt_outcome is Status.PENDING:
                self._push(at + self.terms.receipt, refund.id)
            return
        payment = self._payments.get(refund.payment_id)
        if payment is None:
            return
        payment, settled = settle(payment, refund)
        if settled is refund:
            return
        self._refunds[refund.id] = settled
        self._write(payment, at, f"refund {refund.id} {settled.status}")
        if settled.status is Status.SUCCEEDED:  # a failed refund has no event: the shop must ask
            self._news.append(Event("refund.succeeded", settled))
        if settled.receipt is Status.PENDING:
            self._push(at + self.terms.receipt, refund.id)

    def _write(self, payment: Payment, at: datetime, what: str) -> Payment:
        before = self._payments.get(payment.id)
        self._payments[payment.id] = payment
        self._history[payment.id].append(Line(at, what))
        if before is not None and before.status is payment.status:
            return payment
        if before is not None:
            self._news.append(Event(f"payment.{payment.status}", payment))
        if payment.due_at is not None:
            self._push(payment.due_at, payment.id)
        if payment.receipt is Status.PENDING:
            self._push(at + self.terms.receipt, payment.id)
        return payment

    def _push(self, at: datetime, subject_id: str) -> None:
        heapq.heappush(self._due, (at, next(self._order), subject_id))

    def _forget(self, payment_id: str) -> None:
        del self._payments[payment_id]
        del self._history[payment_id]
        self.forgotten += 1
        if len(self._due) > DUE_PER_PAYMENT * self._max_payments:
            self._due = [due for due in self._due if due[2] in self._payments or due[2] in self._refunds]
            heapq.heapify(self._due)
