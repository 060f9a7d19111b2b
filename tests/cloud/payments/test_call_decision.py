"""The table of what follows from a provider's answer: whole, reachable, and never a second way to move the money."""

from dataclasses import fields
from datetime import UTC, datetime, timedelta
from itertools import product
from pathlib import Path

import pytest

from cloud.orders.tasks import BY_HAND, DONE, LOST, REFUSED, Task
from cloud.payments.call_answers import Answer, End, NotCounted, NothingDone, Question, end_of
from cloud.payments.call_decision import (
    TABLE,
    Attempt,
    Call,
    Decision,
    Investigate,
    NeedsPerson,
    Retry,
    Send,
    Settled,
    Went,
    begin,
    call_of,
    decide,
    drawn,
    within_patience,
)
from cloud.payments.facts import PaymentFacts, ProviderStatus, RefundFacts, RefundStatus
from cloud.payments.outcomes import AuthError, NotOurs, NotSent, Ok, RateLimited, Rejected, Unknown

CALLS = (Task.CREATE, Task.CAPTURE, Task.CANCEL, Task.REFUND)
NOW = datetime(2026, 11, 28, tzinfo=UTC)
NOT_YET = Retry(Attempt.MAY_HAVE_ACTED, why="not done yet", is_seen=True)
PENDING = Retry(Attempt.MAY_HAVE_ACTED, why="refund pending", is_seen=True)
BOOLS = [field.name for field in fields(Call) if field.name != "task"]


def paid(status: ProviderStatus) -> Ok[PaymentFacts]:
    return Ok(PaymentFacts("p", status, 100, "RUB"))


def refunded(status: RefundStatus) -> Ok[RefundFacts]:
    return Ok(RefundFacts("r", "p", status, 100, "RUB"))


SENT: dict[str, Answer] = {
    "by hand": Rejected(BY_HAND),
    "refused": Rejected("no"),
    "key conflict": Rejected("no", key_conflict=True),
    "not ours": NotOurs(),
    "key refused": AuthError(),
    "slow down": RateLimited(),
    "not sent": NotSent("closed"),
    "held back": NotSent("closed", 2.0, held_back=True),
    "unknown": Unknown("reset"),
}
ANSWERS: dict[Question, dict[str, Answer]] = {
    Question.SEND: SENT,
    Question.LOOKUP: SENT | {"nothing": NothingDone(), "not counted": NotCounted()},
    Question.COUNT: SENT | {"nothing": NothingDone(), "not counted": NotCounted()},
}


class Line:
    """A row of the outbox as the table sees it."""

    task = Task.REFUND.value
    attempts = 1
    undone = 0
    reference = ""
    created_at = NOW
    first_tried_at: datetime | None = NOW


def every_case() -> list[tuple[Call, Question, Answer]]:
    """Every call that can be, asked everything, answered in every way."""
    calls = [
        Call(task=task, **dict(zip(BOOLS, held, strict=True)))
        for task in CALLS
        for held in product((False, True), repeat=len(BOOLS))
    ]
    said = [(asked, answer) for asked, answers in ANSWERS.items() for answer in answers.values()]
    return [(call, asked, answer) for call in calls for asked, answer in said]


def test_every_answer_has_a_row_and_every_row_an_answer() -> None:
    reached = set()
    for call, asked, answer in every_case():
        decide(call, asked, answer)  # never without a row
        reached.add(next(n for n, row in enumerate(TABLE) if row.fits(call, asked, end_of(call.task, answer))))
    seen = {end for row in TABLE for end in row.ended} - {End.DONE, End.UNDER_WAY, End.CANCELED}
    shown = {n for n, row in enumerate(TABLE) if set(row.ended) & seen}
    assert reached == shown


def test_nothing_that_may_have_been_done_is_given_up_or_asked_anew_without_looking() -> None:
    """A return refused under a key that may have worked before is looked up first: in parts it would fit twice."""
    for call, asked, answer in every_case():
        decision = decide(call, asked, answer)
        if asked is Question.SEND and call.task is Task.REFUND and call.was_begun and not call.has_reference:
            assert not isinstance(decision, Settled | NeedsPerson)
        if isinstance(answer, Unknown) and asked is not Question.COUNT:
            assert isinstance(decision, Retry)
            assert decision.attempt is Attempt.MAY_HAVE_ACTED


def test_an_attempt_counts_as_nothing_only_when_the_call_itself_certainly_did_nothing() -> None:
    idle = {type(answer) for call, asked, answer in every_case() if asked is Question.SEND and _is_idle(call, answer)}
    assert idle == {AuthError, RateLimited, NotSent}


