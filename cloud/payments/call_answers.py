"""How each question to a provider ended, in the words of the table of `call_decision`. Pure."""

from dataclasses import dataclass
from enum import StrEnum

from cloud.orders.tasks import BY_HAND, KEY_REFUSED, Task
from cloud.payments.facts import PaymentFacts, ProviderStatus, RefundFacts, RefundStatus
from cloud.payments.outcomes import AuthError, NotOurs, NotSent, Ok, Outcome, RateLimited, Rejected, Unknown


@dataclass(frozen=True)
class NothingDone:
    """The provider's list holds no trace of the call."""


@dataclass(frozen=True)
class NotCounted:
    """Returns of this payment that our ledger lacks, none of them certainly ours: counted first, then asked again."""


Answer = Outcome[PaymentFacts] | Outcome[RefundFacts] | NothingDone | NotCounted


class Question(StrEnum):
    """What the provider was asked."""

    SEND = "the call"
    LOOKUP = "what became of it"
    COUNT = "which returns we lack"


class End(StrEnum):
    """How the question ended."""

    DONE = "done"
    UNDER_WAY = "under way"
    CANCELED = "return canceled"
    KEY_CONFLICT = "another call under its key"
    BY_HAND = "only by hand"
    REFUSED = "refused"
    NOT_OURS = "not known there"
    NOTHING = "nothing"
    NOT_COUNTED = "returns we lack"
    KEY_REFUSED = "our credential refused"
    RATE_LIMITED = "too many requests"
    NOT_SENT = "not sent"
    HELD_BACK = "held back by us"
    UNKNOWN = "nobody knows"


def end_of(task: Task, answer: Answer) -> End:
    """The answer in the table's words."""
    match answer:
        case Ok(PaymentFacts(status=status)):
            return End.DONE if status in (_OPENED if task is Task.CREATE else _ENDED) else End.UNDER_WAY
        case Ok(RefundFacts(status=refunded)):
            return _OF_REFUND.get(refunded, End.UNDER_WAY)
        case Rejected(key_conflict=True):
            return End.KEY_CONFLICT
        case Rejected(code=code):
            return End.BY_HAND if code == BY_HAND else End.REFUSED
        case NotSent(held_back=True):
            return End.HELD_BACK
    return _BY_KIND[type(answer)]


_OPENED = frozenset(ProviderStatus) - {ProviderStatus.UNKNOWN_STATUS}
_ENDED = frozenset({ProviderStatus.SUCCEEDED, ProviderStatus.CANCELED})
_OF_REFUND = {RefundStatus.SUCCEEDED: End.DONE, RefundStatus.CANCELED: End.CANCELED}
_BY_KIND: dict[type, End] = {
    NotOurs: End.NOT_OURS, AuthError: End.KEY_REFUSED, RateLimited: End.RATE_LIMITED, NotSent: End.NOT_SENT,
    Unknown: End.UNKNOWN, NothingDone: End.NOTHING, NotCounted: End.NOT_COUNTED,
}  # fmt: skip


def why_of(answer: Answer) -> str:
    """What stood in the way, for `last_error`."""
    kind = KEY_REFUSED if isinstance(answer, AuthError) else type(answer).__name__
    return f"{kind}: {getattr(answer, 'why', '') or getattr(answer, 'code', '')}"


def code_of(answer: Answer) -> str:
    """Why the provider would not, in its own words."""
    if isinstance(answer, Ok) and isinstance(answer.value, RefundFacts):
        cancellation = answer.value.cancellation
        return (cancellation.reason if cancellation else None) or "canceled"
    return answer.code if isinstance(answer, Rejected) else ""
