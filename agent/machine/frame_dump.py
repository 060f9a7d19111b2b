"""The last frames on the line, kept in memory and written to a file beside an outcome nobody knows."""

import re
from collections import deque
from datetime import datetime
from pathlib import Path

KEEP_FRAMES = 500
KEEP_DUMPS = 20
"""Files; the oldest goes first, so that a bad night does not fill the disk."""


class FrameDump:
    """A ring of frames; deque appends are atomic, so reader and worker may both write."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._ring: deque[tuple[float, str, bytes]] = deque(maxlen=KEEP_FRAMES)

    def saw(self, monotonic: float, direction: str, data: bytes) -> None:
        """`direction` is `>` to the machine or `<` from it."""
        self._ring.append((monotonic, direction, data))

    def dump(self, name: str, now: datetime) -> Path | None:
        """Write the ring beside the journal; None when the disk refuses, which must not disturb the outcome."""
        safe = re.sub(r"[^A-Za-z0-9_-]", "_", name)[:80]
        kept = self._kept()
        number = 1 + max((_number(path) for path in kept), default=0)
        path = self._folder / f"{number:06}-{now.strftime('%Y%m%dT%H%M%S')}-{safe}.txt"
        lines = [f"{at:.3f} {direction} {data.hex()}\n" for at, direction, data in list(self._ring)]
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            path.write_text("".join(lines))
            for old in self._kept()[:-KEEP_DUMPS]:
                old.unlink(missing_ok=True)
        except OSError:
            return None
        return path

    def _kept(self) -> list[Path]:
        """Oldest first: by their numbers, for the date in a name may be wrong."""
        return sorted(self._folder.glob("*.txt"), key=lambda path: (_number(path), path.name))


def _number(path: Path) -> int:
    """0 for a file of an older agent, named by its date alone."""
    number = re.match(r"(\d{6,})-", path.name)
    return int(number[1]) if number else 0
