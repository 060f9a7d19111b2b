"""Every row of docs/machine-protocol.md 5.4."""

import itertools
from pathlib import Path

import pytest

from agent.journal.records import Word
from agent.making.outcome_table import TABLE, Boot, Facts, Growth, Says, Then, drawn, growth, resolve, says, verdict
from protocol.messages import Evidence
from protocol.reasons import Phase, Result, Spout

N_A, ZERO, ONE, MORE, FELL = Growth.UNUSABLE, Growth.NONE, Growth.ONE, Growth.MORE, Growth.FELL
SAME, CHANGED, UNTOLD = Boot.SAME, Boot.CHANGED, Boot.UNTOLD
ANY = (SAME, CHANGED, UNTOLD)
DONE, FAILED, REJECTED, UNKNOWN, WAIT = Result.DONE, Result.FAILED, Result.REJECTED, Result.UNKNOWN, Then.WAIT

ROWS = [
    (Says.DONE, ANY, (N_A, ZERO, ONE, MORE, FELL), DONE, ""),
    (Says.FAILED_DRY, ANY, (N_A, ZERO, FELL), FAILED, ""),
    (Says.FAILED_WET, ANY, (N_A, ZERO, ONE, MORE, FELL), FAILED, "partial"),
    (Says.FAILED_DRY, ANY, (ONE, MORE), UNKNOWN, ""),
    (Says.UNDER_WAY, ANY, (N_A, ZERO, ONE, FELL), WAIT, ""),
    (Says.INTERRUPTED, (CHANGED, UNTOLD), (N_A, ZERO, FELL), UNKNOWN, ""),
    (Says.INTERRUPTED, (CHANGED, UNTOLD), (ONE,), DONE, ""),
    (Says.INTERRUPTED, (SAME,), (N_A, ZERO, ONE, FELL), UNKNOWN, ""),
    (Says.NEVER_SEEN, ANY, (N_A, ZERO), FAILED, "never_started"),
    (Says.NEVER_SEEN, ANY, (ONE,), UNKNOWN, ""),
    (Says.NOT_IN_MEMORY, (SAME,), (N_A, ZERO), FAILED, "never_started"),
    (Says.NOT_IN_MEMORY, (SAME,), (ONE,), UNKNOWN, ""),
    (Says.NOT_IN_MEMORY, (CHANGED, UNTOLD), (N_A, ZERO), UNKNOWN, ""),
    (Says.NOT_IN_MEMORY, (CHANGED, UNTOLD), (ONE,), DONE, ""),
    (Says.UNSUPPORTED, ANY, (ONE,), DONE, ""),
    (Says.UNSUPPORTED, (SAME, UNTOLD), (ZERO,), WAIT, ""),
    (Says.UNSUPPORTED, (CHANGED,), (ZERO,), UNKNOWN, ""),
    (Says.UNSUPPORTED, ANY, (N_A, FELL), UNKNOWN, ""),
    (Says.CANCELLED, ANY, (N_A, ZERO, FELL), REJECTED, "cancelled"),
    (Says.NEVER_SEEN, ANY, (FELL,), UNKNOWN, ""),
    (Says.NOT_IN_MEMORY, ANY, (FELL,), UNKNOWN, ""),
    *((one, ANY, (MORE,), UNKNOWN, "") for one in Says if one not in (Says.DONE, Says.FAILED_WET)),
]
CASES = [
    pytest.param(Facts(said, boot, grown), then, code, id=f"{said.name}-{boot}-{grown.name}")
    for said, boots, growths, then, code in ROWS
    for boot, grown in itertools.product(boots, growths)
]


@pytest.mark.parametrize(("facts", "then", "code"), CASES)
def test_the_table_gives(facts: Facts, then: Result | Then, code: str) -> None:
    row = resolve(facts)
    assert (row.then, row.code) == (then, code)


def test_the_cases_above_are_all_there_are() -> None:
    named = {(case.values[0].says, case.values[0].boot, case.values[0].growth) for case in CASES}  # type: ignore[union-attr]  # the first value is the facts
    left = set(itertools.product(Says, Boot, Growth)) - named
    assert left == {(Says.CANCELLED, boot, ONE) for boot in Boot}


def test_every_row_of_the_table_is_reached() -> None:
    reached = {
        resolve(Facts(said, boot, grown, word, waited_out=out, start_always_counts=counts)).name
        for said, boot, grown, word in itertools.product(Says, Boot, Growth, Word)
        for out, counts in itertools.product((False, True), repeat=2)
    }
    assert reached == {row.name for row in TABLE}


EVERYTHING = itertools.product(Says, Boot, Growth, (Word.TAKEN, Word.MOVING), (False, True), (False, True))


def test_no_word_of_the_machine_is_ever_followed_by_certainly_nothing_but_by_its_own_end_of_the_drink() -> None:
    for said, boot, grown, word, waited_out, counts in EVERYTHING:
        facts = Facts(said, boot, grown, word, waited_out=waited_out, start_always_counts=counts)
        given = verdict(resolve(facts), facts, Evidence())
        if given is not None and given.certainly_nothing:
            assert said is Says.FAILED_DRY or (said is Says.CANCELLED and word is Word.TAKEN)


@pytest.mark.parametrize(
    ("said", "boot"), [(Says.NEVER_SEEN, SAME), (Says.NEVER_SEEN, CHANGED), (Says.NOT_IN_MEMORY, SAME)]
)
@pytest.mark.parametrize("word", [Word.TAKEN, Word.MOVING])
def test_a_contradiction_waits_and_then_nobody_can_say(said: Says, boot: Boot, word: Word) -> None:
    assert resolve(Facts(said, boot, ZERO, word)).then is WAIT
    assert resolve(Facts(said, boot, ZERO, word, waited_out=True)).then is UNKNOWN
    assert resolve(Facts(Says.CANCELLED, SAME, ZERO, Word.MOVING)).then is WAIT


def test_the_document_shows_this_table() -> None:
    document = (Path(__file__).parents[3] / "docs" / "machine-protocol.md").read_text("utf-8")
    assert document.partition("<!-- table -->\n")[2].partition("\n<!-- /table -->")[0] == drawn()


def test_a_start_that_always_counts_proves_a_drink_that_did_not() -> None:
    facts = Facts(Says.UNSUPPORTED, SAME, ZERO, waited_out=True, start_always_counts=True)
    assert (resolve(facts).then, resolve(facts).code) == (FAILED, "never_started")
    unsure = Facts(Says.UNSUPPORTED, SAME, ZERO, waited_out=True)
    assert resolve(unsure).then is UNKNOWN
    too_early = Facts(Says.UNSUPPORTED, SAME, ZERO, start_always_counts=True)
    assert resolve(too_early).then is WAIT


@pytest.mark.parametrize("said", Says)
def test_two_counted_for_one_order_trip_the_breaker_unless_a_failure_explains_the_order(said: Says) -> None:
    assert resolve(Facts(said, SAME, MORE)).trips_breaker is (said is not Says.FAILED_WET)


@pytest.mark.parametrize(
    ("facts", "out"),
    [
        (Facts(Says.DONE, SAME, ONE), Spout.FULL),
        (Facts(Says.FAILED_DRY, SAME, ZERO, out=Spout.NONE), Spout.NONE),
        (Facts(Says.FAILED_WET, SAME, ZERO, out=Spout.PARTIAL), Spout.PARTIAL),
        (Facts(Says.FAILED_WET, SAME, ZERO, out=Spout.UNKNOWN), Spout.UNKNOWN),
        (Facts(Says.NEVER_SEEN, SAME, ZERO), Spout.NONE),
        (Facts(Says.CANCELLED, SAME, ZERO), Spout.NONE),
        (Facts(Says.INTERRUPTED, CHANGED, ZERO), Spout.UNKNOWN),
    ],
)
def test_the_verdict_says_what_left_the_spout(facts: Facts, out: Spout) -> None:
    given = verdict(resolve(facts), facts, Evidence())
    assert given is not None
    assert given.out is out


def test_a_row_that_says_wait_is_no_verdict() -> None:
    facts = Facts(Says.UNDER_WAY, SAME, ZERO)
    assert verdict(resolve(facts), facts, Evidence()) is None


@pytest.mark.parametrize(
    ("phase", "out", "hist", "expected"),
    [
        (Phase.DONE, Spout.FULL, "nv", Says.DONE),
        (Phase.FAILED, Spout.NONE, "nv", Says.FAILED_DRY),
        (Phase.FAILED, Spout.PARTIAL, "nv", Says.FAILED_WET),
        (Phase.FAILED, Spout.UNKNOWN, "ram", Says.FAILED_WET),
        (Phase.UNKNOWN, Spout.UNKNOWN, "nv", Says.NEVER_SEEN),
        (Phase.UNKNOWN, Spout.UNKNOWN, "ram", Says.NOT_IN_MEMORY),
        (Phase.ACCEPTED, Spout.NONE, "nv", Says.UNDER_WAY),
        (Phase.BREWING, Spout.UNKNOWN, "nv", Says.UNDER_WAY),
        (Phase.CANCELLED, Spout.NONE, "nv", Says.CANCELLED),
        (Phase.INTERRUPTED, Spout.UNKNOWN, "nv", Says.INTERRUPTED),
    ],
)
def test_the_answer_is_read(phase: Phase, out: Spout, hist: str, expected: Says) -> None:
    assert says(phase, out, hist) is expected


@pytest.mark.parametrize(("moved", "expected"), [(None, N_A), (-1, N_A), (0, ZERO), (1, ONE), (2, MORE), (9, MORE)])
def test_the_growth_is_read(moved: int | None, expected: Growth) -> None:
    assert growth(moved) is expected
