"""A disk of a few megabytes that can really be full: a tmpfs, where this machine lets us mount one."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.real_parts import missing

MISSING = "a small disk: missing (run as root, where a tmpfs may be mounted)"


class SmallDisk:
    """`folder` is on it; `fill()` leaves not one byte, `make_room()` takes that back."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._filler = folder / "somebody-elses.log"

    def fill(self, leave: int = 0) -> None:
        with self._filler.open("ab") as filler:
            for size in (65536, 4096, 1):
                while self.free() - size >= leave and self._write(filler.fileno(), size):
                    pass

    def make_room(self) -> None:
        self._filler.unlink()

    def free(self) -> int:
        told = os.statvfs(self.folder)
        return told.f_bavail * told.f_frsize

    @staticmethod
    def _write(number: int, size: int) -> bool:
        try:
            return os.write(number, b"x" * size) == size
        except OSError:
            return False


@contextmanager
def a_small_disk(folder: Path, mebibytes: int) -> Iterator[SmallDisk]:
    """Mounted for the length of the block; the test is skipped by name where that is not allowed."""
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={mebibytes}m", "tmpfs", folder], capture_output=True, check=False
    )
    if mounted.returncode != 0:
        missing(MISSING)
    try:
        yield SmallDisk(folder)
    finally:
        subprocess.run(["umount", folder], check=True)
