"""What an operator asks for besides drinks: done when the machine is free, refused with a reason when it is not."""

import errno
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
from pytest_mock import MockerFixture

from agent.live_state import MAX_JOBS
from agent.machine import profile_overrides
from agent.machine.profile import load
from agent.machine.timers import Timers
from agent.making import operator_jobs
from protocol import machine
from protocol.messages import Answer, Job, Restart, Rinse, Settings
from protocol.reasons import AnswerStatus, Result, RinseProgram
from tests.agent.world import Crash, World

STARTED, DONE, FAILED = AnswerStatus.STARTED, AnswerStatus.DONE, AnswerStatus.FAILED
REFUSED, UNKNOWN = AnswerStatus.REFUSED, AnswerStatus.UNKNOWN
BASE = load("companion-v1")
DEVICE = "m-001"


class Desk:
    """The operator's end of a world."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.answers: list[Answer] = []

    def rinse(self, job_id: str = "j1", *, age: float = 0.0, program: RinseProgram = RinseProgram.RINSE) -> None:
        self.ask(Rinse(job_id=job_id, program=program, **self._times(age)))

    def restart(self, job_id: str = "j1", *, age: float = 0.0) -> None:
        self.ask(Restart(job_id=job_id, **self._times(age)))

    def settings(self, values: dict[str, float | bool | str] | None = None, job_id: str = "j1") -> None:
        self.ask(Settings(job_id=job_id, values=values or {}, **self._times(0.0)))

    def ask(self, job: Job) -> None:
        answer = self.world.command_handler.handle(job)  # type: ignore[arg-type]  # every job there is, is a command
        if isinstance(answer, Answer):
            self.answers.append(answer)

    def said(self) -> list[tuple[AnswerStatus, str]]:
        self.answers += self.world.live_state.take_answers()
        return [(one.status, one.code) for one in self.answers]

    def wait(self, count: int = 1, within: float = 30.0) -> list[tuple[AnswerStatus, str]]:
        self.world.run(within, lambda: len(self.said()) >= count)
        return self.said()

    def _times(self, age: float) -> dict[str, Any]:
        issued_at = self.world.clock.true_time() - timedelta(seconds=age)
        return {"issued_at": issued_at, "deadline_at": issued_at + timedelta(seconds=30)}


@pytest.fixture
def desk(world: World) -> Desk:
    world.welcome()
    return Desk(world)


JOBS = ("rinse", "restart", "settings")


# While a drink is made


@pytest.mark.parametrize("job", JOBS)
def test_a_job_is_refused_while_a_drink_is_made_and_told_why(desk: Desk, job: str) -> None:
    world = desk.world
    world.order()
    world.run(2, lambda: world.live_state.view.busy_order)
    getattr(desk, job)()
    assert desk.wait(within=1) == [(REFUSED, "busy")]
    assert (desk.answers[0].reference, desk.answers[0].asked) == ("j1", job)
    assert "a drink is being made" in desk.answers[0].words
    assert world.outcome().result is Result.DONE
    assert world.line.said(machine.Rinse) == 0
    assert world.restarts_asked == []
    assert not (world.folder / profile_overrides.FILE).exists()


@pytest.mark.parametrize("job", JOBS)
def test_a_job_is_refused_while_an_earlier_order_is_being_settled(desk: Desk, job: str) -> None:
    world = desk.world
    world.order()
    world.run(2)
    world.switch("mute")
    world.restart()
    world.welcome()
    world.run(2)
    assert world.live_state.view.busy_order == "o1"
    getattr(desk, job)()
    assert desk.wait(within=1) == [(REFUSED, "busy")]


def test_a_refused_job_may_be_asked_for_again_under_another_name(desk: Desk) -> None:
    world = desk.world
    world.order()
    world.run(2, lambda: world.live_state.view.busy_order)
    desk.rinse("j1")
    desk.wait()
    world.outcome()
    desk.rinse("j1")
    desk.rinse("j2")
    assert desk.wait(4) == [(REFUSED, "busy"), (REFUSED, "busy"), (STARTED, ""), (DONE, "")]


# A cancel


def test_a_cancel_that_comes_too_late_is_told_so_and_the_drink_ends_as_it_would(desk: Desk) -> None:
    world = desk.world
    world.order()
    world.run(4)
    world.cancel()
    assert world.outcome().result is Result.DONE
    assert desk.said() == [(REFUSED, "too_late")]
    assert (desk.answers[0].reference, desk.answers[0].asked) == ("c1", "cancel")


def test_a_machine_that_cannot_cancel_is_not_asked_and_the_answer_is_the_same(tmp_path: Path) -> None:
    world = World(tmp_path, hot=False)
    world.switch("without_cancel")
    world.run(5)
    world.order()
    world.run(4)
    world.cancel()
    world.run(1)
    assert [one.code for one in world.live_state.take_answers()] == ["too_late"]
    assert world.line.said(machine.CancelDrink) == 0
    assert world.outcome().result is Result.DONE
    world.close()


def test_a_cancel_in_time_is_answered_by_the_outcome_alone(desk: Desk) -> None:
    desk.world.order()
    desk.world.cancel()
    assert desk.world.outcome().code == "cancelled"
    assert desk.said() == []


# Rinsing


@pytest.mark.parametrize("program", RinseProgram)
def test_a_rinse_begins_and_ends(desk: Desk, program: RinseProgram) -> None:
    desk.rinse(program=program)
    assert desk.wait() == [(STARTED, "")]
    assert desk.world.live_state.view.machine == ("rinsing" if program == "rinse" else "cleaning")
    assert desk.wait(2) == [(STARTED, ""), (DONE, "")]


def test_a_drink_ordered_during_a_rinse_is_refused(desk: Desk) -> None:
    desk.rinse()
    desk.wait()
    desk.world.order()
    assert desk.world.outcome().code == "busy"


def test_a_rinse_the_machine_refuses_is_refused_with_its_code(desk: Desk) -> None:
    desk.world.switch("no_water")
    desk.rinse()
    assert desk.wait() == [(REFUSED, "no_water")]


def test_a_machine_that_cannot_be_rinsed_from_afar_is_not_asked(tmp_path: Path) -> None:
    world = World(tmp_path, hot=False)
    world.switch("without_rinse")
    world.run(5)
    world.welcome()
    desk = Desk(world)
    desk.rinse()
    assert desk.wait() == [(REFUSED, "unsupported")]
    world.close()


def test_without_the_machine_nothing_is_rinsed(desk: Desk) -> None:
    desk.world.switch("unplugged")
    desk.world.run(1)
    desk.rinse()
    assert desk.wait() == [(REFUSED, "machine_offline")]


def test_a_lost_answer_starts_no_second_rinse(desk: Desk) -> None:
    desk.world.switch("drop_reply")
    desk.rinse()
    assert desk.wait(2) == [(STARTED, ""), (DONE, "")]
    asked = [frame for frame in desk.world.line.written if frame.command == machine.Rinse.command]
    assert len(asked) == 2
    assert all(b'"jobUuid":"j1"' in frame.body for frame in asked)


def test_a_machine_that_falls_silent_leaves_a_rinse_unknown(desk: Desk) -> None:
    desk.world.switch("mute")
    desk.rinse()
    assert desk.wait() == [(UNKNOWN, "machine_offline")]
    desk.world.switch_off("mute")
    assert desk.wait(2, within=60)[1] == (DONE, "")


def test_the_same_rinse_again_is_answered_again_and_not_done_again(desk: Desk) -> None:
    desk.rinse()
    desk.wait(2)
    desk.rinse()
    assert desk.wait(3)[2] == (DONE, "")
    assert desk.world.line.said(machine.Rinse) == 1


def test_a_rinse_that_comes_too_late_lets_no_hot_water_flow(desk: Desk) -> None:
    desk.rinse(age=31)
    assert desk.wait() == [(REFUSED, "expired")]
    assert desk.world.line.said(machine.Rinse) == 0


def test_a_rinse_the_broker_would_have_dropped_by_now_is_too_late(desk: Desk) -> None:
    desk.world.live_state.set_expiry("j1", desk.world.clock.monotonic())
    desk.rinse()
    assert desk.wait() == [(REFUSED, "expired")]


def test_a_rinse_before_the_time_is_known_holds_up_no_drink(world: World) -> None:
    world.clock.skew = timedelta(days=-9000)
    desk = Desk(world)
    desk.rinse()
    assert desk.wait(within=10) == [(REFUSED, "expired")]


def test_more_jobs_than_anyone_needs_are_refused_at_once(desk: Desk) -> None:
    for number in range(MAX_JOBS + 1):
        desk.rinse(f"j{number}")
    assert desk.said() == [(REFUSED, "busy")]
    assert desk.answers[0].reference == f"j{MAX_JOBS}"


# Starting anew


def test_a_restart_is_answered_before_and_after_and_begins_nothing_between(desk: Desk) -> None:
    world = desk.world
    desk.restart()
    assert desk.wait() == [(STARTED, "")]
    world.order()
    assert world.run(5, lambda: world.restarts_asked)
    assert world.line.makes() == 0
    world.restart()
    world.welcome()
    assert desk.wait(2) == [(STARTED, ""), (DONE, "")]
    assert world.outcome().result is Result.DONE


def test_a_restart_told_again_after_it_causes_no_other(desk: Desk) -> None:
    world = desk.world
    desk.restart()
    desk.wait()
    world.run(5, lambda: world.restarts_asked)
    world.restart()
    world.welcome()
    desk.wait(2)
    desk.restart()
    assert desk.wait(3)[2] == (DONE, "")
    world.run(5)
    assert len(world.restarts_asked) == 1


@pytest.mark.parametrize("job", [Desk.restart, lambda desk: desk.settings({"timers.max_brew": 43})])
@pytest.mark.parametrize("is_read_only", [False, True])
def test_a_state_folder_that_cannot_be_written_restarts_and_changes_nothing(
    desk: Desk, job: Callable[[Desk], object], mocker: MockerFixture, *, is_read_only: bool
) -> None:
    """Regression: on a read-only card nobody answered; settings that were refused stood from the next start on."""
    profile_overrides.keep(desk.world.folder, {"timers.max_brew": 42})
    if is_read_only:  # Linux says so also of the removal of what is not there
        refused = OSError(errno.EROFS, "read-only file system")
        for name in ("unlink", "replace"):
            mocker.patch.object(Path, name, side_effect=refused)
    else:
        (desk.world.folder / operator_jobs.FILE).with_suffix(".new").mkdir()
    job(desk)
    assert desk.wait() == [(REFUSED, "storage")]
    desk.world.run(5)
    assert desk.world.restarts_asked == []
    assert profile_overrides.in_force(BASE, desk.world.folder, DEVICE).timers.max_brew == 42


# Settings


def test_settings_are_kept_and_read_by_the_next_start(desk: Desk) -> None:
    desk.settings({"timers.max_brew": 42, "counting.local_sales": True})
    assert desk.wait() == [(STARTED, "")]
    assert desk.world.run(5, lambda: desk.world.restarts_asked)
    kept = profile_overrides.in_force(BASE, desk.world.folder, DEVICE)
    assert (kept.timers.max_brew, kept.counting.local_sales) == (42, True)
    assert kept.timers.quiet == BASE.timers.quiet


def test_settings_that_a_power_cut_kept_off_the_disk_are_not_told_as_done(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Regression: the next start took the job for done, and asking again never brought them."""

    def power_cut(_folder: Path, _values: object) -> None:
        raise Crash

    monkeypatch.setattr(profile_overrides, "kept", power_cut)
    desk.settings({"timers.max_brew": 42})
    desk.world.run(3)
    monkeypatch.undo()
    assert desk.said() == []
    desk.settings({"timers.max_brew": 42})
    assert desk.wait() == [(STARTED, "")]
    assert profile_overrides.in_force(BASE, desk.world.folder, DEVICE).timers.max_brew == 42


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("timers.max_brew", -1, "timers.max_brew: expected a number"),
        ("timers.patience", 1, "timers.patience: there is no such key"),
        ("timers.quiet", 31, "timers.quiet: must not be longer"),
        ("timers.query_reply", 3600, "timers.query_reply: expected a number <= 5.0"),
        ("timers.make_verdict", 3600, "timers.make_verdict: expected a number <= 30.0"),
        ("timers.accepted_to_brewing", 3600, "timers.accepted_to_brewing: expected a number <= 120.0"),
        ("timers.max_brew", 300, "timers.max_brew: expected a number < 300.0"),
        ("timers.gate_patience", 3600, "timers.gate_patience: expected a number <= 30.0"),
        ("timers.unknown_deadline", 300, "timers.unknown_deadline: expected a number < 300.0"),
        ("timers.inter_byte_gap", 3600, "timers.inter_byte_gap: expected a number <= 5.0"),
        ("timers.down", 3600, "timers.down: expected a number <= 300.0"),
        ("capabilities.assumed", "dedup", "capabilities.assumed: cannot be set from afar"),
        ("commands.make", 35, "commands.make: cannot be set from afar"),
        ("name", "other", "name: cannot be set from afar"),
        ("counting.local_sales", "yes", "counting.local_sales: expected true or false"),
    ],
)
def test_a_wrong_setting_refuses_all_of_them_by_name(desk: Desk, name: str, value: float | str, said: str) -> None:
    desk.settings({name: value, "timers.recheck": 100})
    assert desk.wait() == [(REFUSED, "bad_setting")]
    assert said in desk.answers[0].words
    assert not (desk.world.folder / profile_overrides.FILE).exists()
    desk.world.run(5)
    assert desk.world.restarts_asked == []


