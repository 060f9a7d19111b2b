"""A real Mosquitto for one test: its own port and memory, stopped, killed and started again at will."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

from tests.programs import Program, answers, free_port
from tests.real_parts import MOSQUITTO, missing

# Keeps what it acknowledged even when killed, which Mosquitto's defaults do not.
_CONFIGURATION = """\
listener {port} 127.0.0.1
allow_anonymous true
set_tcp_nodelay true
persistence true
persistence_location {folder}/
autosave_interval 1
autosave_on_changes true
max_queued_messages 10000
log_dest stderr
log_type all
"""
_PORT_TRIES = 3


class Mosquitto:
    """One broker on loopback; `start()` after `stop()` or `kill()` keeps the port and the sessions."""

    def __init__(self, folder: Path, options: str = "", *, is_open: bool = True) -> None:
        """`options`: more lines of its configuration. `is_open`: to those without a name, too."""
        self._is_open = is_open
        self._folder = folder
        self._options = options
        self._program: Program | None = None
        self.port = 0

    @property
    def url(self) -> str:
        return f"mqtt://127.0.0.1:{self.port}"

    @property
    def is_running(self) -> bool:
        return self._program is not None and self._program.is_running

    @property
    def log(self) -> str:
        """What the broker wrote: every packet, in its own words."""
        return self._program.output if self._program else ""

    def start(self) -> None:
        """Start, or start again on the same port with what was saved. Returns when it accepts connections."""
        assert not self.is_running, "the broker is already running"
        if self.port:
            self._start()
            return
        for tries_left in reversed(range(_PORT_TRIES)):
            self.port = free_port()
            try:
                self._start()
            except AssertionError:  # somebody took the port first
                if not tries_left:
                    raise
            else:
                return

    def stop(self) -> None:
        """Stop in order, everything saved."""
        if self._program:
            self._program.stop()

    def kill(self) -> None:
        """Kill as a power cut would."""
        if self._program:
            self._program.kill()

    def _start(self) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        configuration = self._folder / "mosquitto.conf"
        text = _CONFIGURATION.format(port=self.port, folder=self._folder) + self._options
        if not self._is_open:
            text = text.replace("allow_anonymous true", "allow_anonymous false")
        if os.geteuid() == 0:
            text += "user root\n"  # else it becomes a user who cannot read this folder
        configuration.write_text(text)
        command = [MOSQUITTO.program, "-c", configuration]
        self._program = Program(command, log=self._folder / "mosquitto.log")
        self._program.wait_until_ready(lambda: answers(self.port))


class BrokerElsewhere(Mosquitto):
    """The broker named in the environment: used as it is, so a test that wants to stop it is skipped."""

    def __init__(self, url: str) -> None:
        super().__init__(Path())
        self._url = url
        self.port = urlsplit(url).port or 1883

    @property
    def url(self) -> str:
        return self._url

    @property
    def is_running(self) -> bool:
        return True

    def start(self) -> None:
        missing("the broker named in the environment cannot be started or stopped by a test")

    stop = kill = start


@contextmanager
def a_mosquitto(folder: Path, options: str = "") -> Iterator[Mosquitto]:
    """A broker for the length of the block: the one named in the environment, or one of its own."""
    if MOSQUITTO.is_address:
        if options:
            missing("the broker named in the environment is set up as it is")
        yield BrokerElsewhere(MOSQUITTO.program)
        return
    broker = Mosquitto(folder, options)
    try:
        broker.start()
        yield broker
    finally:
        broker.stop()
