"""The demo as a person starts it: a process with a temporary folder of its own, so that what it leaves behind shows."""

import os
import re
import signal
import sys
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.programs import Program
from tests.waiting import wait_until

_MARK = "DEMO_RUN"
ROOT = Path(__file__).parents[2]
NOT_THERE = "http://127.0.0.1:9"
"""The proxy of a network that the demo needs nothing of."""
END_WITHIN_S = 110.0
START_WITHIN_S = 90.0


class DemoRun:
    """One `python -m simulator demo`, its output, and everything it started or made."""

    def __init__(self, folder: Path, *arguments: str) -> None:
        folder.mkdir(parents=True)
        self.folder = folder
        self._left = folder / "tmp"
        self._left.mkdir()
        self._mark = uuid.uuid4().hex
        environ = {name: value for name, value in os.environ.items() if name.lower() != "no_proxy"}
        environ |= {"PYTHONPATH": str(ROOT), "TMPDIR": str(self._left), _MARK: self._mark, "HTTP_PROXY": NOT_THERE}
        command = [sys.executable, "-m", "simulator", "demo", *arguments]
        self._program = Program(command, log=folder / "demo.log", env=environ, cwd=folder, farewell=signal.SIGINT)

    @property
    def output(self) -> str:
        return self._program.output

    def wait_says(self, words: str) -> None:
        """Return once these words are in its output."""
        self._program.wait_until_ready(lambda: words in self.output, START_WITHIN_S)

    def wait_made(self, pattern: str) -> None:
        """Return once a file of this name is in its temporary folder."""
        self._program.wait_until_ready(lambda: any(self._left.glob(pattern)), START_WITHIN_S)

    def address(self) -> str:
        """The one address it prints, once it serves."""
        self.wait_says("in a browser and buy a coffee")
        (found,) = re.findall(r"http://\S+", self.output)
        return str(found)

    def send_interrupt(self) -> None:
        """Ctrl-C."""
        self._program.send(signal.SIGINT)

    def interrupt(self) -> int:
        """Ctrl-C, and its end: the exit code."""
        self.send_interrupt()
        return self.end()

    def end(self) -> int:
        """Wait for its end; the exit code."""
        return self._program.wait(END_WITHIN_S)

    def left_behind(self) -> list[str]:
        """Files it made and did not remove, programs it started and did not end."""
        files = [path.name for path in self._left.iterdir()]
        return files + [f"process: {words}" for words in self._family()]

    def close(self) -> None:
        """End everything it started, however the test went."""
        self._program.kill()
        self._end_family()
        wait_until(lambda: not self._family(), what="the demo's programs to end")

    def _family(self) -> list[str]:
        """The command lines of every living program that inherited this run's mark (where /proc tells)."""
        return [_command_of(process) for process in _processes() if self._is_marked(process)]

    def _is_marked(self, process: Path) -> bool:
        try:
            return f"{_MARK}={self._mark}".encode() in (process / "environ").read_bytes()
        except OSError:
            return False

    def _end_family(self) -> None:
        for process in _processes():
            if self._is_marked(process):
                os.kill(int(process.name), signal.SIGKILL)


@contextmanager
def a_demo(folder: Path, *arguments: str) -> Iterator[DemoRun]:
    """A running demo for the length of the block."""
    run = DemoRun(folder, *arguments)
    try:
        yield run
    finally:
        run.close()


def _processes() -> list[Path]:
    return [path for path in Path("/proc").glob("[0-9]*") if path.name != str(os.getpid())]


def _command_of(process: Path) -> str:
    try:
        return (process / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip() or "ending"
    except OSError:
        return "ending"
