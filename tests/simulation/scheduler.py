"""Virtual time: what happens when, to whom, in an order that only the seed decides. One thread, one thing at a time.

A task may sleep in the middle (a greenlet): so a call to the provider takes its time while everything else goes on.
"""

import heapq
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import TypeVar

from greenlet import getcurrent, greenlet  # type: ignore[import-untyped]  # ships no types

T = TypeVar("T")
BIRTH = datetime(2026, 5, 4, 8, 0, tzinfo=UTC)
"""True time when a world begins."""
MOST_AT_ONCE = 5_000
"""Things happening at one and the same instant: beyond it something spins."""


class Killed(BaseException):
    """This process ends here, as by kill -9."""


class NoAnswer(Exception):
    """Whoever was asked died, or was not there."""


class Spinning(Exception):
    """Time stands still: something wakes itself for ever."""


@dataclass(eq=False)
class Process:
    """Something that can die: what it was about to do dies with it. `skew`: seconds its wall clock is ahead."""

    name: str
    skew: float = 0.0
    alive: bool = True
    life: int = 0
    """Grows with each death: what an earlier life had planned is not done in this one."""
    paused_until: float = 0.0
    """Till then it stands still, as a stopped virtual machine does: what is due is done later, and it knows nothing."""
    at_death: Callable[[], None] = lambda: None
    """Closes what the operating system would close."""
    may_die: Callable[["Process", str], bool] = lambda _process, _where: False
    """Asked at each step and each commit: is this the moment?"""
    tasks: dict[greenlet, Callable[[], None]] = field(default_factory=dict)
    """Not finished yet, and what follows their end."""

    def __repr__(self) -> str:
        return self.name

    def die_here(self, where: str) -> None:
        """A moment at which it may be killed. Raises `Killed`."""
        if not self.alive or self.may_die(self, where):
            raise Killed(where)


class Scheduler:
    """`now` is true time, in seconds since the world's birth."""

    def __init__(self, on_death: Callable[[Process, str], None], after_each: Callable[[], None]) -> None:
        self.now = 0.0
        self.current: Process | None = None
        """Whose code runs."""
        self.steps = 0
        self._on_death = on_death
        self._after_each = after_each
        self._order = count()
        self._heap: list[tuple[float, int, int, Process | None, int, Callable[[], None]]] = []
        self._main = getcurrent()
        self._owners: dict[Process, None] = {}
        """Who ever had a task."""

    @property
    def true_time(self) -> datetime:
        return BIRTH + timedelta(seconds=self.now)

    def at(self, when: float, act: Callable[[], None], owner: Process | None = None, rank: int = 50) -> None:
        """Have it done; of what is due at the same instant the lower rank goes first."""
        life = 0 if owner is None else owner.life
        heapq.heappush(self._heap, (max(when, self.now), rank, next(self._order), owner, life, act))

    def after(self, seconds: float, act: Callable[[], None], owner: Process | None = None) -> None:
        self.at(self.now + seconds, act, owner)

    def spawn(
        self, owner: Process, act: Callable[[], None], after: float = 0.0, at_end: Callable[[], None] = lambda: None
    ) -> None:
        """Begin a task, which may `sleep`. `at_end` follows in any case, also when its process dies."""
        task = greenlet(act, self._main)
        owner.tasks[task] = at_end
        self._owners[owner] = None
        self.after(after, lambda: self._go_on(task, owner), owner)

    def sleep(self, seconds: float) -> None:
        """Only within a task: everything else goes on meanwhile."""
        task, owner = getcurrent(), self._owner()
        self.after(seconds, lambda: self._go_on(task, owner), owner)
        self._main.switch()

    def ask(self, whom: Process, act: Callable[[], T]) -> T:
        """Only within a task: have `act` done in another process and wait for what comes of it. Raises `NoAnswer`."""
        task, owner = getcurrent(), self._owner()
        answer: list[T] = []
        failure: list[Exception] = []

        def serve() -> None:
            try:
                answer.append(act())
            except Exception as error:  # noqa: BLE001  # handed to who asked
                failure.append(error)

        if not whom.alive:
            raise NoAnswer(whom.name)
        self.spawn(whom, serve, at_end=lambda: self.at(self.now, lambda: self._go_on(task, owner), owner))
        self._main.switch()
        if failure:
            raise failure[0]
        if not answer:
            raise NoAnswer(whom.name)
        return answer[0]

    def kill(self, process: Process, where: str) -> None:
        """From outside, at this instant."""
        if process.alive:
            self._bury(process, where)

    def end(self) -> None:
        """Nothing happens any more. A task left asleep could never be freed, nor the world it knows."""
        self._heap.clear()
        for owner in self._owners:
            owner.alive = False
            self._end_tasks(owner)
        self._heap.clear()

    def run(self, until: float, is_over: Callable[[], bool]) -> bool:
        """Let the world live. True when `is_over` said so, False when time ran out. Raises `Spinning`."""
        at_once = 0
        while self._heap and self._heap[0][0] <= until:
            when, rank, _, owner, life, act = heapq.heappop(self._heap)
            if owner is not None and owner.life == life and owner.paused_until > when:
                self.at(owner.paused_until, act, owner, rank)
                continue
            at_once = at_once + 1 if when == self.now else 0
            if at_once > MOST_AT_ONCE:
                raise Spinning(f"{owner} at {self.now:.3f}")
            self.now = when
            if owner is None or (owner.alive and owner.life == life):
                self._do(owner, act)
                if is_over():
                    return True
        self.now = until
        return is_over()

    def _do(self, owner: Process | None, act: Callable[[], None]) -> None:
        self.steps += 1
        self.current = owner
        try:
            if owner is not None:
                owner.die_here("between two steps")
            act()
        except Killed as killed:
            if owner is not None and owner.alive:
                self._bury(owner, str(killed))
        finally:
            self.current = None
        self._after_each()

    def _go_on(self, task: greenlet, owner: Process) -> None:
        if task.dead:
            return
        try:
            task.switch()
        finally:
            if task.dead and task in owner.tasks:
                owner.tasks.pop(task)()

    def _owner(self) -> Process:
        if self.current is None or getcurrent() is self._main:
            raise RuntimeError("only a task of a process can wait")
        return self.current

    def _bury(self, process: Process, where: str) -> None:
        process.alive = False
        self._on_death(process, where)
        self._end_tasks(process)
        process.at_death()
        process.life += 1
        process.paused_until = 0.0

    def _end_tasks(self, process: Process) -> None:
        tasks, process.tasks = process.tasks, {}
        for task, at_end in tasks.items():
            if task is not getcurrent() and not task.dead:
                with suppress(Killed):
                    task.throw(Killed("its process died"))
            at_end()
