"""A real Mosquitto whose dynamic-security plugin decides who may do what; at first it knows the cloud's name only."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

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
