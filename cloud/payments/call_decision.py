"""What follows from each answer of a provider, as one table: the first row that fits decides. Pure.

Nothing is sent under another key, and nothing given up, while an earlier sending may still have moved the money.
"""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import Enum, StrEnum
from operator import attrgetter
from typing import Protocol

from cloud.orders.states import EXPIRED
from cloud.orders.tasks import BY_HAND, DONE, LOST, REFUSED, Task, Tried, may_be_done, may_be_done_before
from cloud.payments.call_answers import Answer, End, Question, code_of, end_of, why_of
from cloud.payments.outcomes import may_replay

ASK_AGAIN_S = 300.0
LISTED_AFTER = timedelta(minutes=5)
"""So long after its order's end an opening whose answer was lost is looked for in the provider's list."""
ASK_LIST_AGAIN_S = 60.0
GIVE_UP_OPENING = timedelta(days=3)
"""Nobody was ever shown where to pay it: an order does not wait longer for a provider that cannot be asked."""


class Attempt(StrEnum):
    """What an attempt that settled nothing counts as."""

    MAY_HAVE_ACTED = "it may have been done"
    DID_NOTHING = "nothing was done"
    NONE = "no attempt"


class Went(Enum):
    """What of a payment has gone back since a return of it was first tried, whoever returned it."""

    NOTHING = "nothing"
    THIS_SUM = "this sum"
    """As good as ours: a refund carries no mark of the person who asked for it."""
    ANOTHER_SUM = "another sum"


class Where(Enum):
    """What else must hold: a member of `Call`, and how the table says it."""

    BY_REFERENCE = "has_reference", "asked by the return's own id"
    BEGUN = "was_begun", "an earlier attempt may have done it"
    KEY_FORGOTTEN = "key_is_forgotten", "its key is forgotten there"
    NOT_LISTED_YET = "is_not_listed_yet", "too early to be listed"


@dataclass(frozen=True)
class Settled:
    """Known for certain. `code` says why it was refused; where the table names none, the provider does."""

    verdict: str
    code: str = ""


@dataclass(frozen=True)
class Retry:
    """Again later, with the same bytes and key. Without `wait_s` the wait grows with the attempts."""

    attempt: Attempt
    wait_s: float | None = None
    why: str = ""
    at_least_s: float | None = None
    """What the provider asks for."""
    is_seen: bool = False
    """The provider shows the act itself, not yet at its end."""
    ask_payment: bool = False
    """Have the payment asked about meanwhile."""


@dataclass(frozen=True)
class Investigate:
    """Ask the provider's own list before anything is sent (again)."""

    question: Question


@dataclass(frozen=True)
class NeedsPerson:
    """We can do no more: nothing is asked anew."""

    verdict: str
    code: str = ""


@dataclass(frozen=True)
class Send:
    """Nothing stands in the way of the call."""


Final = Settled | Retry | NeedsPerson
Decision = Final | Investigate | Send


class Stored(Tried, Protocol):
    """A row of the outbox, as far as the table looks at it."""

    @property
    def task(self) -> str: ...

    @property
    def reference(self) -> str: ...

    @property
    def created_at(self) -> datetime: ...

    @property
    def first_tried_at(self) -> datetime | None: ...


@dataclass(frozen=True, kw_only=True)
class Call:
    """What is known of a call that somebody holds."""

    task: Task
    was_begun: bool = False
    """An attempt before the one under way may have done it."""
    was_never_sent: bool = False
    """Every attempt has certainly done nothing."""
    has_reference: bool = False
    key_is_forgotten: bool = False
    """It may have been done, and the same call would be a new act now. Asking by a return's own id is always well."""
    is_expired: bool = False
    """Its order is over before its payment was opened."""
    is_not_listed_yet: bool = False
    is_old: bool = False


