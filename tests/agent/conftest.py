"""What the agent's tests share."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.cloud import link as link_module
from agent.cloud import report_sender
from simulator.machine import MachineSimulator, Timing
from tests.agent.agents import Agents
from tests.agent.cloud_side import CloudSide, a_cloud_side
from tests.agent.world import World
from tests.mosquitto import Mosquitto


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """A hot machine and a running agent, in virtual time."""
    made = World(tmp_path / "state")
    yield made
    made.close()


@pytest.fixture
def timing() -> Timing:
    """How fast `machine` works; a module with a reason has its own."""
    return Timing(brew_s=0.3, boot_s=0.05, heating_s=0.0, heartbeat_s=0.5)


@pytest.fixture
def machine(tmp_path: Path, timing: Timing) -> Iterator[MachineSimulator]:
    """A simulated machine in real time, at the pty `tty`."""
    with MachineSimulator(tty=tmp_path / "tty", http=None, timing=timing) as running:
        yield running


@pytest.fixture
def cloud(mosquitto: Mosquitto) -> Iterator[CloudSide]:
    """The cloud's end of a real broker."""
    with a_cloud_side(mosquitto.url) as side:
        yield side


@pytest.fixture
def agents(
    tmp_path: Path, mosquitto: Mosquitto, machine: MachineSimulator, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Agents]:
    """Agents of this process that do not wait long between tries."""
    monkeypatch.setattr(link_module, "SHORTEST_PAUSE_S", 0.05)
    monkeypatch.setattr(link_module, "LONGEST_PAUSE_S", 0.2)
    monkeypatch.setattr(report_sender, "REPEAT_AFTER_S", 0.2)
    made = Agents(tmp_path / "state", mosquitto, tmp_path / "tty")
    yield made
    made.stop()
