"""A port that is open and brings nothing: set back when another program has set it its own way, and opened anew."""

import subprocess
from collections.abc import Iterator
from contextlib import closing
from itertools import pairwise
from pathlib import Path

import pytest

from agent.machine.profile import Profile
from agent.machine.timers import Timers
from agent.making import machine_checks
from protocol.reasons import Result
from simulator.machine import MachineSimulator, Timing
from tests.agent.pty_rig import Cable, Rig
from tests.agent.world import World

IMPATIENT = Profile(name="companion-v1", timers=Timers(query_reply=0.3, quiet=2.0, down=3.0, status_poll=1.0))


@pytest.fixture
def timing() -> Timing:
    return Timing(brew_s=1.0, boot_s=0.05, heating_s=0.0, heartbeat_s=0.3)


def test_settings_that_another_program_changed_are_set_back_on_the_open_port(
    machine: MachineSimulator, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Regression: a getty or a terminal program made the machine mute until the agent was started anew."""
    with closing(Rig(tmp_path / "state", machine.tty, IMPATIENT)) as rig:
        rig.run_until_ready()
        subprocess.run(["stty", "-F", machine.tty, "sane"], check=True)
        rig.run_until(lambda: "has changed the settings" in caplog.text, what="the settings to be set back")
        set_back_at = rig.clock.monotonic()
        rig.run_until(lambda: rig.worker._readiness.heard_at > set_back_at + 1.0, what="more words")
        rig.run_until_ready()
        assert rig.line._session == 1
        assert caplog.text.count("has changed the settings") == 1


@pytest.fixture
def dead_cable(tmp_path: Path) -> Iterator[Cable]:
    cable = Cable(tmp_path / "usb-machine")
    cable.plug()
    yield cable
    cable.pull()


def test_a_port_that_swallows_everything_is_opened_anew(
    dead_cable: Cable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(machine_checks, "MUTE_S", 0.5)
    with closing(Rig(tmp_path / "state", str(dead_cable.name), IMPATIENT)) as rig:
        rig.run_until(lambda: rig.line._session == 2, what="the second opening")


def opened_again(world: World, within: float = 5000.0) -> float:
    """When, by the steady clock."""
    session = world.driver._session
    assert world.run(within, lambda: world.driver._session != session)
    return world.clock.seconds


def test_a_machine_that_stays_mute_has_its_port_opened_ever_more_seldom_until_it_speaks(world: World) -> None:
    world.switch("mute")
    openings = [opened_again(world) for _ in range(8)]
    gaps = [later - earlier for earlier, later in pairwise(openings)]
    for gap, patience in zip(gaps, (240, 480, 960, 1920, 3600, 3600, 3600), strict=True):
        assert patience <= gap < patience + 30
    world.switch_off("mute")
    assert world.run(60, lambda: world.live_state.view.link == "up")
    world.switch("mute")
    began = world.clock.seconds
    assert opened_again(world) - began < 2 * machine_checks.MUTE_S


def test_no_port_is_opened_anew_while_a_drink_may_be_under_way(world: World) -> None:
    world.order()
    assert world.run(20, lambda: world.touched())
    session = world.driver._session
    world.switch("mute")
    assert world.outcome().result is Result.UNKNOWN
    world.run(290)
    assert world.driver._session == session
    opened_again(world)
