"""A hung agent is restarted: systemd's watchdog is fed only while reader, worker and link do their work."""

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from protocol.messages import Probe
from protocol.reasons import Result
from simulator.machine import MachineSimulator, Timing
from tests.agent.cloud_side import DEVICE, CloudSide, a_cloud_side
from tests.agent.hanging_agent import NAMED, PARTS
from tests.agent.systemd import Systemd
from tests.mosquitto import Mosquitto
from tests.waiting import wait_until

ROOT = Path(__file__).parents[2]
WATCHDOG_S = 2.0


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[MachineSimulator]:
    timing = Timing(brew_s=0.3, boot_s=0.05, heating_s=0.0, heartbeat_s=0.5)
    with MachineSimulator(tty=tmp_path / "tty", http=None, timing=timing) as running:
        yield running


@pytest.fixture
def cloud(mosquitto: Mosquitto) -> Iterator[CloudSide]:
    with a_cloud_side(mosquitto.url) as side:
        yield side


def env(tmp_path: Path, mosquitto: Mosquitto) -> dict[str, str]:
    return {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "COFFEE_AGENT_DEVICE_UUID": DEVICE,
        "COFFEE_AGENT_MQTT_URL": mosquitto.url,
        "COFFEE_AGENT_SERIAL": str(tmp_path / "tty"),
        "COFFEE_AGENT_STATE_DIR": str(tmp_path / "state"),
    }


@pytest.mark.parametrize("part", PARTS)
def test_a_hung_part_stops_the_feeding_and_the_restarted_agent_sells_again(
    part: str, tmp_path: Path, mosquitto: Mosquitto, machine: MachineSimulator, cloud: CloudSide
) -> None:
    argv = [sys.executable, "-m", "tests.agent.hanging_agent", part]
    with Systemd(argv, watchdog=WATCHDOG_S, env=env(tmp_path, mosquitto), folder=tmp_path) as systemd:
        cloud.wait_ready()
        wait_until(lambda: systemd.fed >= 3, what="the watchdog to be fed")
        assert (systemd.starts, systemd.missed) == (1, 0)
        (tmp_path / "state" / "hang").touch()
        cloud.command(Probe(probe_id="p1", drink_no="americano", size=1))
        wait_until(lambda: systemd.starts == 2, 60, what="the restart")
        assert systemd.missed == 1
        assert f"no progress: {NAMED[part]}" in systemd.log
        fed = systemd.fed
        cloud.make()
        assert cloud.outcome().result is Result.DONE
        wait_until(lambda: systemd.fed >= fed + 3, what="the watchdog to be fed again")
        assert systemd.missed == 1
    assert machine.cups("o1") == 1
