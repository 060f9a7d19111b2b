"""The bank's books: every payment with its history, under one lock's care. Lets what is due happen; tells the news."""

import heapq
from collections import defaultdict
from dataclasses import dataclass
from datetime import datetime
from itertools import count

from simulator.tbank.state import PAYABLE, UNDER_WAY, Payment, Status, end_refund, run_out
from simulator.tbank.terms import Behaviour, Terms

MAX_PAYMENTS = 20_000  # the oldest are forgotten
TOLD = frozenset(Status) - {Status.NEW, Status.FORM_SHOWED, Status.REFUNDING, Status.ASYNC_REFUNDING}


@dataclass(frozen=True, slots=True)
class Line:
    """One thing that happened to a payment."""

    at: datetime
    what: str


class Books:
    """Not thread-safe: the bank holds its lock."""

    def __init__(self, terms: Terms) -> None:
        self.terms = terms
        self.behaviour = Behaviour()
        self.news: list[Payment] = []
        self._payments: dict[str, Payment] = {}
        self._history: dict[str, list[Line]] = defaultdict(list)
        self._cancels: dict[str, set[str]] = defaultdict(set)
        self._due: list[tuple[datetime, int, str]] = []
        self._order = count()

    def get(self, payment_id: str) -> Payment | None:
        return self._payments.get(payment_id)

    def all(self) -> list[Payment]:
        """Every payment, oldest first."""
        return list(self._payments.values())

    def history(self, payment_id: str) -> list[Line]:
        return self._history.get(payment_id, [])

    def write(self, payment: Payment, at: datetime, what: str) -> Payment:
        """The payment as it is now; a status worth telling is news."""
        before = self._payments.get(payment.id)
        self._payments[payment.id] = payment
        self._history[payment.id].append(Line(at, what))
        if (before is None or before.status is not payment.status or payment.refunded) and payment.status in TOLD:
            self.news.append(payment)
        if payment.due_at is not None:
            heapq.heappush(self._due, (payment.due_at, next(self._order), payment.id))
        if len(self._payments) > MAX_PAYMENTS:
            self._forget(next(iter(self._payments)))
        return payment

    def is_repeat(self, payment_id: str, request_id: str) -> bool:
        """Whether a cancellation with this ExternalRequestId was done before."""
        return request_id in self._cancels.get(payment_id, ())

    def remember_cancel(self, payment_id: str, request_id: str) -> None:
        """A cancellation with this ExternalRequestId was done: it is not done again."""
        self._cancels[payment_id].add(request_id)

    @property
    def next_due(self) -> datetime | None:
        return self._due[0][0] if self._due else None

    def settle(self, now: datetime) -> None:
        """Let everything happen that is due by `now`, in order of time."""
        while self._due and self._due[0][0] <= now:
            at, _, payment_id = heapq.heappop(self._due)
            payment = self._payments.get(payment_id)
            if payment is None or payment.due_at != at:
                continue
            if payment.status in UNDER_WAY:
                works = not self.behaviour.refund_fails
                self.write(end_refund(payment, works), at, f"refund {'done' if works else 'failed'}")
            else:
                what = "link ran out" if payment.status in PAYABLE else "hold ran out"
                self.write(run_out(payment), at, what)

    def _forget(self, payment_id: str) -> None:
        del self._payments[payment_id]
        self._history.pop(payment_id, None)
        self._cancels.pop(payment_id, None)
