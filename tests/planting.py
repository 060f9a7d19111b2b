"""`python -m tests.planting`: every planted bug against every suite of tests; the first test that fails has found it.

The bug is planted into a copy of the tree, by its sitecustomize: programs that tests start there have it, too.
"""

import argparse
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.simulation import planted_in_agent as agent
from tests.simulation import planted_in_cloud as cloud
from tests.simulation.planted import BUGS, Patches

ROOT = Path(__file__).parents[1]
LEFT_OUT = shutil.ignore_patterns(".git", ".venv", ".hypothesis", ".*_cache", "__pycache__")
NOTHING = "nothing planted"
CLOUD, AGENT = (cloud.__name__,), (agent.__name__,)
CHANGES_BOTH = (agent.hours_ahead_is_in_time, agent.word_forgotten, agent.empty_journal_knows)
PLANTING = """\
import os, traceback
try:
    from {module} import {name} as patches
    for one in patches(){how_many}:
        one.__enter__()
except BaseException:
    traceback.print_exc()
    os._exit(70)
"""
PYTEST = "-m pytest -n0 -x -rfE --tb=no --timeout=100 -o timeout_method=signal --hypothesis-profile=planting"
ON_SQLITE = "-k 'not postgres' -m 'not postgres'"
"""None of the bugs is in what the two databases do differently."""


@dataclass(frozen=True)
class Suite:
    """`of`: the modules whose bugs it is run against. `minutes`: what one run may take."""

    of: tuple[str, ...]
    words: str
    minutes: float = 10.0


_WHATEVER = "tests/cloud/money/test_whatever_happens.py"
_STRESS = ("tests/agent/test_every_switch.py", "tests/agent/test_kill_matrix.py", "tests/agent/test_fuzz.py")
_IGNORED = " ".join(f"--ignore={path}" for path in (_WHATEVER, *_STRESS))
_MONEY = "tests/cloud/orders tests/cloud/money tests/cloud/courier tests/cloud/payments"
SUITES = {
    "cloud": Suite(CLOUD, f"{_MONEY} {_IGNORED} {ON_SQLITE}", 25),
    "agent": Suite(AGENT, f"tests/agent {_IGNORED}", 25),
    "whatever happens": Suite(CLOUD, _WHATEVER),
    "whatever happens, long": Suite(CLOUD, f"{_WHATEVER} --long -k for_long", 40),
    "every switch": Suite(AGENT, _STRESS[0]),
    "kill matrix": Suite(AGENT, _STRESS[1]),
    "fuzz": Suite(AGENT, _STRESS[2]),
    "chaos": Suite(CLOUD + AGENT, "tests/chaos/test_campaign.py"),
}


@dataclass(frozen=True)
class Cell:
    """What a suite said of a bug: the test that failed and why, or "not found", or what kept it from saying either."""

    said: str
    is_found: bool
    seconds: float

    def __str__(self) -> str:
        return f"{self.said} ({self.seconds:.0f} s)"


def main() -> int:
    """1 when a suite fails with nothing planted."""
    parser = argparse.ArgumentParser(prog="tests.planting", description=__doc__)
    parser.add_argument("--suite", action="append", choices=SUITES, help="all unless named")
    parser.add_argument("--bug", action="append", choices=list(dict(bugs())), help="all unless named")
    parser.add_argument("--tests", nargs="+", default=[], help="these instead of suites")
    asked = parser.parse_args()
    suites = {"asked": Suite(CLOUD + AGENT, shlex.join(asked.tests))} if asked.tests else SUITES
    status = 0
    with a_copy() as tree:
        for bug, patches in bugs():
            for name, suite in suites.items():
                is_asked = name in (asked.suite or suites) and bug in (asked.bug or (bug,))
                if is_asked and concerns(patches, suite):
                    cell = run(tree, patches, suite)
                    status |= bug == NOTHING and cell.is_found
                    print(f"| {bug} | {name} | {cell} |", flush=True)
    return status


def bugs() -> Iterator[tuple[str, Patches]]:
    yield NOTHING, list
    yield from ((bug.name, bug.patches) for bug in BUGS)


def concerns(patches: Patches, suite: Suite) -> bool:
    return patches in (list, *CHANGES_BOTH) or patches.__module__ in suite.of


@contextmanager
def a_copy() -> Iterator[Path]:
    """Of the tree, with the same environment."""
    with TemporaryDirectory(prefix="coffee-planted-") as folder:
        tree = Path(folder) / "tree"
        shutil.copytree(ROOT, tree, ignore=LEFT_OUT)
        (tree / ".venv").symlink_to(ROOT / ".venv")
        yield tree


def run(tree: Path, patches: Patches, suite: Suite) -> Cell:
    """One suite with one bug, until the first failure."""
    plant(tree, patches)
    path = os.pathsep.join([str(tree), os.environ.get("PYTHONPATH", "")])
    began = time.monotonic()
    with subprocess.Popen(
        [sys.executable, *PYTEST.split(), *shlex.split(suite.words)],
        cwd=tree, env={**os.environ, "PYTHONPATH": path, "COLUMNS": "200"}, text=True, start_new_session=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    ) as tests:  # fmt: skip
        try:
            output, _ = tests.communicate(timeout=suite.minutes * 60)
        except subprocess.TimeoutExpired:
            with suppress(ProcessLookupError):
                os.killpg(tests.pid, signal.SIGKILL)
            output = f"no end within {suite.minutes:.0f} minutes"
    found = re.search(r"^(?:FAILED|ERROR) (.*)$", output, re.MULTILINE)
    said = found[1] if found else "not found" if tests.returncode == 0 else f"FAILED ITSELF: {output[-500:]}"
    return Cell(said, found is not None, time.monotonic() - began)


def plant(tree: Path, patches: Patches) -> None:
    """Into every Python program started with the tree on its path; of nothing, the import alone."""
    is_nothing = patches is list
    where = agent.no_deadline if is_nothing else patches
    text = PLANTING.format(module=where.__module__, name=where.__name__, how_many="[:0]" if is_nothing else "")
    (tree / "sitecustomize.py").write_text(text)


if __name__ == "__main__":
    sys.exit(main())
