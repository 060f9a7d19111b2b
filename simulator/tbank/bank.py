"""The bank itself: one lock around its books; every act of a merchant, a buyer or a person in the cabinet.

Does no I/O. News is handed to `tell` in the order it happened, under the lock; `ring` says something new is due.
"""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta

from simulator.shell.clock import Clock
from simulator.shell.ids import IdSource
from simulator.tbank.books import Books, Line
from simulator.tbank.state import (
    CARD,
    HELD,
    PAYABLE,
    SBP,
    Payment,
    Refused,
    Status,
    ask_refund,
    authorize,
    cancel,
    confirm,
    decline,
    show,
)
from simulator.tbank.terminals import Terminal, TerminalTable
from simulator.tbank.terms import Behaviour

MIN_SBP = 1000
DECLINES = {"insufficient_funds": "1051", "3ds": "101", "bank": "99", "forbidden": "1057"}
"""Why a test card is declined, and the bank's code of it."""


class NoSuchPayment(LookupError):
    """The terminal has no such payment."""


@dataclass(frozen=True, slots=True)
class Order:
    """What an Init asks for, checked."""

    order_id: str
    amount: int
    two_stage: bool
    description: str = ""
    success_url: str = ""
    fail_url: str = ""
    notification_url: str = ""
    pay_until: datetime | None = None


