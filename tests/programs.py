"""A program started by a test: it writes to a log, is stopped or killed at will, and never outlives the tests.

However the tests end, even killed or run out of time, its guard sees it and ends the program.
"""

import pwd
import secrets
import signal
import socket
import subprocess
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from simulator.demo.guard import PATIENCE_S, Guard
from tests.waiting import wait_until

_STOP_TIMEOUT_S = 20.0
_RUN_TIMEOUT_S = 100.0
"""For a program that does its work and ends by itself: the machine may be busy with others."""


def free_port() -> int:
    """A TCP port of 127.0.0.1 free a moment ago, and not one of those that connections are given by chance."""
    while True:
        port = 10_000 + secrets.randbelow(20_000)
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


def answers(port: int) -> bool:
    """Whether something accepts connections on this port of 127.0.0.1."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


class Program:
    """A running program in a session of its own, so that Ctrl-C reaches the tests and not it.

    `farewell` is the signal that asks it to stop; `orphaned` is a folder to remove should the tests die
    before they can, `patience` how long it may then take to stop. Used as a context manager, it is stopped at the end.
    """

    def __init__(
        self,
        argv: Sequence[object],
        *,
        log: Path,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        user: str | None = None,
        farewell: signal.Signals = signal.SIGTERM,
        orphaned: Path | None = None,
        patience: int = PATIENCE_S,
    ) -> None:
        self.log = log
        command = [str(word) for word in argv]
        self._name = Path(command[0]).name
        self._farewell = farewell
        with log.open("ab") as output:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=env,
                cwd=cwd,
                user=user,
                group=None if user is None else pwd.getpwnam(user).pw_gid,
                extra_groups=None if user is None else [],
                start_new_session=True,
            )
        self._guard = Guard(self.pid, farewell=farewell, patience=patience, folder=orphaned)

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def is_running(self) -> bool:
        return self._process.poll() is None

    def wait_until_ready(self, is_ready: Callable[[], bool], timeout: float = 20.0) -> None:
        """Return once `is_ready()` is true; else end the program and fail, showing what it wrote."""

        def ready_or_dead() -> bool:
            assert self.is_running, f"{self._name} ended at once:\n{self.output}"
            return is_ready()

        try:
            wait_until(ready_or_dead, timeout, what=f"{self._name} to be ready")
        except BaseException:
            self.kill()
            raise

    @property
    def output(self) -> str:
        """What it wrote so far, standard error included."""
        return self.log.read_text(errors="replace")

    def send(self, number: signal.Signals) -> None:
        self._process.send_signal(number)

    def stop(self) -> int:
        """Ask it to end, insist if it does not, and return its exit code."""
        if self.is_running:
            self.send(self._farewell)
        try:
            return self._ended(_STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            return self.kill()

    def kill(self) -> int:
        """End it as a power cut would: SIGKILL, no farewell."""
        self._process.kill()
        return self._ended(_STOP_TIMEOUT_S)

    def wait(self, timeout: float = _RUN_TIMEOUT_S) -> int:
        """Wait for it to end by itself; the exit code."""
        return self._ended(timeout)

    def _ended(self, timeout: float) -> int:
        code = self._process.wait(timeout)
        self._guard.dismiss()
        return code

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
