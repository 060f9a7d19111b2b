"""A machine that does not exist, mapped by a profile alone: every word of it over real bytes, from end to end."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from agent import refusal
from agent.machine.profile import load
from agent.making import outcome_table
from protocol.messages import Rinse
from protocol.reasons import AnswerStatus, Result, RinseProgram, Spout
from tests.agent.kawa import Kawa
from tests.agent.pty_rig import Rig

PROFILE = Path(__file__).with_name("kawa.toml")
GUIDE = Path(__file__).parents[2] / "docs" / "machine-profiles.md"


@pytest.fixture
def kawa(tmp_path: Path) -> Iterator[Kawa]:
    with Kawa(tmp_path / "kawa") as machine:
        yield machine


@pytest.fixture
def silent(kawa: Kawa) -> Kawa:
    kawa.faults.turn_on("without_ack")
    kawa.faults.turn_on("without_finish")
    return kawa


@pytest.fixture
def rig(kawa: Kawa, tmp_path: Path) -> Iterator[Rig]:
    made = Rig(tmp_path / "state", str(tmp_path / "kawa"), load(str(PROFILE)))
    made.run_until_ready()
    yield made
    made.close()


def test_a_drink_is_made_in_its_own_words(kawa: Kawa, rig: Rig) -> None:
    rig.order()
    outcome = rig.outcome()
    assert (outcome.result, outcome.out) == (Result.DONE, Spout.FULL)
    assert kawa.cups("o1") == 1
    assert (0x4D, {"ord": "o1", "sku": "1001", "cup": "M", "kop": 17900}) in kawa.heard
    assert (outcome.evidence.boot_now, outcome.evidence.count_before) == ("run-0", 0)
    rig.run_until(lambda: rig.live_state.view.counters and rig.live_state.view.counters.total == 1, what="the counter")


def test_what_it_can_do_is_what_it_says_and_the_profile_does_not_deny(rig: Rig) -> None:
    assert {"ack", "finish", "order", "counters", "rinse"} <= rig.driver.abilities
    assert "cancel" not in rig.driver.abilities


def test_a_refusal_comes_through_in_our_code(kawa: Kawa, rig: Rig) -> None:
    kawa.faults.turn_on("reject_busy")
    rig.order()
    assert (rig.outcome().result, rig.outcome().code) == (Result.REJECTED, "busy")


def test_its_alarm_closes_the_drinks_the_profile_names_and_no_other(kawa: Kawa, rig: Rig) -> None:
    kawa.faults.turn_on("no_milk")
    rig.run_until(lambda: "no_milk" in rig.live_state.view.faults, what="the alarm")

    assert refusal.refusal_code(rig.live_state.view, "latte") == "no_milk"
    assert refusal.refusal_code(rig.live_state.view, "americano") == ""


def test_a_failure_in_the_middle_is_told(kawa: Kawa, rig: Rig) -> None:
    kawa.faults.turn_on("fail_mid_brew")
    rig.order()
    assert (rig.outcome().result, rig.outcome().out) == (Result.FAILED, Spout.PARTIAL)


def test_one_that_gives_no_verdict_and_tells_no_end_is_asked(silent: Kawa, kawa: Kawa, rig: Rig) -> None:
    assert not {"ack", "finish"} & rig.driver.abilities
    rig.order()
    assert rig.outcome().result is Result.DONE
    assert any(command == 0x4F for command, _ in kawa.heard)
    assert kawa.cups("o1") == 1


def test_a_power_cut_in_mid_pour_is_unknown_because_it_forgets(kawa: Kawa, rig: Rig) -> None:
    kawa.faults.turn_on("without_nv")
    kawa.faults.turn_on("mid_pour_crash")
    rig.order()
    outcome = rig.outcome()
    assert outcome.result is Result.UNKNOWN
    assert outcome.evidence.history == "ram"
    assert outcome.evidence.rule in {row.name for row in outcome_table.TABLE}
    assert kawa.cups("o1") == 0


def test_it_is_rinsed_in_its_own_words(kawa: Kawa, rig: Rig) -> None:
    now = datetime.now(UTC)
    soon = now + timedelta(seconds=30)
    rig.command_handler.handle(Rinse(job_id="j1", issued_at=now, deadline_at=soon, program=RinseProgram.RINSE))
    said = []

    def is_done() -> bool:
        said.extend(rig.live_state.take_answers())
        return bool(said) and said[-1].status is AnswerStatus.DONE

    rig.run_until(is_done, what="the end of the rinse")
    assert [one.status for one in said] == [AnswerStatus.STARTED, AnswerStatus.DONE]
    assert any(command == 0x52 and body["job"] == "j1" and body["prog"] == 1 for command, body in kawa.heard)


def test_the_guide_shows_this_very_profile() -> None:
    assert PROFILE.read_text("utf-8") in GUIDE.read_text("utf-8")