class Bank:
    """Thread-safe. Raises `Refused` and `NoSuchPayment`."""

    def __init__(
        self,
        terminals: TerminalTable,
        books: Books,
        clock: Clock,
        ids: IdSource,
        tell: Callable[[Payment, datetime], None],
        ring: Callable[[], None],
    ) -> None:
        self._terminals = terminals
        self._books = books
        self._clock = clock
        self._ids = ids
        self._tell = tell
        self._ring = ring
        self._lock = threading.Lock()

    @property
    def behaviour(self) -> Behaviour:
        return self._books.behaviour

    @behaviour.setter
    def behaviour(self, behaviour: Behaviour) -> None:
        with self._lock:
            self._books.behaviour = behaviour

    def settle(self) -> datetime | None:
        """Let everything due happen; tell when the next thing is due."""
        with self._opened():
            return self._books.next_due

    def init(self, terminal: Terminal, order: Order) -> Payment:
        with self._opened() as now:
            used = any(p.order_id == order.order_id for p in self._of(terminal))
            if used and self._books.behaviour.repeated_init == "refused":
                raise Refused("the OrderId was used")
            payment = Payment(
                id=str(10**9 + int(self._ids.digits(9))),
                page=self._ids.sbp_operation()[:12].lower(),
                terminal=terminal.key,
                order_id=order.order_id,
                amount=order.amount,
                two_stage=order.two_stage,
                description=order.description,
                success_url=order.success_url,
                fail_url=order.fail_url,
                notification_url=order.notification_url or terminal.notification_url,
                opened_at=now,
                due_at=order.pay_until or now + self._books.terms.link,
            )
            return self._books.write(payment, now, "opened")

    def state(self, terminal: Terminal, payment_id: str) -> Payment:
        with self._opened():
            return self._payment(terminal, payment_id)

    def order(self, terminal: Terminal, order_id: str) -> list[Payment]:
        with self._opened():
            found = [payment for payment in self._of(terminal) if payment.order_id == order_id]
            if not found:
                raise NoSuchPayment(order_id)
            return found

    def confirm(self, terminal: Terminal, payment_id: str, amount: int | None) -> Payment:
        with self._opened() as now:
            taken = confirm(self._payment(terminal, payment_id), amount)
            return self._books.write(taken, now, f"confirmed {taken.confirmed}")

    def cancel(
        self, terminal: Terminal, payment_id: str, amount: int | None, request_id: str
    ) -> tuple[Payment, Payment]:
        """The payment before and after. A repeated `request_id` moves nothing, except by SBP, where nobody looks."""
        with self._opened() as now:
            before = self._payment(terminal, payment_id)
            if request_id and before.method != SBP and self._books.is_repeat(payment_id, request_id):
                return before, before
            after = self._cancel(before, amount, now, "merchant")
            if request_id:  # not of a refused one: nothing was done that a repeat could do twice
                self._books.remember_cancel(payment_id, request_id)
            return before, after

    # The buyer, and people in the merchant's cabinet

    def find(self, payment_id: str) -> Payment:
        """Any terminal's payment."""
        with self._opened():
            return self._anyones(payment_id)

    def page(self, page: str, opened: bool) -> Payment:
        """The payment behind a page; `opened` by a browser."""
        with self._opened() as now:
            payment = next((p for p in self._books.all() if p.page == page), None)
            if payment is None:
                raise NoSuchPayment(page)
            shown = show(payment)
            return self._books.write(shown, now, "form shown") if opened and shown is not payment else payment

    def pay(self, payment_id: str, method: str = CARD) -> Payment:
        with self._opened() as now:
            payment = self._anyones(payment_id)
            if method == SBP and (payment.amount < MIN_SBP or not self._terminals[payment.terminal].sbp):
                raise Refused("SBP is not offered for this payment")
            if method not in {CARD, SBP}:
                raise Refused(f"no such method: {method}")
            held = authorize(payment, method, now + self._books.terms.hold)
            if method != SBP:  # by SBP the money is taken in one step
                self._books.write(held, now, f"authorized by {method}")
            if payment.two_stage:
                return held
            return self._books.write(confirm(held, None), now, f"confirmed {held.held}")

    def decline(self, payment_id: str, reason: str) -> Payment:
        with self._opened() as now:
            code = DECLINES.get(reason)
            if code is None:
                raise Refused(f"nothing is declined for {reason!r}")
            declined = decline(self._anyones(payment_id), CARD, code, self._books.behaviour.attempts)
            return self._books.write(declined, now, f"declined: {code}")

    def cancel_in_cabinet(self, payment_id: str, amount: int | None) -> Payment:
        """A person lets go or returns, past the API; None is all there is."""
        with self._opened() as now:
            payment = self._anyones(payment_id)
            return self._cancel(payment, payment.standing if amount is None else amount, now, "cabinet")

    def snapshot(self) -> list[tuple[Payment, list[Line]]]:
        """All payments with their histories, oldest first."""
        with self._opened():
            return [(payment, self._books.history(payment.id)) for payment in self._books.all()]

    def _cancel(self, payment: Payment, amount: int | None, now: datetime, who: str) -> Payment:
        if payment.status in PAYABLE | HELD:
            gone = cancel(payment, amount)
            return self._books.write(gone, now, f"{gone.status} by {who}")
        by_sbp, delay = payment.method == SBP, self._books.behaviour.refund_delay
        wait = self._books.terms.sbp_refund if delay is None else timedelta(seconds=delay)
        at_once = not wait if by_sbp else not delay
        due_at = now if at_once else now + wait
        asked = ask_refund(payment, amount, due_at, Status.ASYNC_REFUNDING if by_sbp else Status.REFUNDING)
        self._books.write(asked, now, f"refund of {asked.refunding} by {who}")
        self._books.settle(now)
        return self._anyones(payment.id)

    @contextmanager
    def _opened(self) -> Iterator[datetime]:
        with self._lock:
            now = self._clock()
            self._books.settle(now)
            due = self._books.next_due
            try:
                yield now
            finally:
                for payment in self._books.news:
                    self._tell(payment, now)
                self._books.news.clear()
                if self._books.next_due != due:
                    self._ring()

    def _of(self, terminal: Terminal) -> Iterator[Payment]:
        return (payment for payment in self._books.all() if payment.terminal == terminal.key)

    def _payment(self, terminal: Terminal, payment_id: str) -> Payment:
        payment = self._books.get(payment_id)
        if payment is None or payment.terminal != terminal.key:
            raise NoSuchPayment(payment_id)
        return payment

    def _anyones(self, payment_id: str) -> Payment:
        payment = self._books.get(payment_id)
        if payment is None:
            raise NoSuchPayment(payment_id)
        return payment
