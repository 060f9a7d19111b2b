"""Counts each call to a provider: which, what was asked, how it ended, how long it took."""

import time
from collections.abc import Callable
from datetime import datetime
from typing import TypeVar

from cloud.fleet.models import PROVIDER_OF
from cloud.metrics.counts import Counts, Histogram
from cloud.payments.admission import Gate
from cloud.payments.facts import Page, PaymentFacts, RefundFacts, ShopFacts
from cloud.payments.outcomes import (
    AuthError,
    NotOurs,
    NotSent,
    Ok,
    Outcome,
    RateLimited,
    Rejected,
    Unknown,
)
from cloud.payments.provider import FiscalReceipt, NewPayment, PreparedCall, Provider, Shop

T = TypeVar("T")
_ENDS: dict[type, str] = {
    Ok: "ok", Rejected: "rejected", NotOurs: "not_ours", AuthError: "auth_error", RateLimited: "rate_limited",
    NotSent: "not_sent", Unknown: "unknown",
}  # fmt: skip
CALL_SECONDS = Histogram(
    "coffee_provider_call_seconds",
    "Calls to payment providers by what was asked and how it ended (docs/operations.md); held back ones were not made.",
    ("provider", "method", "outcome"),
    (0.05, 0.1, 0.25, 0.5, 1, 2, 5, 10, 20, 35),
)


class CountedProvider:
    """A provider whose calls are counted; it is asked everything."""

    def __init__(self, inner: Provider, scenario: str, counts: Counts) -> None:
        self._inner = inner
        self._name = PROVIDER_OF.get(scenario, "other")
        self._counts = counts

    def __repr__(self) -> str:
        return repr(self._inner)

    @property
    def shop(self) -> Shop:
        """The credential it speaks for."""
        return self._inner.shop

    @property
    def gate(self) -> Gate:
        """By which its calls are let through."""
        return self._inner.gate

    def prepare_create(self, payment: NewPayment, key: str) -> PreparedCall:
        """See `Provider`."""
        return self._inner.prepare_create(payment, key)

    def prepare_capture(self, provider_payment_id: str, key: str) -> PreparedCall:
        """See `Provider`."""
        return self._inner.prepare_capture(provider_payment_id, key)

    def prepare_cancel(self, provider_payment_id: str, key: str) -> PreparedCall:
        """See `Provider`."""
        return self._inner.prepare_cancel(provider_payment_id, key)

    def prepare_refund(
        self,
        provider_payment_id: str,
        amount: int,
        key: str,
        description: str | None = None,
        receipt: FiscalReceipt | None = None,
    ) -> PreparedCall:
        """See `Provider`."""
        return self._inner.prepare_refund(provider_payment_id, amount, key, description, receipt)

    def send(self, call: PreparedCall) -> Outcome[PaymentFacts] | Outcome[RefundFacts]:
        """See `Provider`."""
        return self._timed(call.operation.value, lambda: self._inner.send(call))

    def fetch(self, provider_payment_id: str) -> Outcome[PaymentFacts]:
        """See `Provider`."""
        return self._timed("fetch", lambda: self._inner.fetch(provider_payment_id))

    def fetch_refund(self, refund_id: str) -> Outcome[RefundFacts]:
        """See `Provider`."""
        return self._timed("fetch_refund", lambda: self._inner.fetch_refund(refund_id))

    def list_payments(
        self, created_gte: datetime, created_lt: datetime, cursor: str | None = None, payment: str | None = None
    ) -> Outcome[Page[PaymentFacts]]:
        """See `Provider`."""
        return self._timed("list_payments", lambda: self._inner.list_payments(created_gte, created_lt, cursor, payment))

    def list_refunds(
        self,
        provider_payment_id: str | None = None,
        created_gte: datetime | None = None,
        created_lt: datetime | None = None,
        cursor: str | None = None,
    ) -> Outcome[Page[RefundFacts]]:
        """See `Provider`."""
        return self._timed(
            "list_refunds", lambda: self._inner.list_refunds(provider_payment_id, created_gte, created_lt, cursor)
        )

    def me(self) -> Outcome[ShopFacts]:
        """See `Provider`."""
        return self._timed("me", self._inner.me)

    def close(self) -> None:
        """See `Provider`."""
        self._inner.close()

    def _timed(self, method: str, call: Callable[[], T]) -> T:
        began = time.perf_counter()
        outcome = call()
        if not (isinstance(outcome, NotSent) and outcome.held_back):
            end = _ENDS.get(type(outcome), "other")
            self._counts.observe(CALL_SECONDS, time.perf_counter() - began, self._name, method, end)
        return outcome


def counted(connect: Callable[[Shop, str], Provider], counts: Counts) -> Callable[[Shop, str], Provider]:
    """Makes clients whose calls are counted."""
    return lambda shop, scenario: CountedProvider(connect(shop, scenario), scenario, counts)
