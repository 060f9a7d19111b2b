"""Starting and stopping the demo's programs: cloud and agent as real processes, their logs kept in files."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from simulator.demo.guard import Guard

STOP_WITHIN_S = 15.0
MOSQUITTO_PLACES = ("/usr/sbin/mosquitto", "/usr/local/sbin/mosquitto", "/opt/homebrew/sbin/mosquitto")

_MOSQUITTO = """\
listener {port} 127.0.0.1
allow_anonymous true
set_tcp_nodelay true
persistence true
persistence_location {folder}/
autosave_interval 60
log_dest none
"""


class DidNotStart(Exception):
    """A part of the demo did not come up; the text says which and what its log ends with."""


@contextmanager
def undisturbed() -> Iterator[list[int]]:
    """Ctrl-C (and SIGTERM) waits for the end of the block, which gets the list of those that came."""
    came: list[int] = []

    def note(number: int, _frame: FrameType | None) -> None:
        came.append(number)

    if threading.current_thread() is not threading.main_thread():
        yield came  # no signal is handled here
        return
    # A handler of our own rather than a blocked signal: a program started in the block would inherit the blocking.
    before = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield came
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


class Program:
    """One child process with its log file, perhaps run as another user. It does not outlive us."""

    def __init__(
        self,
        name: str,
        command: list[str],
        folder: Path,
        environ: Mapping[str, str],
        user: str | None = None,
        told: str = "",
    ) -> None:
        self.name = name
        self.log = folder / f"{name}.log"
        self._command = command
        self._folder = folder
        self._environ = dict(environ)
        self._user = user
        self._told = told.encode()
        """What it reads from its standard input."""
        self._process: subprocess.Popen[bytes] | None = None
        self._guard: Guard | None = None

    def start(self) -> None:
        """Start it; its output goes to the log file."""
        with self.log.open("ab") as log, undisturbed() as came:  # else a Ctrl-C now would lose the child's number
            # A session of its own: Ctrl-C reaches the demo alone, which then ends the others in order.
            self._process = subprocess.Popen(
                self._command, cwd=self._folder, env=self._environ, stdout=log, stderr=log, start_new_session=True,
                user=self._user, stdin=subprocess.PIPE if self._told else None,
            )  # fmt: skip
            if self._process.stdin is not None:
                with self._process.stdin as told:
                    told.write(self._told + b"\n")
            self._dismiss_guard()  # of a program that ended by itself before
            self._guard = Guard(self._process.pid)
        if came:
            raise KeyboardInterrupt

    @property
    def running(self) -> bool:
        """Whether it runs."""
        return self._process is not None and self._process.poll() is None

    def stop(self) -> None:
        """End it politely, then firmly."""
        if self._process is None:
            return
        if self.running:
            self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(STOP_WITHIN_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._dismiss_guard()

    def wait(self, timeout: float) -> int:
        """Its exit code; -9 when it had to be ended."""
        if self._process is None:
            raise DidNotStart(f"{self.name} was never started")
        try:
            code = self._process.wait(timeout)
        except subprocess.TimeoutExpired:
            self.kill()
            return -signal.SIGKILL
        self._dismiss_guard()
        return code

    def kill(self) -> None:
        """A power cut."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._dismiss_guard()

    def _dismiss_guard(self) -> None:
        if self._guard is not None:
            self._guard.dismiss()

    def wait_for(self, ready: Callable[[], bool], timeout: float) -> None:
        """Return once `ready()`; `DidNotStart` when the program ends first or the time does."""
        deadline = time.monotonic() + timeout
        while not ready():
            if not self.running or time.monotonic() > deadline:
                end = self.log.read_text(errors="replace")[-2000:] if self.log.exists() else ""
                raise DidNotStart(f"{self.name} did not start. Its log ends with:\n{end}")
            time.sleep(0.02)


def ours(
    module: str, arguments: list[str], name: str, folder: Path, settings: Mapping[str, str], told: str = ""
) -> Program:
    """One of our own programs, with a clean environment apart from `settings`."""
    environ = {key: value for key, value in os.environ.items() if not key.startswith("COFFEE_")}
    return Program(name, [sys.executable, "-m", module, *arguments], folder, {**environ, **settings}, told=told)


def mosquitto(folder: Path, port: int) -> Program | None:
    """Mosquitto on this port, or None where there is none."""
    path = shutil.which("mosquitto") or next((place for place in MOSQUITTO_PLACES if Path(place).exists()), None)
    if path is None:
        return None
    configuration = folder / "mosquitto.conf"
    configuration.write_text(_MOSQUITTO.format(port=port, folder=folder))
    folder.chmod(0o755)  # started by root it becomes another user, which must reach its files
    memory = folder / "mosquitto.db"
    memory.touch(mode=0o666)
    return Program("mosquitto", [path, "-c", str(configuration)], folder, os.environ)


def free_port(wanted: int = 0) -> int:
    """`wanted` if nobody has it, else any free port of 127.0.0.1."""
    for port in (wanted, 0):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return int(probe.getsockname()[1])
    raise DidNotStart("no free port on 127.0.0.1")


def answers(port: int) -> bool:
    """Whether somebody accepts connections there."""
    with socket.socket() as probe:
        probe.settimeout(0.5)
        return probe.connect_ex(("127.0.0.1", port)) == 0
