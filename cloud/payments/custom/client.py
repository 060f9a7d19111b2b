"""The client of a merchant with its own payment page: a signed link for the buyer, signed questions and orders.

What counts as the fact depends on what the merchant offers (docs/custom-payments.md). With a status address: its
signed answer to our own question. Without: its signed callbacks, which are then the strongest word there is. Without an
action address nothing can be captured or returned from here: a person's task, said as `by_hand`. Logs nothing.
"""

import secrets
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qs

from cloud.orders.tasks import BY_HAND
from cloud.payments.admission import Gate
from cloud.payments.budget import ShopBudget
from cloud.payments.custom import calls
from cloud.payments.custom.ledger_view import Addresses, Booked, LedgerView
from cloud.payments.custom.objects import (
    Told,
    as_a_whole,
    our_payment,
    pay_until,
    payment_facts,
    refund_facts,
    told_of,
)
from cloud.payments.custom.signature import Purpose, signed_query
from cloud.payments.custom.wire import Line
from cloud.payments.facts import (
    CURRENCY,
    Cancellation,
    Page,
    PaymentFacts,
    ProviderStatus,
    RefundFacts,
    ShopFacts,
)
from cloud.payments.outcomes import NotOurs, Ok, Outcome, Rejected, Unknown
from cloud.payments.provider import FiscalReceipt, NewPayment, Operation, PreparedCall, Shop
from cloud.payments.rate import CircuitBreaker, TokenBucket

CONNECT_S, ACT_S, ASK_S = 5.0, 30.0, 10.0
PAYABLE_FOR = timedelta(hours=1)
"""How long the merchant's page may take money: as long as YooKassa's, so that all payments are final by then."""
CLOCKS_APART = timedelta(minutes=3)
"""The merchant's clock may be so late, and its page have taken money until then."""
LAST_CALLBACK = timedelta(hours=24)
"""Callbacks are repeated for a day; a payment of which nothing final was said by then is over."""
NO_ACTIONS = Rejected(BY_HAND, None, "the merchant offers no action_url: a person does it there, and it is called back")
OVER = Cancellation("us", "expired_on_confirmation")
NO_LIST = Rejected("no_list", None, "the merchant's own page lists no payments: ask about each")


