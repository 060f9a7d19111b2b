"""What a person at the machine has decided, handed to the running agent as files: only it may write the journal."""

import os
from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path

FOLDER = "decisions"


class Decision(StrEnum):
    """What only a person may decide."""

    RESUME_SELLING = "resume-selling"
    ACCEPT_LOSS = "accept-loss"


def leave(state_dir: Path, decision: Decision) -> Path:
    """Called by the command line; the agent takes the file away when it has acted. Raises `OSError`."""
    path = state_dir / FOLDER / decision
    path.parent.mkdir(parents=True, exist_ok=True)
    owner = state_dir.stat()
    if os.geteuid() == 0:  # the agent must be able to take it away
        os.chown(path.parent, owner.st_uid, owner.st_gid)
    path.touch()
    return path


def waiting(state_dir: Path) -> Iterator[tuple[Decision, Path]]:
    """Decisions not acted on yet; the caller unlinks each after its commit."""
    for decision in Decision:
        path = state_dir / FOLDER / decision
        if path.exists():
            yield decision, path
