"""The T-Bank client of one merchant's terminal: prepared calls out, typed outcomes back.

T-Bank has no idempotence key, so `send` keeps the promise a key would: it asks before it moves money (`rules`)
and finds an Init whose answer was lost by its OrderId. Repeats nothing by itself. Logs nothing.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from cloud.orders.tasks import BY_HAND
from cloud.payments.admission import Gate
from cloud.payments.budget import ShopBudget
from cloud.payments.facts import Page, PaymentFacts, ProviderStatus, RefundFacts, RefundStatus, ShopFacts
from cloud.payments.outcomes import LEASE_OVER, AuthError, NotOurs, NotSent, Ok, Outcome, RateLimited, Rejected, Unknown
from cloud.payments.provider import FiscalReceipt, NewPayment, Operation, PreparedCall, Shop
from cloud.payments.rate import CircuitBreaker, TokenBucket
from cloud.payments.tbank import calls
from cloud.payments.tbank.answers import WRONG_STATUS
from cloud.payments.tbank.ledger_view import Booked, LedgerView
from cloud.payments.tbank.objects import (
    REFUNDING,
    Changed,
    State,
    changed_by,
    payment_facts,
    refund_facts,
    refunded,
    whole_amount,
)
from cloud.payments.tbank.rules import (
    Step,
    cancel_step,
    capture_step,
    foremost,
    has_page,
    refund_as_it_stands,
    refund_step,
    refunds_until_now,
    weight,
)
from cloud.payments.tbank.wire import Wire
from cloud.payments.transport import Transport
from protocol import json_text

CONNECT_S, ACT_S, ASK_S = 5.0, 20.0, 10.0
LINK_LIFE = timedelta(hours=1)
"""How long a payment page can be paid: as long as YooKassa's, so that every payment is final by the same time."""
SELF_CHECK_ORDER = "coffee-relay-self-check"
NO_LIST = Rejected("no_list", None, "T-Bank lists no payments: ask about each")
ONLY_BY_HAND = Rejected(BY_HAND, None, "a part went back, and T-Bank does not tell how much: look in its cabinet")


