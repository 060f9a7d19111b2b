"""Readiness is asked of what is known this moment: what comes while the counters are read still stops the make."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from agent.machine.profile import Counting, Profile
from protocol.frames import Frame
from protocol.machine import CODES, CountersQuery, MakeDrink
from protocol.reasons import AgentCode, Result
from tests.agent.world import World

SHORT = os.statvfs_result((4096, 4096, 1, 1, 1, 1, 1, 1, 0, 255))
"""One block left."""


def a_person_is_needed(world: World, _: pytest.MonkeyPatch) -> None:
    world.journal.sales_block.stop_selling("look at it")


def another_has_our_name(world: World, _: pytest.MonkeyPatch) -> None:
    world.live_state.update(rival="another session")


def the_disk_is_full(_: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "statvfs", lambda _: SHORT)


@pytest.mark.parametrize("happen", [a_person_is_needed, another_has_our_name, the_disk_is_full])
def test_what_happens_while_the_counters_are_read_still_stops_the_make(
    world: World, monkeypatch: pytest.MonkeyPatch, happen: Callable[[World, pytest.MonkeyPatch], None]
) -> None:
    def on_write(frame: Frame) -> None:
        if CODES[frame.command] is CountersQuery:
            happen(world, monkeypatch)

    world.line.on_write = on_write
    world.order()
    outcome = world.outcome()
    assert (outcome.result, outcome.code) == (Result.REJECTED, AgentCode.NOT_SELLING)
    assert world.line.makes() == 0


def test_what_the_counters_themselves_say_stops_the_make(tmp_path: Path) -> None:
    world = World(tmp_path, profile=Profile(name="companion-v1", counting=Counting(local_sales=False)))
    world.switch("counters_jump")
    world.order()
    outcome = world.outcome()
    assert (outcome.result, outcome.code) == (Result.REJECTED, AgentCode.NOT_SELLING)
    assert world.line.makes() == 0
    world.close()


def test_a_drink_waits_for_few_questions_to_journal_and_disk(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    has_begun: list[Frame] = []
    statvfs = os.statvfs

    def counted(folder: Path) -> os.statvfs_result:
        if not has_begun:
            asked.append("statvfs")
        return statvfs(folder)

    monkeypatch.setattr(os, "statvfs", counted)
    world.welcome()
    world.run(2)
    world.line.on_write = lambda frame: has_begun.append(frame) if CODES[frame.command] is MakeDrink else None
    asked.clear()
    world.journal._database._connection.set_trace_callback(lambda sql: None if has_begun else asked.append(sql))
    world.tell(world.make())
    world.run(30, lambda: has_begun)
    world.journal._database._connection.set_trace_callback(None)
    assert sum(one.startswith("SELECT") for one in asked) <= 8, asked
    assert asked.count("statvfs") <= 3, "at its receipt, and once a step"
