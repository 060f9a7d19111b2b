"""What a machine's missing abilities oblige to: each row of docs/machine-protocol.md 3.5, as a rule and as an act."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from agent.machine import capability_rules
from agent.machine.capability_rules import STATUS, TABLE, Duty, duties
from agent.machine.profile import Profile, load
from protocol.frames import Frame
from protocol.machine import MakeDrink, OrderQuery, Status
from protocol.reasons import Result, Spout
from simulator.machine.switches import CAPABILITIES
from tests.agent.world import World, assert_truthful

EVERYTHING = frozenset({*CAPABILITIES, STATUS})
MUST = {
    ("ack",): Duty.ASSUME_STARTED,
    ("finish",): Duty.CLAIM_NO_SUCCESS,
    ("dedup",): Duty.NEVER_RESEND,
    ("order",): Duty.USE_COUNTERS,
    ("order", "counters"): Duty.REPORT_UNKNOWN,
    ("heartbeat",): Duty.POLL_STATUS,
    ("heartbeat", STATUS): Duty.REPORT_PORT_ONLY,
}


@contextmanager
def a_world(folder: Path, *missing: str, profile: Profile | None = None, brew_s: float = 6.0) -> Iterator[World]:
    world = World(folder, hot=False, profile=profile, brew_s=brew_s)
    for name in missing:
        world.switch(f"without_{name}")
    world.run(5)
    yield world
    world.close()


def deaf_for_one_make(world: World) -> None:
    """The machine hears no make until it is asked anything after it."""

    def before_write(frame: Frame) -> None:
        if frame.command == MakeDrink.command and world.line.makes() == 0:
            world.switch("silent")
        elif frame.command in (OrderQuery.command, Status.command):
            world.switch_off("silent")

    world.line.on_write = before_write


def test_the_table_has_exactly_these_rows() -> None:
    assert {tuple(sorted(row.missing)): row.duty for row in TABLE} == {tuple(sorted(k)): v for k, v in MUST.items()}


@pytest.mark.parametrize(("missing", "duty"), MUST.items())
def test_a_duty_holds_when_all_of_its_abilities_are_missing_and_only_then(missing: tuple[str, ...], duty: Duty) -> None:
    assert duty in duties(EVERYTHING - set(missing))
    for one in missing:
        assert duty not in duties((EVERYTHING - set(missing)) | {one})


def test_a_machine_that_can_do_everything_obliges_to_nothing() -> None:
    assert duties(EVERYTHING) == frozenset()


def test_only_a_machine_that_tells_no_end_and_can_be_asked_nothing_is_unobservable() -> None:
    assert capability_rules.is_unobservable(frozenset({"ack", "heartbeat"}))
    for one in ("finish", "order", "counters"):
        assert not capability_rules.is_unobservable(frozenset({"ack", "heartbeat", one}))
    assert capability_rules.is_blind(frozenset({"heartbeat"}))
    assert not capability_rules.is_blind(frozenset({"heartbeat", "ack"}))


def test_without_ack_a_write_may_have_started_a_drink_and_is_never_called_refused(tmp_path: Path) -> None:
    with a_world(tmp_path, "ack", "order", "counters", "finish") as world:
        world.order()
        world.run(1, lambda: world.line.makes())
        world.switch("silent")
        assert world.outcome().result is Result.UNKNOWN
        assert world.accepted() == []


def test_without_finish_no_success_is_claimed_by_the_clock(tmp_path: Path) -> None:
    with a_world(tmp_path, "finish", "order", "counters") as world:
        world.order()
        outcome = world.outcome()
        assert world.cups() == 1
    assert (outcome.result, outcome.code) == (Result.UNKNOWN, "unobservable")


@pytest.mark.parametrize("other", ["order", "counters"])
def test_without_finish_success_is_claimed_by_what_else_can_tell(tmp_path: Path, other: str) -> None:
    missing = {"order", "counters"} - {other}
    with a_world(tmp_path, "finish", *missing) as world:
        world.order()
        assert world.outcome().result is Result.DONE
        assert world.cups() == 1


def test_without_dedup_a_make_is_never_written_twice(tmp_path: Path) -> None:
    with a_world(tmp_path, "dedup") as world:
        deaf_for_one_make(world)
        world.order()
        outcome = world.outcome()
        assert (outcome.result, outcome.code) == (Result.FAILED, "never_started")
        assert world.line.makes() == 1
        assert_truthful(world, outcome)


def test_with_dedup_and_proof_it_is_written_once_more(tmp_path: Path) -> None:
    with a_world(tmp_path) as world:
        deaf_for_one_make(world)
        world.order()
        assert world.outcome().result is Result.DONE
        assert world.line.makes() == 2


def test_without_order_the_counters_are_asked_and_the_order_is_not(tmp_path: Path) -> None:
    with a_world(tmp_path, "order", "finish") as world:
        world.order()
        outcome = world.outcome()
        assert (outcome.result, outcome.evidence.rule) == (Result.DONE, "counted")
        assert world.line.said(OrderQuery) == 0


def test_without_order_and_counters_a_lost_end_is_reported_unknown_after_the_drinks_time(tmp_path: Path) -> None:
    with a_world(tmp_path, "order", "counters") as world:
        world.switch("drop_done", when="every", n=1)
        world.order()
        outcome = world.outcome()
        assert (outcome.result, outcome.code, outcome.out) == (Result.UNKNOWN, "", Spout.UNKNOWN)
        assert world.cups() == 1


def test_without_order_and_counters_a_lost_verdict_is_waited_out_and_the_end_believed(tmp_path: Path) -> None:
    with a_world(tmp_path, "order", "counters", brew_s=20.0) as world:
        world.switch("drop_verdict")
        world.switch("without_progress")
        world.order()
        assert [outcome.result for outcome in (world.outcome(),)] == [Result.DONE]
        assert len(world.outcomes()) == 1


def test_without_heartbeat_the_state_is_asked_for(tmp_path: Path) -> None:
    with a_world(tmp_path, "heartbeat") as world:
        before = world.line.said(Status)
        world.run(60)
        assert world.line.said(Status) >= before + 4
        assert world.live_state.view.link == "up"


def test_with_a_heartbeat_it_is_not(tmp_path: Path) -> None:
    with a_world(tmp_path) as world:
        before = world.line.said(Status)
        world.run(50)
        assert world.line.said(Status) == before


def test_without_heartbeat_and_status_only_the_port_is_called_open(tmp_path: Path) -> None:
    with a_world(tmp_path, profile=load("tmetr-legacy")) as world:
        view = world.live_state.view
        assert (view.link, view.machine, view.stopped) == ("open", None, "")
        world.run(3600)
        assert (world.live_state.view.link, world.live_state.view.machine) == ("open", None)
        world.switch("unplugged")
        world.run(1)
        assert world.live_state.view.link == "down"


def test_what_the_machine_can_do_is_on_the_board(world: World) -> None:
    assert set(world.live_state.view.capabilities) == EVERYTHING
