"""No drink starts after its deadline, whatever clock is wrong."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from agent.clock import MAX_ANSWER_S, CloudClock, Reading
from agent.deadline import WELCOME_PATIENCE_S, Term, Timeliness, contradicts, expires_at, judge
from protocol.frames import Frame
from protocol.machine import MakeDrink
from protocol.messages import Rinse
from protocol.reasons import AnswerStatus, MachineState, Result, RinseProgram
from tests.agent.world import VirtualClock, World

ISSUED = datetime(2026, 5, 1, 12, 0, tzinfo=UTC)
FRESH, EXPIRED, WAIT = Timeliness.FRESH, Timeliness.EXPIRED, Timeliness.WAIT
DAY = timedelta(days=1)


def term(*, restarted: bool = False, within: float = 60.0) -> Term:
    return Term(ISSUED, ISSUED + timedelta(seconds=within), 100.0, restarted, 120.0)


def at(waited: float, *, wall: timedelta | float = 0.0, cloud: float | None = None) -> Reading:
    """`wall` and `cloud` count from the command's birth."""
    shift = wall if isinstance(wall, timedelta) else timedelta(seconds=wall)
    return Reading(ISSUED + shift, 100.0 + waited, None if cloud is None else ISSUED + timedelta(seconds=cloud))


@pytest.mark.parametrize(
    ("now", "expected"),
    [
        (at(1, wall=1, cloud=1), FRESH),
        (at(1, wall=1, cloud=59.9), FRESH),
        (at(1, wall=1, cloud=60), EXPIRED),
        (at(1, wall=1, cloud=-5), FRESH),
        (at(1, wall=1, cloud=-5.1), EXPIRED),
        (at(59.9, cloud=1), FRESH),
        (at(60, wall=1, cloud=1), EXPIRED),
        (at(1, wall=DAY, cloud=1), FRESH),
        (at(1, wall=-DAY, cloud=1), FRESH),
        (at(1, wall=-2 * DAY, cloud=61), EXPIRED),
        (at(1, wall=1), WAIT),
        (at(WELCOME_PATIENCE_S, wall=4), WAIT),
        (at(59, wall=4), WAIT),
        (at(WELCOME_PATIENCE_S, wall=DAY), WAIT),
        (at(59, wall=-2 * DAY), WAIT),
        (at(60, wall=-2 * DAY), EXPIRED),
    ],
)
def test_the_strictest_clock_decides(now: Reading, expected: Timeliness) -> None:
    assert judge(term(), now) is expected


@pytest.mark.parametrize(
    ("now", "expected"),
    [
        (at(1, wall=1), WAIT),
        (at(WELCOME_PATIENCE_S, wall=4), FRESH),
        (at(WELCOME_PATIENCE_S, wall=-5), FRESH),
        (at(WELCOME_PATIENCE_S, wall=-5.1), WAIT),
        (at(WELCOME_PATIENCE_S, wall=60), EXPIRED),
        (at(WELCOME_PATIENCE_S, wall=DAY), EXPIRED),
        (at(20, wall=4), EXPIRED),
    ],
)
def test_our_own_clock_is_believed_only_within_what_the_broker_left(now: Reading, expected: Timeliness) -> None:
    assert judge(replace(term(), broker_until=120.0), now) is expected


@pytest.mark.parametrize(
    ("broker", "cloud", "until"), [(None, None, 160.0), (130.0, None, 130.0), (None, 40.0, 130.0), (115.0, 40.0, 115.0)]
)
def test_the_moment_of_being_too_late_is_known_beforehand(
    broker: float | None, cloud: float | None, until: float
) -> None:
    limited, now = replace(term(), broker_until=broker), at(10, cloud=cloud)
    assert expires_at(limited, now) == until
    late = ISSUED + timedelta(seconds=60) if cloud else None
    assert judge(limited, replace(now, monotonic=until, cloud=late)) is EXPIRED


def test_a_command_that_outlived_a_restart_needs_the_clouds_clock() -> None:
    assert judge(term(restarted=True), at(30, wall=30)) is WAIT
    assert judge(term(restarted=True), at(30, wall=30, cloud=31)) is FRESH
    assert judge(term(restarted=True), at(60, wall=30)) is EXPIRED
    assert judge(replace(term(restarted=True), broker_until=150.0), at(30, wall=30)) is WAIT


@pytest.mark.parametrize(("cloud", "expected"), [(-5.1, True), (-5, False), (59.9, False), (60, True)])
def test_a_command_that_is_over_or_not_born_yet_contradicts_what_the_cloud_said(cloud: float, expected: bool) -> None:
    assert contradicts(term().issued_at, term().deadline_at, ISSUED + timedelta(seconds=cloud)) is expected


def test_a_generous_deadline_is_cut_to_the_profiles_freshness() -> None:
    assert judge(term(within=3600), at(1, cloud=119)) is FRESH
    assert judge(term(within=3600), at(1, cloud=120)) is EXPIRED
    assert judge(term(within=3600), at(120, cloud=1)) is EXPIRED