def _is_idle(call: Call, answer: Answer) -> bool:
    decision = decide(call, Question.SEND, answer)
    return isinstance(decision, Retry) and decision.attempt is Attempt.DID_NOTHING


@pytest.mark.parametrize(
    ("task", "answer", "then"),
    [
        (Task.CREATE, paid(ProviderStatus.PENDING), Settled(DONE)),
        (Task.CREATE, paid(ProviderStatus.UNKNOWN_STATUS), NOT_YET),
        (Task.CAPTURE, paid(ProviderStatus.HELD), NOT_YET),
        (Task.CAPTURE, paid(ProviderStatus.SUCCEEDED), Settled(DONE)),
        (Task.CANCEL, paid(ProviderStatus.CANCELED), Settled(DONE)),
        (Task.REFUND, refunded(RefundStatus.SUCCEEDED), Settled(DONE)),
        (Task.REFUND, refunded(RefundStatus.CANCELED), Settled(REFUSED, "canceled")),
        (Task.REFUND, refunded(RefundStatus.PENDING), PENDING),
        (Task.REFUND, Rejected(BY_HAND), NeedsPerson(BY_HAND, BY_HAND)),
        (Task.REFUND, Rejected("no_money"), Settled(REFUSED, "no_money")),
        (Task.REFUND, NotSent("busy", 7.0, held_back=True), Retry(Attempt.NONE, why="held back", at_least_s=7.0)),
        (Task.REFUND, RateLimited(9.0), Retry(Attempt.DID_NOTHING, why="RateLimited: ", at_least_s=9.0)),
    ],
)  # fmt: skip
def test_what_the_provider_said_of_a_call_just_sent(task: Task, answer: Answer, then: Decision) -> None:
    assert decide(Call(task=task), Question.SEND, answer) == then


def test_a_key_is_forgotten_only_of_a_call_that_may_have_acted_before() -> None:
    later, row = NOW + timedelta(hours=24), Line()
    assert not call_of(row, NOW, later).key_is_forgotten
    row.attempts = 2
    assert call_of(row, NOW, later).key_is_forgotten
    row.reference = "asked by its own id"
    assert not call_of(row, NOW, later).key_is_forgotten


def test_what_is_asked_before_anything_is_sent() -> None:
    late, forgotten = Call(task=Task.CREATE, is_expired=True), Call(task=Task.REFUND, key_is_forgotten=True)
    assert begin(late, was_refused=False) == Settled(REFUSED, "expired")
    assert begin(Call(task=Task.CREATE, is_expired=True, was_begun=True), was_refused=False) == Investigate(
        Question.LOOKUP
    )
    assert begin(forgotten, was_refused=True) == Investigate(Question.LOOKUP)
    assert begin(Call(task=Task.REFUND), was_refused=True) == Investigate(Question.COUNT)
    begun = Call(task=Task.REFUND, was_begun=True)
    assert begin(begun, was_refused=True) == Send()
    assert begin(begun, was_refused=False, went_back=Went.THIS_SUM) == Settled(DONE)
    assert begin(begun, was_refused=False, went_back=Went.ANOTHER_SUM) == Investigate(Question.LOOKUP)
    by_reference = Call(task=Task.REFUND, was_begun=True, has_reference=True)
    assert begin(by_reference, was_refused=False, went_back=Went.THIS_SUM) == Send()
    assert begin(Call(task=Task.REFUND), was_refused=False, went_back=Went.THIS_SUM) == Send(), "nothing was sent yet"


def test_only_an_opening_that_nobody_shows_us_is_given_up() -> None:
    unknown, seen = Retry(Attempt.MAY_HAVE_ACTED), Retry(Attempt.MAY_HAVE_ACTED, is_seen=True)
    old, never_sent = Call(task=Task.CREATE, is_old=True), Call(task=Task.CREATE, is_expired=True, was_never_sent=True)
    assert within_patience(unknown, old) == NeedsPerson(LOST, LOST)
    assert within_patience(unknown, never_sent) == Settled(REFUSED, "unreachable")
    assert within_patience(seen, old) is seen
    assert within_patience(unknown, Call(task=Task.REFUND, was_never_sent=True)) is unknown


def test_the_documents_table_is_this_table() -> None:
    document = (Path(__file__).parents[3] / "docs" / "orders.md").read_text(encoding="utf-8")
    assert document.partition("<!-- calls -->\n")[2].partition("\n<!-- /calls -->")[0] == drawn()
