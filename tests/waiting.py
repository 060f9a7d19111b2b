"""Waiting in tests: for a condition, with a deadline; never for a length of time."""

import time
from collections.abc import Callable

PATIENCE_S = 30.0
"""Only a failing test waits so long; a machine busy with other things makes any condition late."""
SHORTEST_LOOK_S, LONGEST_LOOK_S = 0.002, 0.02
"""Pauses between two looks grow: looking takes processor time from what is waited for."""


def wait_until(predicate: Callable[[], object], timeout: float = PATIENCE_S, what: str = "the condition") -> None:
    """Return once `predicate()` is true; fail the test, naming `what`, after `timeout` seconds."""
    deadline = time.monotonic() + timeout
    pause = SHORTEST_LOOK_S
    while not predicate():
        if time.monotonic() > deadline:
            raise AssertionError(f"waited {timeout:g} s for {what}")
        time.sleep(pause)
        pause = min(pause * 1.3, LONGEST_LOOK_S)
