"""The last frames on the line, kept in memory and written to a file beside an outcome nobody knows."""

import re
from collections import deque
from datetime import datetime
from pathlib import Path

KEEP_FRAMES = 500
KEEP_DUMPS = 20
"""Files; the oldest goes first, so that a bad night does not fill the disk."""


class Recorder:
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
        path = self._folder / f"{now.strftime('%Y%m%dT%H%M%S')}-{safe}.txt"
        lines = [f"{at:.3f} {direction} {data.hex()}\n" for at, direction, data in list(self._ring)]
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            path.write_text("".join(lines))
            for old in sorted(self._folder.glob("*.txt"))[:-KEEP_DUMPS]:
                old.unlink(missing_ok=True)
        except OSError:
            return None
        return path
