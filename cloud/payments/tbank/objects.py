"""T-Bank's answers read into our facts, leniently; what it does not say comes from our ledger (`ledger_view`). Pure.

Amounts are kopecks on both sides. T-Bank's `Amount` is what the operation stands at now: less, once part went back.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from cloud.payments.bounded_text import TEXT_LIMIT, URL_LIMIT, bounded_text, evidence
from cloud.payments.facts import CURRENCY, Cancellation, PaymentFacts, ProviderStatus, RefundFacts, RefundStatus
from cloud.payments.tbank.ledger_view import Booked

MAX_AMOUNT = 10**12
"""Kopecks; more than any terminal takes, and it fits every column."""

OPEN = frozenset({"NEW", "FORM_SHOWED"})
PAYING = frozenset({"PREAUTHORIZING", "AUTHORIZING", "3DS_CHECKING", "3DS_CHECKED", "PAY_CHECKING"})
HELD = frozenset({"AUTHORIZED", "PARTIAL_REVERSED"})
CONFIRMING = frozenset({"CONFIRMING", "CONFIRM_CHECKING"})
REVERSING = frozenset({"REVERSING"})
REFUNDING = frozenset({"REFUNDING", "ASYNC_REFUNDING"})
TAKEN = frozenset({"CONFIRMED", "PARTIAL_REFUNDED", "REFUNDED"})
GONE = frozenset({"REVERSED", "CANCELED", "DEADLINE_EXPIRED", "ATTEMPTS_EXPIRED", "AUTH_FAIL", "REJECTED"})

_STATUSES = {
    ProviderStatus.PENDING: OPEN | PAYING,
    ProviderStatus.HELD: HELD | CONFIRMING | REVERSING,
    ProviderStatus.SUCCEEDED: TAKEN | REFUNDING,
    ProviderStatus.CANCELED: GONE,
}
_STATUS_OF = {word: status for status, words in _STATUSES.items() for word in words}
_STANDS_WHOLE = OPEN | PAYING | {"AUTHORIZED", "CONFIRMED"} | CONFIRMING
"""Here `Amount` is the payment's own, to be compared with our order's."""

CARD = "bank_card"
_METHODS = {
    "cards": CARD,
    "sbp": "sbp",
    "sberpay": "sberbank",
    "tpay": "tinkoff_bank",
    "tinkoffpay": "tinkoff_bank",
}
_CARD_AND_BUYER = frozenset({"Token", "Pan", "CardId", "ExpDate", "RebillId", "SbpCustomerId", "Phone", "Email"})


class Unreadable(ValueError):
    """The answer lacks what identifies the payment or its money. The text names the field, never its value."""


@dataclass(frozen=True)
class State:
    """A payment as T-Bank sees it now, in its own words."""

    provider_payment_id: str
    order_id: str
    status: str
    amount: int
    terminal: str | None = None
    error: str | None = None
    method: str | None = None
    url: str | None = None
    raw: str = field(default="", repr=False)


@dataclass(frozen=True)
class Changed:
    """The answer of `Confirm` and `Cancel`; the sums are told by `Cancel` alone."""

    provider_payment_id: str
    status: str
    new_amount: int | None


def state_of(told: object) -> State:
    """The answer of `Init` or `GetState`; raises Unreadable."""
    whole = _object(told)
    amount = _amount(whole.get("Amount"))
    if amount is None:
        raise Unreadable("no readable Amount")
    return State(
        provider_payment_id=_required(whole, "PaymentId"),
        order_id=_required(whole, "OrderId"),
        status=_required(whole, "Status"),
        amount=amount,
        terminal=bounded_text(whole.get("TerminalKey")),
        error=_error(whole),
        method=_method(whole.get("Params")),
        url=bounded_text(whole.get("PaymentURL"), URL_LIMIT),
        raw=_evidence(whole),
    )


def states_of_order(told: object) -> tuple[State, ...]:
    """The answer of `CheckOrder`: every payment under one OrderId; raises Unreadable."""
    whole = _object(told)
    payments = whole.get("Payments")
    if not isinstance(payments, list):
        raise Unreadable("no Payments")
    shared = {"OrderId": whole.get("OrderId"), "TerminalKey": whole.get("TerminalKey")}
    return tuple(state_of(_object(payment) | shared) for payment in payments)


def changed_by(told: object) -> Changed:
    """The answer of `Confirm` or `Cancel`; raises Unreadable."""
    whole = _object(told)
    return Changed(_required(whole, "PaymentId"), _required(whole, "Status"), _amount(whole.get("NewAmount")))


def payment_facts(state: State, booked: Booked | None) -> PaymentFacts:
    """What the payment is in our words. Its mark is the OrderId, our own payment id; the rest is our ledger's word."""
    status = _STATUS_OF.get(state.status, ProviderStatus.UNKNOWN_STATUS)
    amount = whole_amount(state, booked)
    gone = status is ProviderStatus.CANCELED
    return PaymentFacts(
        provider_payment_id=state.provider_payment_id,
        status=status,
        amount=amount,
        currency=CURRENCY,
        captured=amount if status is ProviderStatus.SUCCEEDED else 0,
        refunded=refunded(state, booked),
        method=state.method,
        test=True if (state.terminal or "").endswith("DEMO") else None,
        account_id=state.terminal,
        metadata=_marks(state, booked),
        confirmation_url=state.url,
        cancellation=Cancellation("bank", f"{state.status}:{state.error}" if state.error else state.status)
        if gone
        else None,
        raw=state.raw,
    )


