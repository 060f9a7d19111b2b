"""Brokers told over `$CONTROL` who may do what, at first the cloud alone: Mosquitto with its plugin, and our own."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from simulator.broker import Broker
from simulator.broker.dynamic_security import DynamicSecurity
from simulator.broker.switchboard import Memory
from tests.mosquitto import Mosquitto
from tests.real_parts import DYNAMIC_SECURITY, MOSQUITTO, MOSQUITTO_CTRL, missing

CLOUD, PASSWORD = "coffee-cloud", "cloud-secret"


class GuardedMosquitto(Mosquitto):
    """`forget()` while it is down: the file of names and rights is lost, and begun anew as a person would."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / "dynamic-security.json"
        options = f"plugin {DYNAMIC_SECURITY.program}\nplugin_opt_config_file {self._file}\n"
        super().__init__(folder, options, is_open=False)
        folder.mkdir(parents=True, exist_ok=True)
        self.forget()

    @property
    def url(self) -> str:
        """For the cloud; its name and password are in it."""
        return f"mqtt://{CLOUD}:{PASSWORD}@127.0.0.1:{self.port}"

    def forget(self) -> None:
        self._file.unlink(missing_ok=True)
        command = (MOSQUITTO_CTRL.program, "dynsec", "init", self._file, CLOUD, PASSWORD)
        subprocess.run(command, check=True, capture_output=True, timeout=30)


class GuardedDevelopment:
    """Our own broker with the same commands."""

    def __init__(self) -> None:
        self.port = 0
        self._memory = Memory()
        self.forget()

    @property
    def url(self) -> str:
        return f"mqtt://{CLOUD}:{PASSWORD}@127.0.0.1:{self.port}"

    def forget(self) -> None:
        self._rules = DynamicSecurity(CLOUD, PASSWORD)

    def start(self) -> None:
        self._broker = Broker(self.port, memory=self._memory, rules=self._rules).start()
        self.port = self._broker.port

    def stop(self) -> None:
        self._broker.close()


@contextmanager
def a_guarded_mosquitto(folder: Path) -> Iterator[GuardedMosquitto]:
    """For the length of the block. Skips without the plugin, and fails when CI=true."""
    for part in (MOSQUITTO, DYNAMIC_SECURITY, MOSQUITTO_CTRL):
        if part.where is None or part.is_address:
            missing(f"needs a Mosquitto of its own with its plugin; {part}")
    broker = GuardedMosquitto(folder)
    try:
        broker.start()
        yield broker
    finally:
        broker.stop()
