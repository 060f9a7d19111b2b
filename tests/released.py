"""The released tree named in `tests/system/released.txt`, out of the repository's history."""

import os
import subprocess
import sys
from pathlib import Path

from tests.real_parts import missing

ROOT = Path(__file__).parents[1]
RELEASED = (ROOT / "tests" / "system" / "released.txt").read_text().strip()


def unpacked(tree: Path) -> Path:
    """The released programs in this folder; a clone whose history lacks them skips the test by name."""
    packed = subprocess.run(
        ["git", "archive", RELEASED, "agent", "cloud", "protocol"], cwd=ROOT, capture_output=True, check=False
    )
    if packed.returncode != 0:
        missing(f"the released tree {RELEASED[:12]}: not in this clone's history (git fetch --unshallow)")
    subprocess.run(["tar", "-x", "-C", tree], input=packed.stdout, check=True)
    return tree


def run(tree: Path, program: str, *words: str) -> str:
    """What a Python program of that tree says; one that fails fails the test."""
    done = subprocess.run(
        [sys.executable, "-c", program, *words], env=os.environ | {"PYTHONPATH": str(tree)}, cwd=tree,
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout
