"""Which version runs: the pure rules, and a power cut at any point between them."""

import pytest
from msgspec.structs import replace

from agent.update import versions
from agent.update.versions import BASE, MOST_STARTS, Versions
from protocol.reasons import AnswerStatus

NEW = Versions()
BEGUN = versions.begun(NEW, "j1", "0.2.0")
TRIED = versions.to_be_tried(BEGUN, "0.1.0", 60.0, was_ready=True)


def starts(known: Versions, times: int, base: str = "0.1.0") -> tuple[Versions, list[str]]:
    ran = []
    for _ in range(times):
        known, version = versions.choose(known, base)
        ran.append(version)
    return known, ran


def test_an_agent_that_was_never_updated_runs_itself() -> None:
    assert starts(NEW, 2)[1] == [BASE, BASE]


def test_a_version_on_trial_is_started_so_often_and_no_more() -> None:
    known, ran = starts(TRIED, MOST_STARTS + 2)
    assert ran == ["0.2.0"] * MOST_STARTS + [BASE, BASE]
    assert known.told is not None
    assert (known.told.job_id, known.told.status, known.told.code) == ("j1", "failed", "rolled_back")


def test_one_that_has_proved_itself_runs_for_good() -> None:
    known, _ = starts(TRIED, 1)
    known, ran = starts(versions.proved(known), 10)
    assert ran == ["0.2.0"] * 10
    assert known.told is not None
    assert known.told.status is AnswerStatus.DONE


def test_one_after_another_goes_back_to_the_last_good_one() -> None:
    good = versions.proved(TRIED)
    tried = versions.to_be_tried(versions.begun(good, "j2", "0.3.0"), good.base, 60.0, was_ready=True)
    known, ran = starts(tried, MOST_STARTS + 1)
    assert ran == ["0.3.0"] * MOST_STARTS + ["0.2.0"]
    assert known.current == "0.2.0"


def test_a_start_in_the_middle_of_the_preparation_tells_that_nothing_came_of_it() -> None:
    known, ran = starts(BEGUN, 1)
    assert ran == [BASE]
    assert known.told is not None
    assert (known.told.status, known.told.code) == ("failed", "interrupted")


@pytest.mark.parametrize("known", [versions.proved(TRIED), TRIED])
def test_what_a_person_installs_wins_over_what_was_fetched_before(known: Versions) -> None:
    left, ran = starts(known, 2, base="0.1.5")
    assert ran == [BASE, BASE]
    assert (left.current, left.trial) == (BASE, None)


def test_damaged_files_are_never_run() -> None:
    assert versions.lost(versions.proved(TRIED), "0.2.0").current == BASE
    known = versions.lost(TRIED, "0.2.0")
    assert known.trial is None
    assert known.told is not None
    assert known.told.code == "rolled_back"


def test_a_job_told_again_is_the_same_job() -> None:
    assert versions.answer_to(NEW, "j1") is None
    assert versions.answer_to(BEGUN, "j1") == ("started", "", "")
    assert versions.answer_to(TRIED, "j1") == ("started", "", "")
    assert versions.answer_to(versions.proved(TRIED), "j1") == ("done", "", "0.2.0 runs")
    assert versions.answer_to(replace(TRIED, trial=None), "j2") is None
