"""One of our programs as an operator runs it: started, killed with all its children, started again."""

import os
import signal
import sys
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from tests.programs import Program
from tests.waiting import wait_until

ROOT = Path(__file__).parents[2]


class Restartable:
    """`python -m MODULE ARGUMENTS` in a folder of its own."""

    def __init__(self, module: str, arguments: Sequence[str], folder: Path, settings: Mapping[str, str]) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.name = " ".join([module, *arguments])
        self.log = folder / "program.log"
        self._argv = [sys.executable, "-m", module, *arguments]
        self._folder = folder
        self._env = {**os.environ, "PYTHONPATH": str(ROOT), **settings}
        self._program: Program | None = None

    @property
    def pid(self) -> int:
        return self._program.pid if self._program is not None and self._program.is_running else 0

    def add_settings(self, settings: Mapping[str, str]) -> None:
        """From the next start on."""
        self._env |= settings

    def start(self) -> None:
        assert not self.pid, f"{self.name} runs already"
        self._program = Program(self._argv, log=self.log, env=self._env, cwd=self._folder)

    def kill(self) -> None:
        """A power cut for it and everything it started."""
        assert self._program is not None
        with suppress(ProcessLookupError):
            os.killpg(self._program.pid, signal.SIGKILL)
        self._program.wait()

    def send(self, number: signal.Signals) -> None:
        """Tell it something, and nothing to what it started."""
        assert self._program is not None
        self._program.send(number)

    def wait(self) -> int:
        """Wait for it to end; its exit code."""
        assert self._program is not None
        return self._program.wait()

    def restart(self) -> None:
        """Killed and started at once."""
        self.kill()
        self.start()

    def stop(self) -> int:
        """Ended politely, if it runs; its exit code."""
        return self._program.stop() if self._program is not None else 0

    def finish(self, timeout: float = 60.0) -> None:
        """Let it run to its end, which must be a good one."""
        self.start()
        assert self._program is not None
        code = self._program.wait(timeout)
        assert code == 0, f"{self.name} ended with {code}:\n{self.output()}"

    def output(self, since: int = 0) -> str:
        """What it wrote in all its lives."""
        return self.log.read_bytes()[since:].decode(errors="replace") if self.log.exists() else ""

    def says(self, *words: str) -> bool:
        """Whether one line of its log holds all these words."""
        said = self.output()
        return all(word in said for word in words) and any(
            all(word in line for word in words) for line in said.splitlines()
        )

    @property
    def written(self) -> int:
        """How much it has written so far, in bytes; `output(since)` gives what came after."""
        return self.log.stat().st_size if self.log.exists() else 0

    def wait_says(self, *words: str, timeout: float = 30.0) -> None:
        """Return as soon as one line of its log holds all these words."""

        def said_or_dead() -> bool:
            assert self.pid, f"{self.name} has ended:\n{self.output()[-3000:]}"
            return self.says(*words)

        wait_until(said_or_dead, timeout, what=f"{self.name} to say {' ... '.join(words)}")


def kill_who_says(programs: Iterable[Restartable], *words: str, timeout: float = 30.0) -> Restartable:
    """Kill the program that writes a line with all these words, the moment it is written."""
    for program in wait_who_says(programs, *words, timeout=timeout):
        program.kill()
        return program
    raise AssertionError("nobody")


def wait_who_says(programs: Iterable[Restartable], *words: str, timeout: float = 30.0) -> list[Restartable]:
    """Those of the programs that have written such a line, as soon as there is one."""
    candidates = list(programs)
    found: list[Restartable] = []

    def somebody_says() -> bool:
        found[:] = [program for program in candidates if program.says(*words)]
        return bool(found)

    wait_until(somebody_says, timeout, what=f"any of {len(candidates)} programs to say {' ... '.join(words)}")
    return found
