"""The outermost layer of the worker: threads that call `step(now)` and sleep until its next wake, or until woken.

No rule lives here. A step that raises is logged and tried again after a pause: a loop never dies quietly.
"""

import logging
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from typing import Protocol

from sqlalchemy.exc import DBAPIError

from cloud.background.absence import Absence
from cloud.database.clock import utc_now
from cloud.database.postgresql import is_away, is_locked
from cloud.database.wakeup import Waiter, Wakeups

__all__ = ["Clock", "Loop", "Steps", "ThreadPool", "utc_now"]

log = logging.getLogger("cloud.background.loops")

AFTER_ERROR_S = 1.0
CLOCK_LOOK_S = 30.0
"""How often a program that goes by the clock looks whether somebody has set it."""

_absence = Absence()
"""Of the database, as all loops of this process see it."""

Clock = Callable[[], datetime]


class Steps(Protocol):
    """Anything that can be stepped."""

    def step(self, now: datetime) -> datetime:
        """Do what is due; when to be stepped again."""


class Loop:
    """One thread stepping one thing: whenever `topic` is woken, and as often as a lost wake-up may cost.

    Without a topic nobody wakes it: it is stepped when its time comes and not before, and costs nothing meanwhile.
    """

    def __init__(self, name: str, steps: Steps, wakeups: Wakeups, topic: str | None, clock: Clock = utc_now) -> None:
        self.name = name
        self._steps = steps
        self._clock = clock
        self._wakeups = wakeups
        self._goes_by_clock = topic is None
        self._waiter = Waiter(wakeups, "") if topic is None else wakeups.waiter(topic)
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        """Begin stepping."""
        self._thread.start()

    def wake(self) -> None:
        """Have it step now."""
        self._waiter.wake()

    def stop(self) -> None:
        """Ask it to end after the step it is in."""
        self._stopping.set()
        self._waiter.wake()

    def join(self, timeout: float) -> None:
        """Wait for its end."""
        self._thread.join(timeout)
        self._waiter.close()

    @property
    def alive(self) -> bool:
        """Whether the thread runs."""
        return self._thread.is_alive()

    def _run(self) -> None:
        try:
            self._step_on()
        finally:
            _absence.ends(self)

    def _step_on(self) -> None:
        while not self._stopping.is_set():
            try:
                began = self._clock()
                wake_at = self._steps.step(began)
                _absence.answers(self)
                pause = (wake_at - self._clock()).total_seconds()
                if self._goes_by_clock:
                    self._wait_until(wake_at, began)
                    continue
            except DBAPIError as error:
                self._tell(error)
                pause = AFTER_ERROR_S
            except Exception:  # the loop must outlive any one step; what failed stays due in the database
                log.exception("%s: a step failed", self.name)
                pause = AFTER_ERROR_S
            self._waiter.wait(min(max(pause, 0.0), self._wakeups.longest_sleep_s))  # polling is the truth

    def _tell(self, error: DBAPIError) -> None:
        if is_locked(error):
            log.error("%s: somebody else holds what it needs", self.name)
        elif is_away(error):
            _absence.fails(self, self.name, type(error.orig).__name__, self._clock())
        else:
            log.error("%s: a step failed", self.name, exc_info=error)

    def _wait_until(self, wake_at: datetime, began: datetime) -> None:
        """A clock that was set back by more than the step took ends the wait."""
        while not self._stopping.is_set() and began <= (now := self._clock()) < wake_at:
            self._waiter.wait(min((wake_at - now).total_seconds(), CLOCK_LOOK_S))


class PoolClosed(Exception):
    """Its threads take nothing more: this process ends."""


class ThreadPool:
    """Threads for blocking calls, `size` slots at most. `size` 0 does everything in the caller's thread, in order.

    `freed` is called when a slot becomes free after all were busy: before, nobody had to wait for one.
    """

    def __init__(self, name: str, size: int, freed: Callable[[], None] = lambda: None) -> None:
        self._pool = ThreadPoolExecutor(size, thread_name_prefix=name) if size else None
        self.is_apart = size > 0
        """Whether the work is done in threads of its own."""
        self._name = name
        self._freed = freed
        self._lock = threading.Lock()
        self._is_closed = False
        self.size = size or 1
        self._busy = 0

    @property
    def free(self) -> int:
        """Slots with nothing to do."""
        with self._lock:
            return self.size - self._busy

    def submit(self, work: Callable[[], None]) -> None:
        """Have it done; what it raises is logged here and nowhere else. Raises `PoolClosed`."""
        with self._lock:
            if self._is_closed:
                raise PoolClosed(self._name)
            self._busy += 1
            if self._pool is not None:
                self._pool.submit(self._run, work)
                return
        self._run(work)

    def close(self) -> None:
        """Let the threads finish what they were given; they take nothing more."""
        if self._pool is None:
            return
        with self._lock:
            self._is_closed = True
        self._pool.shutdown(wait=True)

    def _run(self, work: Callable[[], None]) -> None:
        try:
            work()
        except Exception:  # its lease ends by itself and somebody tries again
            log.exception("%s: a piece of work failed", self._name)
        finally:
            with self._lock:
                all_busy = self._busy == self.size
                self._busy -= 1
            if all_busy:
                self._freed()