def _marks(state: State, booked: Booked | None) -> dict[str, str]:
    if booked is None:
        return {"payment": state.order_id}
    return {"payment": booked.second or state.order_id, "order_id": booked.order_id}


def whole_amount(state: State, booked: Booked | None) -> int:
    """What the payment was before anything of it went back."""
    if state.status in _STANDS_WHOLE or booked is None:
        return state.amount
    return booked.amount


def tells_what_went_back(state: State, booked: Booked | None) -> bool:
    """Whether `Amount` says how much of the payment has gone back. A bank may tell the first sum for ever."""
    return state.status != "PARTIAL_REFUNDED" or 0 < state.amount < whole_amount(state, booked)


def refunded(state: State, booked: Booked | None) -> int:
    """Kopecks gone back for certain. When T-Bank does not tell how much, no more than our ledger knows already."""
    known = booked.refunded if booked else 0
    whole = whole_amount(state, booked)
    if state.status == "REFUNDED":
        return whole
    if state.status == "PARTIAL_REFUNDED":
        return whole - state.amount if tells_what_went_back(state, booked) else known
    return min(known, whole) if state.status in REFUNDING else 0


def refund_facts(state: State, booked: Booked | None, total: int, status: RefundStatus) -> RefundFacts:
    """The refund that brought, or brings, the sum returned to `total`. T-Bank has no ids of refunds.

    So `total` is its name: sums only grow, and every reader of the same refund names it the same. Its amount is
    the one in our ledger, or what it lacks.
    """
    name = f"{state.provider_payment_id}-{total}"
    known = booked.returns if booked else {}
    return RefundFacts(
        provider_refund_id=name,
        provider_payment_id=state.provider_payment_id,
        status=status,
        amount=known.get(name, max(0, total - sum(known.values()))),
        currency=CURRENCY,
        cancellation=Cancellation("bank", state.status) if status is RefundStatus.CANCELED else None,
        raw=state.raw,
    )


def checked(
    read: Callable[[object], State], *, provider_payment_id: str = "", order_id: str = ""
) -> Callable[[object], State]:
    """`read`, but an answer about another payment or order is Unreadable."""

    def read_checked(told: object) -> State:
        state = read(told)
        is_another = provider_payment_id and state.provider_payment_id != provider_payment_id
        if is_another or (order_id and state.order_id != order_id):
            raise Unreadable("about another payment")
        return state

    return read_checked


def _object(told: object) -> dict[str, object]:
    if not isinstance(told, dict):
        raise Unreadable("not an object")
    return told


def _required(whole: dict[str, object], name: str) -> str:
    text = text_or_number(whole.get(name))
    if not text:
        raise Unreadable(f"no {name}")
    return text[:64]


def _amount(value: object) -> int | None:
    """Whole kopecks, also as text or as a number with a zero fraction."""
    if isinstance(value, str) and value.isascii() and value.isdigit():
        value = int(value[:20])
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= MAX_AMOUNT:
        return None
    return value


def _error(whole: dict[str, object]) -> str | None:
    text = text_or_number(whole.get("ErrorCode"))
    return None if text in {None, "", "0"} else text


def _method(params: object) -> str | None:
    """How it was paid, out of `Params`: a list of `Key` and `Value`."""
    named = dict(_pairs(params))
    source = named.get("Source") or named.get("Route")
    return _METHODS.get(source.lower(), source[:32]) if source else None


def _pairs(params: object) -> Iterator[tuple[str, str]]:
    for param in params if isinstance(params, list) else ():
        told = param if isinstance(param, dict) else {}
        name, value = bounded_text(told.get("Key")), bounded_text(told.get("Value"))
        if name and value:
            yield name, value


def text_or_number(value: object, limit: int = TEXT_LIMIT) -> str | None:
    """Ids and codes come in both forms."""
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else bounded_text(value, limit)


def _evidence(whole: dict[str, object]) -> str:
    """The answer's JSON for the ledger, without card and payer details."""
    return evidence({name: value for name, value in whole.items() if name not in _CARD_AND_BUYER})