class TBankClient:
    """One merchant's terminal at T-Bank; a `provider.Provider`. Any thread may call it; each has its own session.

    `ledger` knows our payments; `notification_url` is where notifications go. The longest chain of calls (an Init, the
    search for it, its cancellation) stays within the 60 s that a claimed call is leased for.
    """

    def __init__(
        self,
        shop: Shop,
        base_url: str,
        *,
        user_agent: str,
        ledger: LedgerView,
        notification_url: str,
        authorities: str = "",
        act_timeout_s: float = ACT_S,
        ask_timeout_s: float = ASK_S,
        bucket: TokenBucket | None = None,
        breaker: CircuitBreaker | None = None,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._shop = shop
        self._ledger = ledger
        self._notification_url = notification_url
        self._now = now
        self._act_takes = timedelta(seconds=CONNECT_S + act_timeout_s)
        transport = Transport(
            base_url,
            user_agent=user_agent,
            basic_auth=None,
            connect_timeout_s=CONNECT_S,
            authorities=authorities,
        )
        self._gate = Gate(ShopBudget(bucket, breaker))
        self._wire = Wire(shop, transport, self._gate, act_timeout_s=act_timeout_s, ask_timeout_s=ask_timeout_s)

    def __repr__(self) -> str:
        return f"TBankClient({self._shop.account_id!r}, {self._wire.base_url!r})"

    @property
    def shop(self) -> Shop:
        """The terminal this client speaks for, and no other."""
        return self._shop

    @property
    def gate(self) -> Gate:
        """By which its calls are let through."""
        return self._gate

    def prepare_create(self, payment: NewPayment, key: str) -> PreparedCall:
        """See `calls.prepare_create`."""
        return calls.prepare_create(self._shop, payment, key, self._now() + LINK_LIFE, self._notification_url)

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
        """See `calls.prepare_refund`; T-Bank has no place for a description."""
        return calls.prepare_refund(provider_payment_id, amount, key, receipt)

    def send(self, call: PreparedCall) -> Outcome[PaymentFacts] | Outcome[RefundFacts]:
        """Send a stored call by what it says it is."""
        match call.operation:
            case Operation.CREATE:
                return self._create(call)
            case Operation.CAPTURE:
                return self._capture(call)
            case Operation.CANCEL:
                return self._cancel(call)
            case Operation.REFUND:
                return self._refund(call)

    def _create(self, call: PreparedCall) -> Outcome[PaymentFacts]:
        """Open a payment; one that an earlier, unanswered sending opened is found instead."""
        asked = _message(call)
        order_id = str(asked.get("OrderId"))
        opened = self._wire.init(asked, order_id)
        if isinstance(opened, Rejected):
            return self._opened_earlier(order_id, opened)
        return self._told(opened)

    def _capture(self, call: PreparedCall) -> Outcome[PaymentFacts]:
        """Take a held payment, unless it is taken already."""
        asked = _message(call)
        told = self._wire.state(str(asked.get("PaymentId")))
        if not isinstance(told, Ok):
            return _not_sent(told)
        state, step = told.value, capture_step(told.value)
        if state.status == "PARTIAL_REVERSED":  # without a sum, Confirm would mean the one of Init
            asked["Amount"] = state.amount
        changed = self._change(call, asked, state, step)
        if not isinstance(changed, Ok):
            return changed
        return self._told(Ok(replace(state, status=changed.value.status)))

    def _cancel(self, call: PreparedCall) -> Outcome[PaymentFacts]:
        """Let a payment go that is not taken; a taken one is Rejected."""
        asked = _message(call)
        told = self._wire.state(str(asked.get("PaymentId")))
        if not isinstance(told, Ok):
            return _not_sent(told)
        changed = self._change(call, asked, told.value, cancel_step(told.value))
        if not isinstance(changed, Ok):
            return changed
        return self._told(Ok(replace(told.value, status=changed.value.status)))

    def _refund(self, call: PreparedCall) -> Outcome[RefundFacts]:
        """Give money of a taken payment back, unless the bank knows of a refund that our ledger does not."""
        asked = _message(call)
        told = self._wire.state(str(asked.get("PaymentId")))
        if not isinstance(told, Ok):
            return _not_sent(told)
        state, booked = told.value, self._booked(told.value)
        if payment_facts(state, booked).status is ProviderStatus.UNKNOWN_STATUS:
            return NotSent("a status we do not know")
        step = refund_step(state, booked)
        changed = self._change(call, asked, state, step)
        if not isinstance(changed, Ok):
            return changed
        total = (booked.refunded if booked else 0) + _kopecks(asked)
        if step is Step.TELL:
            under_way = state.status in REFUNDING
            return _as_it_stands(state, booked, total if under_way else refunded(state, booked))
        if changed.value.new_amount is not None:
            total = whole_amount(state, booked) - changed.value.new_amount
        back = changed.value.status in {"REFUNDED", "PARTIAL_REFUNDED"}
        return Ok(refund_facts(state, booked, total, RefundStatus.SUCCEEDED if back else RefundStatus.PENDING))

    def fetch(self, provider_payment_id: str) -> Outcome[PaymentFacts]:
        """The payment now. An id that cannot be T-Bank's is NotOurs without asking."""
        return self._told(self._wire.state(provider_payment_id))

    def fetch_refund(self, refund_id: str) -> Outcome[RefundFacts]:
        """The refund now, out of the payment's state: see `objects.refund_facts` for what its id is."""
        provider_payment_id, _, total = refund_id.rpartition("-")
        if not total.isascii() or not total.isdigit() or len(total) > 12:
            return NotOurs("not an id of this provider")
        told = self._wire.state(provider_payment_id)
        if not isinstance(told, Ok):
            return told
        return _as_it_stands(told.value, self._booked(told.value), int(total))

    def list_payments(
        self, created_gte: datetime, created_lt: datetime, cursor: str | None = None, payment: str | None = None
    ) -> Outcome[Page[PaymentFacts]]:
        """All under the OrderId `payment`, the one to go by first. Without it: Rejected, T-Bank offers no list."""
        if payment is None:
            return NO_LIST
        found = self._wire.payments_of(payment)
        if isinstance(found, Rejected):  # it knows no such OrderId
            return Ok(Page((), None))
        if not isinstance(found, Ok):
            return found
        told = sorted(found.value, key=weight)
        return Ok(Page(tuple(payment_facts(state, self._booked(state)) for state in told), None))

    def list_refunds(
        self,
        provider_payment_id: str | None = None,
        created_gte: datetime | None = None,
        created_lt: datetime | None = None,
        cursor: str | None = None,
    ) -> Outcome[Page[RefundFacts]]:
        """One payment's refunds: ours, and what our ledger lacks as one more. Without a payment: Rejected, no list."""
        if provider_payment_id is None:
            return NO_LIST
        told = self._wire.state(provider_payment_id)
        if not isinstance(told, Ok):
            return told
        return Ok(Page(refunds_until_now(told.value, self._booked(told.value)), None))

    def me(self) -> Outcome[ShopFacts]:
        """Is the terminal accepted with this password? T-Bank has no call for that: an unknown order is asked for."""
        asked = self._wire.payments_of(SELF_CHECK_ORDER)
        if isinstance(asked, Ok | Rejected):
            terminal = self._shop.account_id
            return Ok(ShopFacts(terminal, enabled=True, test=terminal.endswith("DEMO"), fiscalization=None))
        return asked

    def close(self) -> None:
        """Close the connections of all threads. Call it when nobody uses the client any more."""
        self._wire.close()

    def _opened_earlier(self, order_id: str, refusal: Rejected) -> Outcome[PaymentFacts]:
        """After a refused Init: the payment that is under its OrderId already, if there is one.

        Nobody was ever shown its page, and T-Bank does not tell the address again: still unpaid, it is cancelled.
        """
        found = self._wire.payments_of(order_id)
        if isinstance(found, Rejected) or (isinstance(found, Ok) and not found.value):
            return refusal
        if not isinstance(found, Ok):
            return Unknown("refused, and whether it was opened before is not known")
        state = foremost(found.value)
        if not has_page(state):
            return self._told(Ok(state))
        gone = self._wire.act("/Cancel", {"PaymentId": state.provider_payment_id}, changed_by, briefly=True)
        if not isinstance(gone, Ok):
            return Unknown("opened before; its page is lost, and it is not cancelled yet")
        return self._told(Ok(replace(state, status=gone.value.status)))

    def _change(self, call: PreparedCall, asked: Mapping[str, object], state: State, step: Step) -> Outcome[Changed]:
        """Send what may be sent; else say what the state is already.

        Nothing is sent that could arrive when somebody else has asked for the state in our place.
        """
        if step is Step.REFUSE:
            return Rejected(WRONG_STATUS, None, f"not sent: the payment is {state.status}")
        if step is Step.BY_HAND:
            return ONLY_BY_HAND
        if step is Step.TELL:
            return Ok(Changed(state.provider_payment_id, state.status, None))
        if not call.is_ours_at(self._now() + self._act_takes):
            return LEASE_OVER
        changed = self._wire.act(call.path, asked, changed_by)
        if isinstance(changed, Ok) and changed.value.provider_payment_id != state.provider_payment_id:
            return Unknown("about another payment")
        return changed

    def _told(self, told: Outcome[State]) -> Outcome[PaymentFacts]:
        return Ok(payment_facts(told.value, self._booked(told.value))) if isinstance(told, Ok) else told

    def _booked(self, state: State) -> Booked | None:
        return self._ledger(state.order_id, state.provider_payment_id)


def _as_it_stands(state: State, booked: Booked | None, expected: int) -> Outcome[RefundFacts]:
    facts = refund_as_it_stands(state, booked, expected)
    return Ok(facts) if facts is not None else ONLY_BY_HAND


def _message(call: PreparedCall) -> dict[str, object]:
    """What a stored call says, to be signed anew."""
    message = json_text.loads(call.body)
    if not isinstance(message, dict):
        raise ValueError("a stored call of T-Bank's is an object")
    return message


def _kopecks(message: Mapping[str, object]) -> int:
    amount = message.get("Amount")
    return amount if isinstance(amount, int) else 0


def _not_sent(unasked: Outcome[State]) -> AuthError | NotOurs | NotSent | RateLimited:
    """The state could not be learnt, so nothing was sent."""
    if isinstance(unasked, AuthError | NotOurs | RateLimited | NotSent):
        return unasked
    why = unasked.why if isinstance(unasked, Unknown) else "refused to say"
    return NotSent(f"state not known: {why}", getattr(unasked, "retry_after_s", None))