@pytest.mark.parametrize("within", [0.0, -5.0])
def test_a_command_born_too_late_is_expired(within: float) -> None:
    assert judge(term(within=within), at(0, cloud=-100)) is EXPIRED


def test_the_clouds_clock_survives_a_jump_of_ours_and_is_never_behind() -> None:
    clock = VirtualClock()
    cloud = CloudClock(clock)
    asked_at = clock.monotonic()
    clock.seconds += 2
    assert cloud.learn(clock.true_time(), asked_at)
    clock.skew = timedelta(days=400)
    clock.seconds += 10
    known = cloud.now()
    assert known is not None
    assert timedelta(0) <= known - clock.true_time() <= timedelta(seconds=2)


def test_a_welcome_that_took_too_long_teaches_nothing() -> None:
    clock = VirtualClock()
    cloud = CloudClock(clock)
    asked_at = clock.monotonic()
    clock.seconds += MAX_ANSWER_S + 1
    assert not cloud.learn(clock.true_time(), asked_at)
    assert cloud.now() is None
    assert cloud.best() == clock.wall()


@pytest.mark.parametrize("skew", [-DAY, DAY, timedelta(days=-9000), timedelta(minutes=-10)])
def test_a_stale_command_is_never_poured_once_the_clouds_clock_is_known(world: World, skew: timedelta) -> None:
    world.clock.skew = skew
    world.welcome()
    world.tell(world.make(age=61))
    outcome = world.outcome()
    assert (outcome.result, outcome.code) == (Result.REJECTED, "expired")
    assert world.line.makes() == 0


@pytest.mark.parametrize("skew", [-DAY, DAY, timedelta(days=-9000)])
def test_a_fresh_command_is_poured_whatever_our_own_clock_says(world: World, skew: timedelta) -> None:
    world.clock.skew = skew
    world.order()
    assert world.outcome().result is Result.DONE


def test_a_stale_command_waits_for_a_welcome_that_is_on_its_way(world: World) -> None:
    world.clock.skew = timedelta(minutes=-10)
    world.tell(world.make(age=300))
    world.run(1)
    world.welcome()
    assert world.outcome().code == "expired"
    assert world.line.makes() == 0


def test_without_any_welcome_a_set_clock_is_believed_within_the_brokers_expiry(world: World) -> None:
    world.live_state.set_expiry("c1", world.clock.monotonic() + 60)
    world.tell(world.make())
    assert world.outcome().result is Result.DONE


@pytest.mark.parametrize("skew", [timedelta(), timedelta(seconds=-4), timedelta(minutes=-10), DAY])
def test_without_a_brokers_expiry_nothing_is_poured_before_the_cloud_has_told_the_time(
    world: World, skew: timedelta
) -> None:
    """MQTT 3.1.1, power back after a cut, no welcome: how long the broker had it nobody here knows."""
    world.clock.skew = skew
    world.tell(world.make(age=57))
    outcome = world.outcome()
    assert (outcome.result, outcome.code) == (Result.REJECTED, "expired")
    assert world.line.makes() == 0


# A line that holds back what was written


def hold_back_the_make(world: World) -> None:
    def watch(frame: Frame) -> None:
        if frame.command == MakeDrink.command:
            world.line.held_back = []

    world.line.on_write = watch


def test_a_make_that_a_line_holds_back_is_thrown_away_when_its_time_is_up(world: World) -> None:
    hold_back_the_make(world)
    world.order(within=20)
    world.run(19)
    assert world.line.held_back
    world.run(26)
    world.line.deliver_late()
    world.run(60)
    assert world.touched() == 0
    assert (world.outcome().result, world.outcome().code) == (Result.FAILED, "never_started")
    assert world.line.makes() == 1


@pytest.mark.parametrize("answer", ["verdict", "question"])
def test_a_make_that_has_arrived_costs_no_line(world: World, answer: str) -> None:
    """Nothing is recalled once the machine has said anything of it, or answered what was asked behind it."""
    session = world.driver._session
    if answer == "question":
        world.switch("drop_verdict")
        world.switch("without_progress")
    world.order(within=4)
    world.run(30)
    assert world.driver._session == session
    assert world.outcome().result is Result.DONE


@pytest.mark.parametrize("within", [2.0, 30.0])
def test_a_rinse_that_a_line_holds_back_never_begins_once_it_was_said_to_be_unanswered(
    world: World, within: float
) -> None:
    """Regression: hot water flowed minutes later. Its deadline may come before the last question."""
    world.welcome()
    world.line.held_back = []
    issued_at = world.clock.true_time()
    deadline_at = issued_at + timedelta(seconds=within)
    world.tell(Rinse(job_id="j1", issued_at=issued_at, deadline_at=deadline_at, program=RinseProgram.RINSE))
    assert world.run(min(within + 0.1, 4.0), lambda: world.line.held_back is None)
    world.line.deliver_late()
    assert not world.run(10, lambda: world.live_state.view.machine == MachineState.RINSING)
    answers = [(one.status, one.code) for one in world.live_state.take_answers()]
    assert answers == [(AnswerStatus.UNKNOWN, "machine_offline")]
