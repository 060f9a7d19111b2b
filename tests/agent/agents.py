"""Agents a test starts: as programs with settings of their own, or in this process on one state folder."""

import os
from pathlib import Path

from agent.machine.profile import Profile
from agent.machine.timers import Timers
from agent.service import Service
from agent.settings import BrokerAddress, Settings
from tests.agent.cloud_side import DEVICE
from tests.mosquitto import Mosquitto

ROOT = Path(__file__).parents[2]
IMPATIENT = Profile(name="companion-v1", timers=Timers(gate_patience=0.2))
"""The shipped profile, but a machine that is not ready is not waited for."""


def agent_env(folder: Path, broker: str, **more: str) -> dict[str, str]:
    """The environment of an agent whose port and state are in this folder."""
    return {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "COFFEE_AGENT_DEVICE_UUID": DEVICE,
        "COFFEE_AGENT_MQTT_URL": broker,
        "COFFEE_AGENT_SERIAL": str(folder / "tty"),
        "COFFEE_AGENT_STATE_DIR": str(folder / "state"),
        **more,
    }


class Agents:
    """Starts agents in this process, one at a time, on the same state folder."""

    def __init__(self, state: Path, mosquitto: Mosquitto, tty: Path) -> None:
        broker = BrokerAddress("127.0.0.1", mosquitto.port)
        self.settings = Settings(DEVICE, broker, str(tty), "companion-v1", state)
        self.profile = IMPATIENT
        self.running: Service | None = None

    def start(self) -> Service:
        self.running = Service(self.settings, self.profile, {})
        self.running.start()
        return self.running

    def stop(self) -> None:
        if self.running is not None:
            self.running.stop()
            self.running = None
