"""The YooKassa client of one merchant: prepared calls out, typed outcomes back.

One object per credential, no global configuration, no repeating by itself: the code that stored a call decides that.
Logs nothing.
"""

import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import TypeVar

from cloud.payments import gated_exchange
from cloud.payments.admission import Gate
from cloud.payments.budget import ShopBudget
from cloud.payments.facts import Page, PaymentFacts, RefundFacts, ShopFacts
from cloud.payments.outcomes import NotOurs, Outcome
from cloud.payments.provider import FiscalReceipt, NewPayment, Operation, PreparedCall, Shop
from cloud.payments.rate import CircuitBreaker, TokenBucket
from cloud.payments.transport import Question, Transport
from cloud.payments.yookassa import calls
from cloud.payments.yookassa.answers import judge
from cloud.payments.yookassa.objects import Unreadable, page_of, payment_facts, refund_facts, shop_facts

CONNECT_S, ACT_S, ASK_S = 5.0, 35.0, 12.0
PAGE_LIMIT = 100
"""The most the API gives on one page."""

T = TypeVar("T")


class YooKassaClient:
    """One merchant's shop at YooKassa; a `provider.Provider`. Any thread may call it; each has its own session.

    YooKassa itself may work on a POST for 30 s before it answers, hence the long default.
    """

    def __init__(
        self,
        shop: Shop,
        base_url: str,
        *,
        user_agent: str,
        connect_timeout_s: float = CONNECT_S,
        post_read_timeout_s: float = ACT_S,
        get_read_timeout_s: float = ASK_S,
        bucket: TokenBucket | None = None,
        breaker: CircuitBreaker | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._shop = shop
        self._post_timeout_s = post_read_timeout_s
        self._get_timeout_s = get_read_timeout_s
        self._gate = Gate(ShopBudget(bucket, breaker), clock)
        self._transport = Transport(
            base_url,
            user_agent=user_agent,
            basic_auth=(shop.account_id, shop.secret_key),
            connect_timeout_s=connect_timeout_s,
        )

    def __repr__(self) -> str:
        return f"YooKassaClient({self._shop.account_id!r}, {self._transport.base_url!r})"

    @property
    def shop(self) -> Shop:
        """The credential this client speaks for, and no other."""
        return self._shop

    @property
    def gate(self) -> Gate:
        """By which its calls are let through."""
        return self._gate

    def prepare_create(self, payment: NewPayment, key: str) -> PreparedCall:
        """See `calls.prepare_create`."""
        return calls.prepare_create(self._shop, payment, key)

    def prepare_capture(self, provider_payment_id: str, key: str) -> PreparedCall:
        """See `calls.prepare_capture`."""
        return calls.prepare_capture(provider_payment_id, key)

    def prepare_cancel(self, provider_payment_id: str, key: str) -> PreparedCall:
        """See `calls.prepare_cancel`."""
        return calls.prepare_cancel(provider_payment_id, key)

    def prepare_refund(
        self,
        provider_payment_id: str,
        amount: int,
        key: str,
        description: str | None = None,
        receipt: FiscalReceipt | None = None,
    ) -> PreparedCall:
        """See `calls.prepare_refund`."""
        return calls.prepare_refund(provider_payment_id, amount, key, description, receipt)

    def send(self, call: PreparedCall) -> Outcome[PaymentFacts] | Outcome[RefundFacts]:
        """Send a stored call by what it says it is.

        Rejected of a capture or a cancel also means "gone or taken already": fetch tells which. A refund's Ok may be
        PENDING, and no notification tells of a failed one: fetch until final.
        """
        question = Question("POST", call.path, self._post_timeout_s, key=call.key, body=call.body)
        if call.operation is Operation.REFUND:
            return self._talk(question, refund_facts)
        return self._talk(question, payment_facts)

    def fetch(self, provider_payment_id: str) -> Outcome[PaymentFacts]:
        """The payment now. An id that cannot be YooKassa's (a forged notification's) is NotOurs without asking."""
        if not calls.is_object_id(provider_payment_id):
            return NotOurs("not an id of this provider")
        read = _about(provider_payment_id, payment_facts, lambda facts: facts.provider_payment_id)
        return self._ask(f"/payments/{provider_payment_id}", read, asked_by_id=True)

    def fetch_refund(self, refund_id: str) -> Outcome[RefundFacts]:
        """The refund now."""
        if not calls.is_object_id(refund_id):
            return NotOurs("not an id of this provider")
        read = _about(refund_id, refund_facts, lambda facts: facts.provider_refund_id)
        return self._ask(f"/refunds/{refund_id}", read, asked_by_id=True)

    def list_payments(
        self, created_gte: datetime, created_lt: datetime, cursor: str | None = None, payment: str | None = None
    ) -> Outcome[Page[PaymentFacts]]:
        """One page of the payments created in a window. The filters go with every cursor; let windows overlap."""
        params = _window(created_gte, created_lt, cursor)
        return self._ask("/payments", page_of(payment_facts), params=params)

    def list_refunds(
        self,
        provider_payment_id: str | None = None,
        created_gte: datetime | None = None,
        created_lt: datetime | None = None,
        cursor: str | None = None,
    ) -> Outcome[Page[RefundFacts]]:
        """One page of refunds: of one payment, of a window, or both. Holds those made by people in the cabinet, too."""
        params = _window(created_gte, created_lt, cursor)
        if provider_payment_id is not None:
            params["payment_id"] = provider_payment_id
        return self._ask("/refunds", page_of(refund_facts), params=params)

    def me(self) -> Outcome[ShopFacts]:
        """Whose credential this is: a test shop? does it fiscalize?"""
        return self._ask("/me", shop_facts)

    def close(self) -> None:
        """Close the connections of all threads. Call it when nobody uses the client any more."""
        self._transport.close()

    def _ask(
        self,
        path: str,
        read: Callable[[object], T],
        *,
        asked_by_id: bool = False,
        params: Mapping[str, str] | None = None,
    ) -> Outcome[T]:
        return self._talk(Question("GET", path, self._get_timeout_s, params), read, asked_by_id=asked_by_id)

    def _talk(self, question: Question, read: Callable[[object], T], *, asked_by_id: bool = False) -> Outcome[T]:
        return gated_exchange.ask(
            self._gate, self._transport, question, lambda reply: judge(reply, read, asked_by_id=asked_by_id)
        )


def _about(wanted: str, read: Callable[[object], T], id_of: Callable[[T], str]) -> Callable[[object], T]:
    """`read`, but an answer about another object is Unreadable."""

    def read_checked(told: object) -> T:
        facts = read(told)
        if id_of(facts) != wanted:
            raise Unreadable("about another object")
        return facts

    return read_checked


def _window(created_gte: datetime | None, created_lt: datetime | None, cursor: str | None) -> dict[str, str]:
    params = {"limit": str(PAGE_LIMIT)}
    if created_gte is not None:
        params["created_at.gte"] = _moment(created_gte)
    if created_lt is not None:
        params["created_at.lt"] = _moment(created_lt)
    if cursor is not None:
        params["cursor"] = cursor
    return params


def _moment(moment: datetime) -> str:
    if moment.tzinfo is None:
        raise ValueError("a time without a zone")
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
