"""Whatever buyers and shops do in whatever order, the provider's books stay right."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant, rule

from simulator.shell.ids import IdSource
from simulator.yookassa.books import Books
from simulator.yookassa.instruments import PROVIDER, Cancellation, Instrument
from simulator.yookassa.refunds import Refund, RefundRequest
from simulator.yookassa.state import Payment, PaymentRequest, Refused, Status
from simulator.yookassa.terms import Terms

START = datetime(2026, 3, 2, 7, tzinfo=UTC)
NO_MONEY = Cancellation("payment_network", "insufficient_funds")
METHODS = st.sampled_from(["bank_card", "sbp", "yoo_money"])
KOPECKS = st.integers(100, 30_000)
FINAL = (Status.SUCCEEDED, Status.CANCELED)


class ProviderBooks(RuleBasedStateMachine):
    """Buyers pay, are declined or leave; the shop captures, cancels and refunds; time passes."""

    payments: Bundle[str] = Bundle("payments")

    def __init__(self) -> None:
        super().__init__()
        self.books = Books(Terms())
        self.now = START
        self.ids = IdSource("books")
        self.seen: dict[str, Payment] = {}
        self.told: set[tuple[str, Status]] = set()

    @rule(target=payments, amount=KOPECKS, capture=st.booleans(), receipt=st.booleans())
    def create(self, amount: int, capture: bool, receipt: bool) -> str:
        request = PaymentRequest(amount=amount, capture=capture, receipt={} if receipt else None)
        return self.books.open_payment(self.ids.payment(self.now), "1", request, self.now).id

    @rule(payment_id=payments, method=METHODS)
    def pay(self, payment_id: str, method: str) -> None:
        payment = self.get(payment_id)
        may = payment.status is Status.PENDING and (payment.request.capture or method != "sbp")
        after = self.attempt(may, lambda: self.books.pay(payment, Instrument(method), self.now))
        if after is not None:
            wanted = Status.SUCCEEDED if payment.request.capture else Status.WAITING_FOR_CAPTURE
            assert after.status is wanted

    @rule(payment_id=payments, final=st.booleans())
    def decline(self, payment_id: str, final: bool) -> None:
        payment, card = self.get(payment_id), Instrument("bank_card")
        may = payment.status is Status.PENDING
        self.attempt(may, lambda: self.books.decline(payment, card, NO_MONEY, self.now, final=final))

    @rule(payment_id=payments, amount=st.none() | KOPECKS)
    def capture(self, payment_id: str, amount: int | None) -> None:
        payment = self.get(payment_id)
        may = payment.status is Status.WAITING_FOR_CAPTURE and (amount or 0) <= payment.request.amount
        after = self.attempt(may, lambda: self.books.capture(payment, amount, self.now))
        if after is not None:
            assert after.captured == (amount or payment.request.amount)

    @rule(payment_id=payments)
    def cancel(self, payment_id: str) -> None:
        payment = self.get(payment_id)
        may = payment.status is Status.WAITING_FOR_CAPTURE
        after = self.attempt(may, lambda: self.books.cancel(payment, self.now))
        if after is not None:
            assert after.released == payment.request.amount

    @rule(payment_id=payments, amount=KOPECKS, hours=st.integers(0, 30), fails=st.booleans())
    def refund(self, payment_id: str, amount: int, hours: int, fails: bool) -> None:
        payment = self.get(payment_id)
        left = payment.refundable - amount
        may = payment.status is Status.SUCCEEDED and (left == 0 or left > 100)
        refund = Refund(
            id=self.ids.refund(self.now),
            shop_id="1",
            request=RefundRequest(payment_id=payment_id, amount=amount),
            method="bank_card",
            created_at=self.now,
            due_at=self.now + timedelta(hours=hours),
            verdict=Cancellation(PROVIDER, "insufficient_funds") if fails else None,
        )
        self.attempt(may, lambda: self.books.open_refund(refund, self.now))

    @rule(minutes=st.sampled_from([1, 59, 60, 24 * 60, 7 * 24 * 60]))
    def time_passes(self, minutes: int) -> None:
        self.now += timedelta(minutes=minutes)
        self.books.settle(self.now)

    @invariant()
    def money_is_conserved(self) -> None:
        for payment in self.books.newest_payments():
            assert payment.authorized == payment.held + payment.captured + payment.released
            assert payment.authorized in (0, payment.request.amount)
            assert min(payment.held, payment.captured, payment.released, payment.refundable) >= 0
            mine = [refund for refund in self.books.newest_refunds() if refund.payment_id == payment.id]
            assert payment.refunded == sum(r.amount for r in mine if r.status is Status.SUCCEEDED)
            assert payment.refunding == sum(r.amount for r in mine if r.status is Status.PENDING)

    @invariant()
    def nothing_leaves_a_final_status_or_outlives_its_time(self) -> None:
        for payment in self.books.newest_payments():
            before = self.seen.get(payment.id)
            assert before is None or before.status not in FINAL or before.status is payment.status
            assert payment.due_at is None or payment.due_at > self.now
            self.seen[payment.id] = payment

    @invariant()
    def every_status_but_the_first_was_told_once(self) -> None:
        for event in self.books.take_news():
            subject = event.subject
            assert event.name == f"{'payment' if isinstance(subject, Payment) else 'refund'}.{subject.status}"
            assert event.name != "refund.canceled"
            assert subject.status is not Status.PENDING
            assert (subject.id, subject.status) not in self.told
            self.told.add((subject.id, subject.status))

    def get(self, payment_id: str) -> Payment:
        payment = self.books.payment(payment_id)
        assert payment is not None
        return payment

    @staticmethod
    def attempt(may: bool, act: Any) -> Any:
        if may:
            return act()
        with pytest.raises(Refused):
            act()
        return None


TestProviderBooks = ProviderBooks.TestCase
TestProviderBooks.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)


def test_the_oldest_payment_is_forgotten_when_the_books_are_full() -> None:
    books, ids = Books(Terms(), max_payments=3), IdSource("x")
    made = [books.open_payment(ids.payment(START), "1", PaymentRequest(amount=100), START).id for _ in range(50)]
    assert [payment.id for payment in books.newest_payments()] == made[:-4:-1]
    assert books.forgotten == 47
    books.settle(START + timedelta(hours=2))
    assert all(payment.status is Status.CANCELED for payment in books.newest_payments())


def test_a_payment_expires_at_its_hour_and_not_before() -> None:
    books = Books(Terms())
    payment = books.open_payment("p", "1", PaymentRequest(amount=100), START)
    books.settle(START + timedelta(minutes=59, seconds=59))
    assert books.payment("p") == payment
    books.settle(START + timedelta(hours=1))
    expired = books.payment("p")
    assert expired is not None
    assert expired.cancellation == Cancellation(PROVIDER, "expired_on_confirmation")
