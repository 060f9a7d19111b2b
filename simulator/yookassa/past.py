"""Payments that began and ended before the provider was started: what its books say of them. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from simulator.yookassa.books import Books
from simulator.yookassa.instruments import DECLINED_CARDS, NETWORK, PAYING_CARDS, Cancellation, Instrument
from simulator.yookassa.state import PaymentRequest

DECLINED = Cancellation(NETWORK, "insufficient_funds")


@dataclass(frozen=True, slots=True, kw_only=True)
class PastPayment:
    """A hold that was taken, or let go. `paid_at` None: the bank declined the card."""

    id: str
    shop_id: str
    amount: int
    metadata: Mapping[str, str | None]
    started_at: datetime
    paid_at: datetime | None
    ended_at: datetime
    is_captured: bool


def replay(books: Books, past: PastPayment) -> None:
    """Let it happen as it did. The news of it is the caller's to drop."""
    request = PaymentRequest(amount=past.amount, metadata=past.metadata)
    payment = books.open_payment(past.id, past.shop_id, request, past.started_at)
    if past.paid_at is None:
        books.decline(payment, Instrument("bank_card", DECLINED_CARDS[0]), DECLINED, past.ended_at, final=True)
        return
    held = books.pay(payment, Instrument("bank_card", PAYING_CARDS[0]), past.paid_at)
    if past.is_captured:
        books.capture(held, None, past.ended_at)
    else:
        books.cancel(held, past.ended_at)
