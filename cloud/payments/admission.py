"""Lets work at providers begin: each shop by its budget, all of them within the threads there are.

No shop, and not all slow shops together, can take the threads that the others need. Safe from any thread.
"""

import threading
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial

from cloud.background.loops import ThreadPool
from cloud.payments.budget import BUSY, ENDING, LOOK_AGAIN_S, HeldBack, Priority, ShopBudget, Ticket

SLOTS = 64
"""Pieces of work under way at once in one process; each may take its 35 s."""

LOOK_OFTEN_S = 0.1
"""How often a caller that waits in its own thread asks again."""

Store = Callable[[], None]
"""Writes down what a shop has answered."""
Work = Callable[[], Store | None]
"""Calls a shop. What it returns is done when its slot is free again: a commit is no work of the shop's."""

_ENDING = HeldBack(ENDING, LOOK_AGAIN_S)
"""What is not begun here is due at once for other processes, and for the next one here."""


class Gate:
    """One shop's budget and clock under one lock, for the threads that share its client."""

    def __init__(self, budget: ShopBudget, clock: Callable[[], float] = time.monotonic) -> None:
        self._budget = budget
        self._clock = clock
        self._lock = threading.Lock()
        self._is_closed = False

    def close(self) -> None:
        """Let nothing more begin, also what work under way would ask next: this process ends."""
        self._is_closed = True

    def admit(self, priority: Priority, waited_s: float = 0.0) -> Ticket | HeldBack:
        """See `ShopBudget.admit`. Use `Admission`, which also counts threads."""
        with self._lock:
            if self._is_closed:
                return _ENDING
            return self._budget.admit(priority, self._clock(), waited_s)

    def end(self, ticket: Ticket, *, begun: bool) -> None:
        """See `ShopBudget.end`."""
        with self._lock:
            self._budget.end(ticket, self._clock(), begun=begun)

    def call(self) -> HeldBack | None:
        """None when the call may go; it must then be reported by `answered` or `failed`."""
        with self._lock:
            if self._is_closed:
                return _ENDING
            return self._budget.call(self._clock())

    def answered(self, pause_s: float = 0.0) -> None:
        """See `ShopBudget.answered`."""
        with self._lock:
            self._budget.answered(self._clock(), pause_s)

    def failed(self) -> None:
        """See `ShopBudget.failed`."""
        with self._lock:
            self._budget.failed(self._clock())

    @property
    def is_slow(self) -> bool:
        """See `ShopBudget.is_slow`."""
        with self._lock:
            return self._budget.is_slow(self._clock())


@dataclass(frozen=True, eq=False)
class Permit:
    """Leave to begin one piece of work. `end` it, however it went."""

    gate: Gate
    ticket: Ticket
    is_slow: bool
    """Whether it counts against what all slow shops may take."""


class Admission:
    """One per process. `freed` is called when a slot becomes free after somebody was refused one."""

    def __init__(self, slots: int = SLOTS) -> None:
        self.freed: Callable[[], None] = lambda: None
        self.pause: Callable[[float], None] = time.sleep
        self._slots = slots
        self._lock = threading.Lock()
        self._permits: set[Permit] = set()
        self._was_refused = False

    def admit(self, gate: Gate, priority: Priority, waited_s: float = 0.0) -> Permit | HeldBack:
        """Leave to begin one piece of work at this shop, or when to ask again."""
        with self._lock:
            is_slow = gate.is_slow
            is_full = self._is_full(priority, is_slow)
            told = HeldBack(BUSY, LOOK_AGAIN_S) if is_full else gate.admit(priority, waited_s)
            if isinstance(told, HeldBack):
                self._was_refused = True
                return told
            permit = Permit(gate, told, is_slow)
            self._permits.add(permit)
            return permit

    def admit_within(self, gate: Gate, priority: Priority, patience_s: float) -> Permit | HeldBack:
        """Wait for leave, if it can come so soon: for a caller that works in its own thread."""
        waited_s = 0.0
        while isinstance(told := self.admit(gate, priority, waited_s), HeldBack):
            too_long = told.why != BUSY and told.wait_s > patience_s - waited_s
            if told.why == ENDING or too_long or waited_s >= patience_s:
                break
            pause_s = min(told.wait_s, LOOK_OFTEN_S)
            self.pause(pause_s)
            waited_s += pause_s
        return told

    def end(self, permit: Permit, *, begun: bool = True) -> None:
        """The work is over, or was not begun."""
        permit.gate.end(permit.ticket, begun=begun)
        with self._lock:
            self._permits.discard(permit)
            was_refused, self._was_refused = self._was_refused, False
        if was_refused:
            self.freed()

    def _is_full(self, priority: Priority, is_slow: bool) -> bool:
        """Half of the slots are not for idle work, and half not for slow shops."""
        half = self._slots // 2
        return (
            len(self._permits) >= self._slots
            or (priority.is_idle and sum(one.ticket.priority.is_idle for one in self._permits) >= half)
            or (is_slow and sum(one.is_slow for one in self._permits) >= half)
        )


@dataclass(frozen=True)
class Waiting:
    """Work that is due at one shop: how much of it, since when, and what makes it one kind."""

    merchant_id: str
    scenario: str
    account_id: str
    priority: Priority
    count: int
    since: datetime
    kind: str = ""


class Launcher:
    """Begins due work as it is admitted, in threads of `pool`. `gate_of` is None for a shop that nobody can call."""

    def __init__(self, admission: Admission, gate_of: Callable[[Waiting], Gate | None], pool: ThreadPool) -> None:
        self._admission = admission
        self._gate_of = gate_of
        self._pool = pool

    def begin(
        self, waiting: Iterable[Waiting], now: datetime, take: Callable[[Waiting, int], Sequence[Work]]
    ) -> datetime | None:
        """Begin what may begin: `take` claims so much of a kind. When to look again; None when nothing was held back.

        Only what may begin is claimed: the rest stays due, for other processes too, and grows no back-off.
        """
        again: list[datetime] = []
        for group in sorted(waiting, key=lambda one: (one.priority, one.since)):
            wait_s = self._begin(group, now, take)
            if wait_s is not None:
                again.append(now + timedelta(seconds=wait_s))
        return min(again, default=None)

    def _begin(self, group: Waiting, now: datetime, take: Callable[[Waiting, int], Sequence[Work]]) -> float | None:
        room = min(group.count, self._pool.free)
        gate = self._gate_of(group)
        if gate is None:  # the worker that takes it says why
            for work in take(group, room):
                self.submit(None, work)
            return None
        permits: list[Permit] = []
        told: Permit | HeldBack | None = None
        while len(permits) < room:
            told = self._admission.admit(gate, group.priority, (now - group.since).total_seconds())
            if isinstance(told, HeldBack):
                break
            permits.append(told)
        works: Sequence[Work] = ()
        try:
            works = take(group, len(permits)) if permits else ()
        finally:  # also when the database is away: a permit kept would close the shop for good
            for permit in permits[len(works) :]:
                self._admission.end(permit, begun=False)
        for permit, work in zip(permits, works, strict=False):
            self.submit(permit, work)
        if isinstance(told, HeldBack):
            return told.wait_s
        if room < group.count:  # for want of threads
            return 0.0 if self._pool.free > 0 else LOOK_AGAIN_S
        return None

    def submit(self, permit: Permit | None, work: Work) -> None:
        """Do one piece of work under its permit, if it needs one."""
        self._pool.submit(partial(self._do, permit, work))

    def _do(self, permit: Permit | None, work: Work) -> None:
        try:
            store = work()
        finally:
            if permit is not None:
                self._admission.end(permit)
        if store is not None:
            store()