class CustomClient:
    """One merchant's own payment page; a `provider.Provider`. Any thread may call it."""

    def __init__(
        self, shop: Shop, addresses: Addresses, ledger: LedgerView, *, user_agent: str, callback_url: str,
        act_timeout_s: float = ACT_S, ask_timeout_s: float = ASK_S,
        bucket: TokenBucket | None = None, breaker: CircuitBreaker | None = None,
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:  # fmt: skip
        self._shop = shop
        self._addresses = addresses
        self._ledger = ledger
        self._callback_url = callback_url
        self._now = now
        gate = self._gate = Gate(ShopBudget(bucket, breaker), clock)

        def line(url: str, read_timeout_s: float) -> Line | None:
            if not url:
                return None
            return Line(
                shop, url, user_agent=user_agent, connect_timeout_s=CONNECT_S, read_timeout_s=read_timeout_s,
                gate=gate, public_only=addresses.public_only,
            )  # fmt: skip

        self._status = line(addresses.status_url, ask_timeout_s)
        self._action = line(addresses.action_url, act_timeout_s)

    def __repr__(self) -> str:
        return f"CustomClient({self._shop.account_id!r}, {self._addresses.page_url!r})"

    @property
    def shop(self) -> Shop:
        """The account this client speaks for, and no other."""
        return self._shop

    @property
    def gate(self) -> Gate:
        """By which its calls are let through."""
        return self._gate

    def prepare_create(self, payment: NewPayment, key: str) -> PreparedCall:
        """See `calls.prepare_create`."""
        until = int((self._now() + PAYABLE_FOR).timestamp())
        return calls.prepare_create(self._shop, payment, key, until, self._callback_url)

    def prepare_capture(self, provider_payment_id: str, key: str) -> PreparedCall:
        """See `calls.prepare_capture`."""
        return calls.prepare_capture(self._shop, provider_payment_id, key)

    def prepare_cancel(self, provider_payment_id: str, key: str) -> PreparedCall:
        """See `calls.prepare_cancel`."""
        return calls.prepare_cancel(self._shop, provider_payment_id, key)

    def prepare_refund(
        self, provider_payment_id: str, amount: int, key: str, description: str | None = None,
        receipt: FiscalReceipt | None = None,
    ) -> PreparedCall:  # fmt: skip
        """See `calls.prepare_refund`; receipts are the merchant's own."""
        return calls.prepare_refund(self._shop, provider_payment_id, amount, key, description)

    def send(self, call: PreparedCall) -> Outcome[PaymentFacts] | Outcome[RefundFacts]:
        """Send a stored call by what it says it is."""
        match call.operation:
            case Operation.CREATE:
                return self._create(call)
            case Operation.REFUND:
                return self._refund(call)
            case Operation.CAPTURE | Operation.CANCEL:
                return self._change(call)

    def _create(self, call: PreparedCall) -> Outcome[PaymentFacts]:
        """Make the buyer's link. Nothing is opened before the buyer comes to the page, so nothing can fail."""
        query = call.body.decode("ascii")
        asked = {name: values[0] for name, values in parse_qs(query, keep_blank_values=True).items()}
        page, _, own_query = self._addresses.page_url.partition("?")
        whole = f"{own_query}&{query}" if own_query else query
        link = f"{page}?{signed_query(self._shop.secret_key, Purpose.PAGE, whole)}"
        told = Told(
            account=self._shop.account_id, payment=asked["payment"], order=asked["order"], status="pending",
            amount=int(asked["amount"]), currency=asked["currency"],
        )  # fmt: skip
        return Ok(replace(payment_facts(told), confirmation_url=link))

    def _refund(self, call: PreparedCall) -> Outcome[RefundFacts]:
        """Give money back. The merchant names the return by our key, so that it can be asked about."""
        if self._action is None:
            return NO_ACTIONS
        told = self._action.act(call.body, told_of)
        return _refund_in(told.value, call.key) if isinstance(told, Ok) else told

    def fetch(self, provider_payment_id: str) -> Outcome[PaymentFacts]:
        """The payment now: the merchant's signed answer, or all it has called back."""
        told = self._now_told(provider_payment_id)
        if not isinstance(told, Told):
            return told
        facts = payment_facts(told)
        if facts.status is ProviderStatus.PENDING and self._is_past(provider_payment_id, LAST_CALLBACK):
            return Ok(replace(facts, status=ProviderStatus.CANCELED, cancellation=OVER))
        return Ok(facts)

    def fetch_refund(self, refund_id: str) -> Outcome[RefundFacts]:
        """The return now, out of its payment."""
        provider_payment_id = self._ledger.payment_of_refund(refund_id)
        if provider_payment_id is None:
            return NotOurs("no return of ours")
        told = self._now_told(provider_payment_id)
        if isinstance(told, Told):
            return _refund_in(told, refund_id)
        return told if not isinstance(told, Ok) else Unknown("the merchant does not know the payment any more")

    def list_payments(
        self, created_gte: datetime, created_lt: datetime, cursor: str | None = None, payment: str | None = None
    ) -> Outcome[Page[PaymentFacts]]:
        """Rejected: there is no list. Reconciliation asks about each payment of ours instead."""
        return NO_LIST

    def list_refunds(
        self, provider_payment_id: str | None = None, created_gte: datetime | None = None,
        created_lt: datetime | None = None, cursor: str | None = None,
    ) -> Outcome[Page[RefundFacts]]:  # fmt: skip
        """The returns of one payment, those made by people there too. Without a payment: Rejected, there is no list."""
        if provider_payment_id is None:
            return NO_LIST
        told = self._now_told(provider_payment_id)
        if isinstance(told, Told):
            return Ok(Page(tuple(refund_facts(told, refund) for refund in told.refunds), None))
        return told if not isinstance(told, Ok) else Ok(Page((), None))

    def me(self) -> Outcome[ShopFacts]:
        """Does the merchant's server accept our signature, and we its? Without a status address nobody can be asked."""
        facts = ShopFacts(self._shop.account_id, enabled=True, test=None, fiscalization=None)
        if self._status is None:
            return Ok(facts)
        return self._status.ask("", int(self._now().timestamp()), _new_nonce(), lambda _payload: facts)

    def close(self) -> None:
        """Close the connections of all threads. Call it when nobody uses the client any more."""
        for line in (self._status, self._action):
            if line is not None:
                line.close()

    def _change(self, call: PreparedCall) -> Outcome[PaymentFacts]:
        if self._action is None:
            return NO_ACTIONS
        told = self._action.act(call.body, told_of)
        return Ok(payment_facts(told.value)) if isinstance(told, Ok) else told

    def _now_told(self, provider_payment_id: str) -> Told | Outcome[PaymentFacts]:
        """What the merchant says of a payment, or why it said nothing; Ok is our own conclusion from its silence."""
        booked = self._ledger.payment(provider_payment_id) if calls.is_payment_name(provider_payment_id) else None
        if booked is None:
            return NotOurs("not an id of this account")
        if self._status is None:
            return as_a_whole(booked.heard) or self._silent(booked)
        told = self._status.ask(provider_payment_id, int(self._now().timestamp()), _new_nonce(), told_of)
        if isinstance(told, NotOurs):
            return Ok(self._untold(booked, CLOCKS_APART))
        if not isinstance(told, Ok):
            return told
        return told.value if told.value.payment == provider_payment_id else Unknown("about another payment")

    def _silent(self, booked: Booked) -> Outcome[PaymentFacts]:
        """No callback is left to go by."""
        if booked.is_erased:  # by a program that kept nothing of them
            return Unknown("what was called back is erased")
        return Ok(self._untold(booked, LAST_CALLBACK))

    def _untold(self, booked: Booked, patience: timedelta) -> PaymentFacts:
        """The buyer never came to the page (yet). Nothing is paid; when nothing can be any more, it is over."""
        is_over = self._is_past(booked.name, patience)
        return PaymentFacts(
            provider_payment_id=booked.name,
            status=ProviderStatus.CANCELED if is_over else ProviderStatus.PENDING,
            amount=booked.amount,
            currency=CURRENCY,
            account_id=self._shop.account_id,
            metadata={"order_id": booked.order_id, "payment": our_payment(booked.name)},
            cancellation=OVER if is_over else None,
        )

    def _is_past(self, name: str, patience: timedelta) -> bool:
        return self._now() > datetime.fromtimestamp(pay_until(name) or 0, UTC) + patience


def _refund_in(told: Told, key: str) -> Outcome[RefundFacts]:
    """The return of this key among those of a payment; one that is not there is not known, never refused."""
    found = next((refund for refund in told.refunds if refund.id == key), None)
    return Ok(refund_facts(told, found)) if found is not None else Unknown("the answer does not name the return")


def _new_nonce() -> str:
    return secrets.token_hex(16)
