"""Waiting in tests: for a condition, with a deadline; never for a length of time."""

import time
from collections.abc import Callable

PATIENCE_S = 30.0
"""Only a failing test waits so long; a machine busy with other things makes any condition late."""
SHORTEST_LOOK_S, LONGEST_LOOK_S = 0.002, 0.1
LATE = 0.03
"""Pauses between two looks grow with the wait, of which they are this share: looking takes processor time from what is
waited for.
"""


def wait_until(predicate: Callable[[], object], timeout: float = PATIENCE_S, what: str = "the condition") -> None:
    """Return once `predicate()` is true; fail the test, naming `what`, after `timeout` seconds."""
    began = time.monotonic()
    while not predicate():
        waited = time.monotonic() - began
        if waited > timeout:
            raise AssertionError(f"waited {timeout:g} s for {what}")
        time.sleep(min(max(waited * LATE, SHORTEST_LOOK_S), LONGEST_LOOK_S))
