"""\"Ready\" is the machine's word of just now: not an echo of our own frames, not what it said a while ago."""

from pathlib import Path

import pytest

from agent.live_state import MAX_PROBES
from protocol.machine import Status
from protocol.messages import Probe, ProbeReply
from protocol.reasons import Result
from tests.agent.world import AMERICANO, World

PROBE = Probe(probe_id="p1", drink_no=AMERICANO, size=1)


def replies(world: World, probe: Probe = PROBE, within: float = 1.5) -> list[tuple[bool, str]]:
    """What is answered, at once or by the worker."""
    told = world.command_handler.handle(probe)
    found = waited_for(world, within) if told is None else [told]
    return [(one.ready, one.code) for one in found if isinstance(one, ProbeReply)]


def waited_for(world: World, within: float) -> list[ProbeReply]:
    world.run(within, lambda: world.live_state._replies)
    return world.live_state.take_probe_replies()


def last_word_ago(world: World, seconds: float) -> None:
    world.run(60, lambda: world.clock.seconds - world.readiness.heard_at < 0.01)
    world.run(seconds)


def test_a_word_of_just_now_is_enough(world: World) -> None:
    last_word_ago(world, 0.5)
    asked = world.line.said(Status)
    assert replies(world) == [(True, "")]
    assert world.line.said(Status) == asked


def test_an_older_word_is_asked_for_anew(world: World) -> None:
    last_word_ago(world, 3)
    asked = world.line.said(Status)
    assert replies(world) == [(True, "")]
    assert world.line.said(Status) == asked + 1


@pytest.mark.parametrize("dead", ["silent", "mute"])
def test_a_machine_that_has_died_since_is_not_ready(world: World, dead: str) -> None:
    last_word_ago(world, 1.5)
    world.switch(dead)
    assert world.live_state.view.link == "up"
    assert replies(world) == [(False, "machine_offline")]


def test_what_it_answers_is_what_counts(world: World) -> None:
    """The door was opened in the same second; nothing was heard of it yet."""
    last_word_ago(world, 1.5)
    world.faults.turn_on("service")
    assert replies(world) == [(False, "service")]


def test_what_stands_in_the_way_is_said_without_asking(world: World) -> None:
    world.switch("no_beans")
    world.run(1)
    assert replies(world, within=0) == [(False, "no_beans")]


def test_while_a_command_waits_it_is_busy(world: World) -> None:
    world.tell(world.make())
    assert replies(world) == [(False, "busy")]


def test_too_many_questions_at_once_are_turned_away(world: World) -> None:
    for _ in range(MAX_PROBES):
        assert world.command_handler.handle(PROBE) is None
    assert replies(world, within=0) == [(False, "busy")]
    assert len(waited_for(world, 1)) == MAX_PROBES


def test_an_echo_is_no_word_of_the_machine(world: World) -> None:
    world.switch("echo")
    world.switch("silent")
    world.run(world.profile.timers.down + 2)
    assert world.live_state.view.link == "down"
    assert replies(world) == [(False, "machine_offline")]


def test_a_drink_is_made_over_a_line_that_echoes(world: World) -> None:
    world.switch("echo")
    world.order()
    assert world.outcome().result is Result.DONE
    assert world.line.makes() == 1


@pytest.mark.parametrize("missing", ["without_counters", "without_heartbeat"])
def test_a_machine_that_has_died_is_sent_nothing(tmp_path: Path, missing: str) -> None:
    world = World(tmp_path, hot=False)
    world.switch(missing)
    world.run(8)
    world.switch("silent")
    world.order()
    assert world.outcome().code == "machine_offline"
    assert world.line.makes() == 0
    world.close()
