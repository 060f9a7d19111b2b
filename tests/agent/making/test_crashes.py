"""The agent dies at every step, its journal's file survives: at most one cup, and a truthful word in the end."""

import pytest

from agent.journal.records import Snapshot
from protocol.frames import Frame
from protocol.machine import EventAck, MakeDrink
from protocol.reasons import Result, Spout
from tests.agent.world import Crash, World, assert_truthful

COMMITS = range(1, 6)
"""A drink's life is five commits: received, sent with its intent, accepted, brewing, done."""


def die_before(world: World, kind: type, nth: int = 1) -> None:
    """Kill the agent just before it writes its nth frame of this kind."""
    seen = 0

    def before_write(frame: Frame) -> None:
        nonlocal seen
        seen += frame.command == kind.command  # type: ignore[attr-defined]  # every machine message has one
        if seen == nth:
            raise Crash

    world.line.on_write = before_write


@pytest.mark.parametrize("commit", COMMITS)
@pytest.mark.parametrize("machine_fault", ["", "drop_verdict", "drop_done", "mid_pour_crash", "without_nv"])
def test_killed_after_any_commit_the_order_ends_truthfully(world: World, commit: int, machine_fault: str) -> None:
    if machine_fault:
        world.switch(machine_fault)
    world.welcome()
    make = world.make()
    world.crash_after_commit(commit)
    world.deliver(make)
    assert world.run(600, lambda: world.outcomes())
    assert world.restarts == 1 or machine_fault
    world.deliver(make)
    world.run(world.aftermath())
    assert_truthful(world, world.outcomes()[-1])
    assert world.journal.unsettled() == []
    assert world.line.makes() <= 1


def test_killed_between_received_and_intent_it_is_poured_when_the_cloud_clock_is_known(world: World) -> None:
    world.welcome()
    world.crash_after_commit(1)
    world.deliver(world.make())
    assert world.outcome().result is Result.DONE


def test_killed_between_received_and_intent_it_expires_when_nobody_knows_the_time(world: World) -> None:
    world.tell(world.make())
    world.restart(after=5)
    outcome = world.outcome()
    assert (outcome.result, outcome.code) == (Result.REJECTED, "expired")
    assert world.line.makes() == 0


def test_what_an_older_agent_left_between_intent_and_sent_was_not_sent(world: World) -> None:
    """It committed the two apart."""
    world.tell(world.make())
    world.journal.mark_intent("c1", Snapshot("b0"))
    world.restart()
    outcome = world.outcome()
    assert (outcome.result, outcome.code, outcome.out) == (Result.FAILED, "never_sent", Spout.NONE)
    assert world.line.makes() == 0


def test_killed_between_the_commit_and_the_bytes_the_machine_proves_that_it_never_started(world: World) -> None:
    die_before(world, MakeDrink)
    world.order()
    outcome = world.outcome()
    assert world.restarts == 1
    assert (outcome.result, outcome.code) == (Result.FAILED, "never_started")
    world.run(world.aftermath())
    assert world.line.makes() == 0
    assert_truthful(world, outcome)


def test_killed_before_acknowledging_done_it_does_not_tell_twice(world: World) -> None:
    die_before(world, EventAck)
    world.order()
    assert world.outcome().result is Result.DONE
    world.run(120)
    assert world.restarts == 1
    assert len(world.outcomes()) == 1
    assert world.machine.unheard_events == 0


@pytest.mark.parametrize("away", [10.0, 100.0, 3600.0])
def test_dead_while_the_machine_pours_it_asks_when_it_comes_back(world: World, away: float) -> None:
    world.order()
    world.run(2)
    world.restart(after=away)
    outcome = world.outcome(within=30)
    assert outcome.result is Result.DONE
    assert world.line.makes() == 1


def test_both_dead_in_mid_pour_nobody_can_say(world: World) -> None:
    world.switch("mid_pour_crash")
    world.order()
    world.run(60, lambda: not world.machine.is_powered)
    world.restart()
    outcome = world.outcome()
    assert outcome.result is Result.UNKNOWN
    assert outcome.evidence.rule == "interrupted, leaning not made"


def test_with_the_machine_gone_after_a_restart_it_waits_until_the_deadline_and_then_says_unknown(world: World) -> None:
    world.order()
    world.run(2)
    world.switch("unplugged")
    world.restart()
    world.run(200)
    assert world.outcomes() == []
    assert world.outcome(within=60).result is Result.UNKNOWN
    world.switch_off("unplugged")
    assert world.run(60, lambda: world.outcome().result is Result.DONE)


def test_a_command_waits_for_the_settling_of_the_one_before(world: World) -> None:
    world.order()
    world.run(2)
    world.restart()
    world.order("c2", "o2")
    assert world.outcome("c1").result is Result.DONE
    assert world.cups("o2") <= 1
    assert world.outcome("c2").result in (Result.REJECTED, Result.DONE)
