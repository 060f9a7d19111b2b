"""The power goes at each point that matters; what the machine then believes, counts, and really poured."""

import pytest

from protocol.machine import Booted, DoneEvent
from protocol.reasons import Phase, Spout
from simulator.machine import MemoryFile
from simulator.machine.switches import without
from tests.simulator.machine.rig import LONG_ENOUGH_S, QUICK, Rig, of_kind

AFTER_THE_CUT = [
    # switch, phase by its memory, out, counted, cups really filled
    ("reboot_before_accept", Phase.UNKNOWN, Spout.UNKNOWN, 0, []),
    ("reboot_after_accept", Phase.INTERRUPTED, Spout.NONE, 0, []),
    ("mid_pour_crash", Phase.INTERRUPTED, Spout.UNKNOWN, 0, [pytest.approx(1 / 3, abs=0.01)]),
    ("reboot_after_dispense", Phase.INTERRUPTED, Spout.UNKNOWN, 0, [1.0]),
    ("reboot_after_outcome", Phase.DONE, Spout.FULL, 0, [1.0]),
    ("reboot_before_done", Phase.DONE, Spout.FULL, 1, [1.0]),
    ("reboot_after_done", Phase.DONE, Spout.FULL, 1, [1.0]),
]


@pytest.mark.parametrize(("switch", "phase", "out", "counted", "cups"), AFTER_THE_CUT)
def test_with_lasting_memory_the_machine_knows_how_far_it_came(
    switch: str, phase: Phase, out: Spout, counted: int, cups: list[float]
) -> None:
    rig = Rig()
    rig.faults.turn_on(switch)
    rig.make()
    said = rig.wait(LONG_ENOUGH_S)
    boots = [event for event in said if isinstance(event, Booted) and event.boot_id == "b8"]
    assert boots
    assert boots[0].last_order == (None if phase is Phase.UNKNOWN else "o1")
    answer = rig.ask()
    assert (answer.phase, answer.out, answer.boot_id, answer.hist) == (phase, out, "b8", "nv")
    assert rig.memory.counters.total == counted
    assert rig.memory.boots == 2
    assert rig.cups() == cups


@pytest.mark.parametrize(("switch", "phase", "out", "counted", "cups"), AFTER_THE_CUT)
def test_with_history_in_ram_nothing_is_known_and_the_truth_is_the_same(
    switch: str, phase: Phase, out: Spout, counted: int, cups: list[float]
) -> None:
    rig = Rig()
    rig.faults.turn_on(without("nv"))
    rig.faults.turn_on(switch)
    rig.make()
    rig.wait(LONG_ENOUGH_S)
    answer = rig.ask()
    assert (answer.phase, answer.hist, answer.boot_id) == (Phase.UNKNOWN, "ram", "b8")
    assert rig.memory.counters.total == counted
    assert rig.cups() == cups


def test_the_verdict_is_lost_when_the_power_goes_before_it() -> None:
    rig = Rig()
    rig.faults.turn_on("reboot_after_accept")
    assert rig.make() == []


def test_done_is_said_before_the_power_goes_after_it_and_never_again() -> None:
    rig = Rig()
    rig.faults.turn_on("reboot_after_done")
    rig.make()
    assert len(of_kind(DoneEvent, rig.wait(LONG_ENOUGH_S))) == 1


def test_a_known_order_is_not_poured_again_after_the_power_came_back() -> None:
    rig = Rig()
    rig.faults.turn_on("mid_pour_crash")
    rig.make()
    rig.wait(LONG_ENOUGH_S)
    (verdict,) = rig.make()
    assert verdict.dup is True
    rig.wait(LONG_ENOUGH_S)
    assert len(rig.cups()) == 1


def test_without_power_the_machine_neither_hears_nor_speaks() -> None:
    rig = Rig()
    rig.wire.cut_power(rig.now)
    assert rig.make() == []
    rig.wait(QUICK.boot_s)
    assert rig.ask().phase is Phase.UNKNOWN


def test_pulling_the_plug_leaves_in_the_cup_what_flowed_until_then() -> None:
    rig = Rig()
    rig.make()
    rig.wait(QUICK.brew_s * 0.75)
    rig.wire.cut_power(rig.now)
    assert rig.cups() == [pytest.approx(0.75)]
    rig.wait(LONG_ENOUGH_S)
    assert rig.ask().phase is Phase.INTERRUPTED


def test_counters_can_be_lost_at_boot() -> None:
    rig = Rig()
    rig.make()
    rig.wait(LONG_ENOUGH_S)
    rig.faults.turn_on("lose_counters")
    rig.wire.cut_power(rig.now)
    rig.wait(LONG_ENOUGH_S)
    assert rig.memory.counters.total == 0
    assert rig.cups() == [1.0]


def test_a_stale_boot_id_is_the_one_before() -> None:
    rig = Rig()
    rig.wire.cut_power(rig.now)
    rig.wait(LONG_ENOUGH_S)
    rig.faults.turn_on("stale_boot_id")
    assert rig.ask().boot_id == "b7"
    assert rig.ask().boot_id == "b8"


def test_a_fault_outlives_the_power_cut_and_is_told_again() -> None:
    rig = Rig()
    rig.faults.turn_on("no_water")
    rig.wait(1)
    rig.wire.cut_power(rig.now)
    said = rig.wait(LONG_ENOUGH_S)
    assert [message for message in said if getattr(message, "code", "") == "no_water"]


def test_a_killed_simulator_comes_back_with_memory_and_truth(tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.mktemp("machine") / "memory.json"
    rig = Rig(MemoryFile(path))
    rig.make()
    rig.wait(QUICK.brew_s / 2)
    reborn = Rig(MemoryFile(path))
    answer = reborn.ask()
    assert (answer.phase, reborn.memory.boots) == (Phase.INTERRUPTED, 2)
    assert reborn.cups() == [pytest.approx(1 / 3, abs=0.01)]
