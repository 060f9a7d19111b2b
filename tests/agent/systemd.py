"""A systemd for one service: hears its notifications; unfed, its watchdog kills and starts it anew."""

import os
import signal
import socket
import threading
from collections.abc import Sequence
from pathlib import Path

from tests.programs import Program

READY, FED = "READY=1", "WATCHDOG=1"
LENIENCY = 3
"""So many times the patience it states: a busy machine may hold an agent up that does its work."""


class Systemd:
    """`Type=notify`, `WatchdogSec=watchdog`, `Restart=always`. A context manager; started with it, stopped with it."""

    def __init__(self, argv: Sequence[object], *, watchdog: float, env: dict[str, str], folder: Path) -> None:
        self._argv = argv
        self._watchdog = watchdog
        self._folder = folder
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(folder / "notify"))
        self._env = {**env, "NOTIFY_SOCKET": str(folder / "notify"), "WATCHDOG_USEC": str(int(watchdog * 1e6))}
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self.starts = 0
        self.fed = 0
        self.missed = 0
        """How often the watchdog ended the service."""

    @property
    def log(self) -> str:
        return (self._folder / "service.log").read_text(errors="replace")

    def __enter__(self) -> "Systemd":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ending.set()
        self._thread.join(30)
        self._socket.close()

    def _watch(self) -> None:
        while not self._ending.is_set():
            self.starts += 1
            with Program(self._argv, log=self._folder / "service.log", env=self._env, cwd=self._folder) as service:
                self._keep(service)

    def _keep(self, service: Program) -> None:
        """Returns when it has to be started again, or ended."""
        patience = 30.0  # TimeoutStartSec; the watchdog counts from READY
        while not self._ending.is_set() and service.is_running:
            self._socket.settimeout(patience)
            try:
                said = self._socket.recv(4096).decode()
            except TimeoutError:
                self.missed += 1
                os.kill(service.pid, signal.SIGABRT)
                service.wait()
                return
            patience = self._watchdog * LENIENCY
            self.fed += said == FED
