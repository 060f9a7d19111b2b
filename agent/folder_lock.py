"""One agent a state folder: its journal allows one writer, its port one owner."""

import fcntl
from pathlib import Path
from typing import IO

LOCK_FILE = "agent.lock"


class AlreadyRunning(Exception):
    """Another agent holds this state folder."""


def acquire(state_dir: Path) -> IO[str]:
    """Hold the folder until the returned file is closed. Raises `AlreadyRunning`."""
    state_dir.mkdir(parents=True, exist_ok=True)
    held = (state_dir / LOCK_FILE).open("w")
    try:
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        held.close()
        raise AlreadyRunning(f"another agent already uses {state_dir}") from error
    return held


def is_running(state_dir: Path) -> bool:
    """Say whether an agent holds this state folder right now."""
    try:
        with (state_dir / LOCK_FILE).open() as probe:
            fcntl.flock(probe, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError:
        return True
    return False
