"""The programs that are measured: started, stopped, and weighed with everything they started themselves."""

import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from bench import interpreter
from simulator.demo.programs import MOSQUITTO_PLACES, Program

MIB = 1024 * 1024
COMPARED = {"COFFEE_PROCESSORS"}
# As deployed.
_MOSQUITTO = """\
listener {port} 127.0.0.1
allow_anonymous true
set_tcp_nodelay true
persistence true
persistence_location {folder}/
autosave_interval 60
max_queued_messages 10000
log_dest none
"""


@dataclass(frozen=True)
class Weight:
    """Memory of a program and its children, MiB. `pss` counts what processes share once, `rss` in each of them."""

    rss: float
    pss: float
    processes: int


class Running(Program):
    """A program with a number, to be weighed by."""

    @property
    def pid(self) -> int:
        return self._process.pid if self._process is not None else 0


def ours(module: str, arguments: list[str], name: str, folder: Path, settings: Mapping[str, str]) -> Running:
    """One of our own programs, with no other settings than these and what may be compared (`COMPARED`)."""
    environ = {key: value for key, value in os.environ.items() if not key.startswith("COFFEE_") or key in COMPARED}
    words = [*interpreter.command(module), *arguments]
    return Running(name, words, folder, {**environ, **interpreter.environ(), **settings})


def mosquitto(folder: Path, port: int) -> Running | None:
    """Mosquitto on this port; None where there is none."""
    path = shutil.which("mosquitto") or next((place for place in MOSQUITTO_PLACES if Path(place).exists()), None)
    if path is None:
        return None
    folder.chmod(0o777)  # started by root it becomes another user
    configuration = folder / "mosquitto.conf"
    configuration.write_text(_MOSQUITTO.format(port=port, folder=folder))
    return Running("mosquitto", [path, "-c", str(configuration)], folder, os.environ)


def weigh(pid: int) -> Weight | None:
    """None where the system does not tell (it does on Linux)."""
    family = _family(pid)
    rss = pss = 0.0
    for member in family:
        try:
            told = Path(f"/proc/{member}/smaps_rollup").read_text()
        except OSError:
            return None
        figures = {line.split(":")[0]: float(line.split()[1]) for line in told.splitlines()[1:]}
        rss, pss = rss + figures["Rss"] * 1024 / MIB, pss + figures["Pss"] * 1024 / MIB
    return Weight(round(rss, 1), round(pss, 1), len(family)) if family else None


def cpu_seconds(pid: int) -> float:
    """What a program and all its children, ended ones too, have used so far; 0 where the system does not tell."""
    ticks = 0
    for member in _family(pid):
        try:
            fields = Path(f"/proc/{member}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        ticks += sum(map(int, fields[11:15]))
    return ticks / os.sysconf("SC_CLK_TCK")


def bytes_written(pid: int) -> int:
    """What a program and its living children have had written to a disk so far; 0 where the system does not tell."""
    written = 0
    for member in _family(pid):
        try:
            told = Path(f"/proc/{member}/io").read_text()
        except OSError:
            continue
        written += sum(int(line.split()[1]) for line in told.splitlines() if line.startswith("write_bytes:"))
    return written


def _family(pid: int) -> list[int]:
    """The process and all it started, as far as they live."""
    if not Path(f"/proc/{pid}/stat").exists():
        return []
    children: list[int] = []
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        try:
            children += [int(child) for child in task.read_text().split()]
        except OSError:
            continue
    return [pid, *(member for child in children for member in _family(child))]
