"""A hung agent is restarted: systemd's watchdog is fed only while reader, worker and link do their work."""

import sys
from pathlib import Path

import pytest

from protocol.messages import Probe
from protocol.reasons import Result
from simulator.machine import MachineSimulator
from tests.agent.agents import agent_env
from tests.agent.cloud_side import CloudSide
from tests.agent.hanging_agent import NAMED, PARTS
from tests.agent.systemd import Systemd
from tests.mosquitto import Mosquitto
from tests.waiting import wait_until

ROOT = Path(__file__).parents[2]
WATCHDOG_S = 2.0
ALWAYS = {"worker", "broker's callback"}


def env(tmp_path: Path, mosquitto: Mosquitto) -> dict[str, str]:
    return agent_env(tmp_path, mosquitto.url)


@pytest.mark.parametrize(
    "part", [pytest.param(part, marks=() if part in ALWAYS else pytest.mark.long) for part in PARTS]
)
def test_a_hung_part_stops_the_feeding_and_the_restarted_agent_sells_again(
    part: str, tmp_path: Path, mosquitto: Mosquitto, machine: MachineSimulator, cloud: CloudSide
) -> None:
    argv = [sys.executable, "-m", "tests.agent.hanging_agent", part]
    with Systemd(argv, watchdog=WATCHDOG_S, env=env(tmp_path, mosquitto), folder=tmp_path) as systemd:
        cloud.wait_ready()
        wait_until(lambda: systemd.fed >= 2, what="the watchdog to be fed")
        assert (systemd.starts, systemd.missed) == (1, 0)
        (tmp_path / "state" / "hang").touch()
        cloud.command(Probe(probe_id="p1", drink_no="americano", size=1))
        wait_until(lambda: systemd.starts == 2, 60, what="the restart")
        assert systemd.missed == 1
        assert f"no progress: {NAMED[part]}" in systemd.log
        fed = systemd.fed
        cloud.make()
        assert cloud.outcome().result is Result.DONE
        wait_until(lambda: systemd.fed >= fed + 2, what="the watchdog to be fed again")
        assert systemd.missed == 1
    assert machine.cups("o1") == 1
