"""Which Python the measured programs run on: the fastest build of our version on this machine. Its packages. And where
they write.

A build without profile-guided optimisation takes half as long again, and says nothing of what people deploy. Builds
do not all tell how they were made (Debian's is optimised and does not), so a fixed piece of work is timed.
"""

import atexit
import functools
import os
import re
import shutil
import statistics
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Mapping
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

CHOICE = "BENCH_PYTHON"
"""Names another one; of the same version, for it uses the packages of this environment."""
CLEARLY = 0.9
"""Ours is left only for one that needs less than this share of the time."""
_ROOT = Path(__file__).parents[1]
_KIND = "import sysconfig; print(sysconfig.get_config_var('SOABI'))"
_WORK = """\
import time
def work():
    found = {}
    for i in range(60000):
        found[i % 97] = str(i) + "x"
def once():
    began = time.process_time()
    work()
    return time.process_time() - began
print(min(once() for _ in range(60)) * 1000)
"""
_MEMORY = "/dev/shm"
_SYNCS = 50


@functools.cache
def chosen() -> str:
    """The program: what is asked for, else ours, unless the system has a clearly faster one of the same kind."""
    if asked := os.environ.get(CHOICE):
        return asked
    name = f"python{sys.version_info.major}.{sys.version_info.minor}"
    others = [place for folder in ("/usr/bin", "/usr/local/bin") if _is_same_kind(place := f"{folder}/{name}")]
    fastest = min((sys.executable, *others), key=work_ms)
    return fastest if work_ms(fastest) < CLEARLY * work_ms(sys.executable) else sys.executable


@functools.cache
def work_ms(program: str) -> float:
    """Milliseconds of processor for the fixed piece of work, at best."""
    said = subprocess.run([program, "-S", "-c", _WORK], capture_output=True, text=True, check=True).stdout
    return round(float(said), 2)


def command(module: str) -> list[str]:
    """How the chosen one runs a module, without what the system's packages would add (`-S`)."""
    return [chosen(), "-S", "-m", module]


def environ() -> Mapping[str, str]:
    """So that the chosen one finds our packages and ourselves, whatever folder it is started in."""
    return {"PYTHONPATH": os.pathsep.join([str(_ROOT), deployed_packages()])}


@functools.cache
def deployed_packages() -> str:
    """A folder of links to what a deployment installs (`requirements/runtime.txt`), and to nothing else.

    Libraries load what they find: Mako takes pytest's Pygments, requests takes Debian's chardet, 7 MiB in each program.
    """
    folder = Path(tempfile.mkdtemp(prefix="coffee-bench-packages-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    for name in re.findall(r"^([\w.-]+)==", (_ROOT / "requirements" / "runtime.txt").read_text(), re.MULTILINE):
        with suppress(PackageNotFoundError):  # of other systems
            found = distribution(name)
            for entry in {file.parts[0] for file in found.files or ()} - {"..", "__pycache__"}:
                (folder / entry).symlink_to(str(found.locate_file(entry)))
    return str(folder)


def told() -> str:
    """For the record."""
    program = chosen()
    version = subprocess.run([program, "-V"], capture_output=True, text=True, check=False).stdout.strip()
    if program == sys.executable:
        return f"{version} (this environment's own: {work_ms(program)} ms for a fixed piece of work)"
    ours = f"where this environment's own takes {work_ms(sys.executable)}"
    return f"{version} ({program}: {work_ms(program)} ms for a fixed piece of work, {ours})"


def use_memory() -> None:
    """Temporary files, databases and journals included, go to a disk in memory: syncing costs nothing there."""
    tempfile.tempdir = _MEMORY


def disk() -> str:
    """Where temporary files go, and what syncing one costs there."""
    folder = Path(tempfile.gettempdir())
    took = []
    with tempfile.NamedTemporaryFile(dir=folder) as file:
        for _ in range(_SYNCS):
            file.write(b"x" * 4096)
            file.flush()
            began = time.monotonic()
            os.fdatasync(file.fileno())
            took.append(1000 * (time.monotonic() - began))
    return f"files in {folder} ({_file_system(folder)}), fdatasync p50 {statistics.median(took):.2f} ms"


def _is_same_kind(program: str) -> bool:
    try:
        said = subprocess.run([program, "-c", _KIND], capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        return False
    return said.strip() == str(sysconfig.get_config_var("SOABI"))


def _file_system(folder: Path) -> str:
    try:
        mounts = [line.split() for line in Path("/proc/mounts").read_text().splitlines()]
    except OSError:
        return "unknown"
    place = folder.resolve()
    over = [mount for mount in mounts if place.is_relative_to(mount[1])]
    return max(over, key=lambda mount: len(mount[1]))[2] if over else "unknown"
