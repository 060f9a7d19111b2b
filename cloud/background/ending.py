"""The request to end this process: what is done at once on it, and what the process waits for before it ends."""

import threading
from collections.abc import Callable


class Ending:
    """One per process; any thread, but no signal handler: it takes a lock."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._at_once: list[Callable[[], None]] = []
        self._waits: list[Callable[[], None]] = []
        self._is_begun = False

    @property
    def is_begun(self) -> bool:
        """Whether it has been asked to."""
        return self._is_begun

    def at_once(self, act: Callable[[], None]) -> None:
        """Have this done when the process is asked to end; now, if it has been."""
        with self._lock:
            if not self._is_begun:
                self._at_once.append(act)
                return
        act()

    def waits_for(self, wait: Callable[[], None]) -> None:
        """Have this waited for before the process ends."""
        with self._lock:
            self._waits.append(wait)

    def begin(self) -> None:
        """The process is asked to end. Asked again, nothing more happens."""
        with self._lock:
            self._is_begun = True
            acts, self._at_once = self._at_once, []
        for act in acts:
            act()

    def finish(self) -> None:
        """Wait for all that is to be waited for."""
        self.begin()
        with self._lock:
            waits, self._waits = self._waits, []
        for wait in waits:
            wait()
