"""A card that the system makes read-only after an error: an ext4 of our own, where this machine lets us mount one."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.real_parts import missing

MISSING = "a failing card: missing (run as root, where an ext4 of one's own may be mounted)"


class FailingCard:
    """`folder` is on it; from `fail()` on nothing can be written there."""

    def __init__(self, folder: Path, error: Path) -> None:
        self.folder = folder
        self._error = error

    def fail(self) -> None:
        self._error.write_text("the card is worn out")


@contextmanager
def a_failing_card(folder: Path) -> Iterator[FailingCard]:
    """Mounted for the length of the block; the test is skipped by name where that is not allowed."""
    folder.mkdir()
    image = folder.with_suffix(".img")
    with image.open("wb") as file:
        file.truncate(32 * 2**20)
    if not (_runs("mkfs.ext4", "-q", "-F", image) and _runs("mount", "-o", "loop,errors=remount-ro", image, folder)):
        missing(MISSING)
    try:
        told = subprocess.run(
            ["findmnt", "-no", "SOURCE", folder], capture_output=True, text=True, check=True
        ).stdout.strip()
        yield FailingCard(folder, Path("/sys/fs/ext4") / Path(told).name / "trigger_fs_error")
    finally:
        subprocess.run(["umount", folder], check=True)


def _runs(*command: str | Path) -> bool:
    try:
        return subprocess.run(command, capture_output=True, check=False).returncode == 0
    except OSError:
        return False