def longest() -> dict[str, float]:
    """Every timer as long as it may be."""
    taken: dict[str, float] = {}
    for timer in msgspec.structs.fields(Timers):
        [meta] = timer.type.__metadata__
        taken[f"timers.{timer.name}"] = meta.le if meta.le is not None else 299.0
    return taken | {"timers.query_tries": 2}


@pytest.mark.parametrize("fault", ["silent", "unplugged", "mute"])
def test_no_value_that_is_taken_keeps_the_job_that_repairs_it_waiting(tmp_path: Path, fault: str) -> None:
    """Regression: with `query_reply = 3600` the greeting of a silent machine took hours, and no job got its turn."""
    world = World(tmp_path / "state", profile=profile_overrides.laid_over(BASE, longest()), hot=False)
    world.switch(fault)
    world.run(120)
    world.welcome()
    desk = Desk(world)
    desk.settings({})
    assert desk.wait() == [(STARTED, "")]
    world.close()


def test_a_job_goes_before_a_greeting_that_is_due(tmp_path: Path) -> None:
    """A silent machine is greeted for ten seconds at a time; the job that repairs this may not live so long."""
    world = World(tmp_path / "state", profile=profile_overrides.laid_over(BASE, longest()), hot=False)
    world.switch("silent")
    world.run(120)
    while world.worker._checks._due.greet <= world.clock.monotonic():
        world.run(1)
    world.welcome()
    desk = Desk(world)
    world.worker._checks._due.greet = world.clock.monotonic()
    desk.settings({})
    assert desk.wait(within=1) == [(STARTED, "")]
    world.close()
