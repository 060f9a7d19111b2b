"""What the agent says of itself to programs beside it, in a file: kept in memory where systemd gives a folder there.

Written when it has changed, else only touched: by its age a reader tells an agent that is stuck.
"""

import json
import logging
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

NAME = "status.json"
EVERY_S, ON_CARD_EVERY_S = 10.0, 300.0
"""How often it is touched; a card is spared."""
BURST = 6
"""Changes written as they come; then one in `EVERY_S`: a flapping line must not wear the card out."""
LATE = 3
"""So many times without a touch, and the agent is stuck, or cannot write."""
log = logging.getLogger(__name__)


class StatusFile:
    """In `RUNTIME_DIRECTORY`, with a link to it beside the journal; without one, beside the journal itself."""

    def __init__(self, state_dir: Path, env: Mapping[str, str]) -> None:
        runtime = env.get("RUNTIME_DIRECTORY", "").partition(":")[0]
        self._path = Path(runtime or state_dir) / NAME
        self._link = state_dir / NAME
        self._every = EVERY_S if runtime else ON_CARD_EVERY_S
        self._said: dict[str, Any] | None = None
        self._touched = 0.0
        self._left, self._refilled = float(BURST), 0.0

    def write_if_changed(self, said: Mapping[str, Any], at: str, now: float) -> None:
        """`at` for people; `now` in steady seconds."""
        fresh = dict(said)
        try:
            if fresh != self._said:
                if not self._take_turn(fresh, now):
                    return
                self._write(fresh | {"at": at, "fresh_for_s": LATE * self._every})
            elif now - self._touched < self._every:
                return
            else:
                os.utime(self._path)
        except OSError as error:
            log.warning("cannot write %s: %s", self._path, error)
            fresh = {}
        self._said, self._touched = fresh, now

    def _take_turn(self, fresh: Mapping[str, Any], now: float) -> bool:
        """A start and an end always; other changes as far as the card is spared."""
        self._left = min(BURST, self._left + (now - self._refilled) / EVERY_S)
        self._refilled = now
        is_turn = self._said is None or self._said.get("running", True) != fresh.get("running", True)
        if self._left < 1 and not is_turn:
            return False
        self._left = max(0.0, self._left - 1)
        return True

    def _write(self, whole: Mapping[str, Any]) -> None:
        fresh = self._path.with_suffix(".new")
        fresh.write_text(json.dumps(whole, indent=1))
        fresh.replace(self._path)
        if self._path != self._link and not self._is_linked():
            link = self._link.with_suffix(".new")
            link.unlink(missing_ok=True)
            link.symlink_to(self._path)
            link.replace(self._link)

    def _is_linked(self) -> bool:
        return self._link.is_symlink() and self._link.readlink() == self._path