def call_of(row: Stored, expires_at: datetime, now: datetime) -> Call:
    """The call of a row whose order may be paid until `expires_at`."""
    opens, begun = row.task == Task.CREATE, may_be_done_before(row)
    forgotten = row.first_tried_at is not None and not may_replay(row.first_tried_at, now)
    return Call(
        task=Task(row.task),
        was_begun=begun,
        was_never_sent=not may_be_done(row),
        has_reference=bool(row.reference),
        key_is_forgotten=begun and forgotten and not row.reference,
        is_expired=opens and now >= expires_at,
        is_not_listed_yet=opens and now < expires_at + LISTED_AFTER,
        is_old=opens and now - row.created_at >= GIVE_UP_OPENING,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One row: where an entry is empty, anything fits."""

    asked: Question | None = None
    ended: tuple[End, ...]
    of: tuple[Task, ...] = ()
    where: Where | None = None
    then: Decision

    def fits(self, call: Call, asked: Question, ended: End) -> bool:
        return (
            ended in self.ended
            and self.asked in {None, asked}
            and (not self.of or call.task in self.of)
            and (self.where is None or attrgetter(self.where.value[0])(call))
        )


def held_back(wait_s: float) -> Retry:
    """We may not call now, and nothing was tried."""
    return Retry(Attempt.NONE, why="held back", at_least_s=wait_s)


_NO_WORD_OF_IT = (End.REFUSED, End.NOT_OURS)
_NO = (End.BY_HAND, *_NO_WORD_OF_IT)
_ANY_NO = (End.KEY_CONFLICT, *_NO)
_NOT_DONE = (End.KEY_REFUSED, End.RATE_LIMITED, End.NOT_SENT)
_NO_WORD = (*_NOT_DONE, End.UNKNOWN)


def _sent(*ended: End, then: Decision, of: tuple[Task, ...] = (), where: Where | None = None) -> Row:
    return Row(asked=Question.SEND, ended=ended, of=of, where=where, then=then)


def _looked(*ended: End, then: Decision, of: tuple[Task, ...] = (), where: Where | None = None) -> Row:
    return Row(asked=Question.LOOKUP, ended=ended, of=of, where=where, then=then)


def _counted(*ended: End, then: Decision) -> Row:
    return Row(asked=Question.COUNT, ended=ended, then=then)


_ACTED, _IDLE = Attempt.MAY_HAVE_ACTED, Attempt.DID_NOTHING
_REFUND, _OPENING, _OTHERS = (Task.REFUND,), (Task.CREATE,), (Task.CAPTURE, Task.CANCEL, Task.REFUND)

TABLE: tuple[Row, ...] = (
    Row(ended=(End.DONE,), then=Settled(DONE)),
    Row(ended=(End.UNDER_WAY,), of=_REFUND, then=Retry(_ACTED, why="refund pending", is_seen=True)),
    Row(ended=(End.UNDER_WAY,), then=Retry(_ACTED, why="not done yet", is_seen=True)),
    Row(ended=(End.CANCELED,), then=Settled(REFUSED)),
    Row(ended=(End.HELD_BACK,), then=held_back(0.0)),
    _sent(End.KEY_CONFLICT, then=Retry(_ACTED, ASK_AGAIN_S, "key conflict")),
    # It is over, and nobody there tells us how it ended.
    _sent(End.BY_HAND, where=Where.BY_REFERENCE, then=NeedsPerson(BY_HAND)),
    # No word about the return itself: it may be under way.
    _sent(*_NO_WORD_OF_IT, where=Where.BY_REFERENCE, then=Retry(_ACTED, ASK_AGAIN_S, "refund not told of")),
    # An earlier sending whose answer was lost may have made it: in parts it fits twice.
    _sent(*_NO, of=_REFUND, where=Where.BEGUN, then=Investigate(Question.LOOKUP)),
    _sent(End.BY_HAND, then=NeedsPerson(BY_HAND)),
    _sent(End.REFUSED, then=Settled(REFUSED)),
    _sent(End.NOT_OURS, then=Settled(REFUSED, "not_ours")),
    _sent(*_NOT_DONE, then=Retry(_IDLE)),
    _sent(End.UNKNOWN, then=Retry(_ACTED)),
    _looked(End.NOTHING, of=_OTHERS, then=Settled(REFUSED, "not_found")),
    _looked(End.NOTHING, where=Where.KEY_FORGOTTEN, then=NeedsPerson(LOST, LOST)),
    _looked(End.NOTHING, where=Where.NOT_LISTED_YET, then=Retry(_ACTED, ASK_LIST_AGAIN_S, "nothing listed yet")),
    _looked(End.NOTHING, then=Settled(REFUSED, EXPIRED)),
    _looked(*_ANY_NO, then=NeedsPerson(LOST, LOST)),
    _looked(End.NOT_COUNTED, then=Retry(_ACTED, ASK_AGAIN_S, "returns not counted yet", ask_payment=True)),
    _looked(*_NO_WORD, then=Retry(_ACTED)),
    _counted(End.NOTHING, then=Send()),
    _counted(End.NOT_COUNTED, then=Retry(_IDLE, ASK_AGAIN_S, "returns not counted yet", ask_payment=True)),
    _counted(*_ANY_NO, then=Retry(_IDLE, ASK_AGAIN_S, "refunds not told of")),
    _counted(*_NO_WORD, then=Retry(_IDLE)),
)


def begin(call: Call, *, was_refused: bool, went_back: Went = Went.NOTHING) -> Settled | Investigate | Send:
    """What to do with a call just claimed, before anything is asked.

    `was_refused`: another call for the same return was, under another key. `went_back`: what our books say has gone
    back since it was first tried; in parts the same bytes would fit beside it.
    """
    if call.is_expired and not call.was_begun:
        return Settled(REFUSED, EXPIRED)
    if call.was_begun and not call.has_reference and went_back is not Went.NOTHING:
        return Settled(DONE) if went_back is Went.THIS_SUM else Investigate(Question.LOOKUP)
    if call.is_expired or call.key_is_forgotten:
        return Investigate(Question.LOOKUP)
    is_anew = was_refused and not (call.was_begun or call.has_reference)
    return Investigate(Question.COUNT) if is_anew else Send()


def decide(call: Call, asked: Question, answer: Answer) -> Decision:
    """What follows from this answer, with the provider's own words where the table has none."""
    ended = end_of(call.task, answer)
    then = next(row.then for row in TABLE if row.fits(call, asked, ended))
    if isinstance(then, Retry):
        return replace(then, why=then.why or why_of(answer), at_least_s=getattr(answer, "retry_after_s", None))
    if isinstance(then, Settled | NeedsPerson) and then.verdict != DONE:
        return replace(then, code=then.code or code_of(answer))
    return then


def within_patience(retry: Retry, call: Call) -> Final:
    """A retry, or the end of an opening that has waited long enough. What the provider shows is never given up."""
    if call.task is not Task.CREATE or retry.is_seen or retry.attempt is Attempt.NONE:
        return retry
    if call.was_never_sent and call.is_expired:
        return Settled(REFUSED, "unreachable")
    return NeedsPerson(LOST, LOST) if call.is_old else retry


def drawn() -> str:
    """The table as it stands in docs/orders.md (a test compares)."""
    lines = ["| asked | the answer | of | and | then |", "|---|---|---|---|---|"]
    for row in TABLE:
        of = ", ".join(f"`{task}`" for task in row.of)
        where = row.where.value[1] if row.where else ""
        cells = [row.asked or "any", " or ".join(row.ended), of, where, _drawn(row.then)]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _drawn(then: Decision) -> str:
    match then:
        case Settled(verdict, code):
            return f"settled `{verdict}`" + (f": {code}" if code else "")
        case NeedsPerson(verdict):
            return f"a person must look: `{verdict}`"
        case Investigate(question):
            return f"investigate: {question}"
        case Send():
            return "the call is sent"
        case Retry(attempt, wait_s, why):
            wait = f"{wait_s:g} s" if wait_s else _WAITS.get(attempt, "a growing wait")
            return f"again after {wait}" + (f" ({why})" if why else "") + f"; {attempt}"


_WAITS = {Attempt.NONE: "the wait we set ourselves"}
