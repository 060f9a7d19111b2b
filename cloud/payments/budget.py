"""Which calls one shop gets now: its budget by priority, and its share of the threads that call. Pure in `now`.

A piece of work (a payment to ask about, a call to send) is admitted once; each HTTP call it then makes is counted. So
our own limit holds work back before it is begun and never fails it. Per process: two of them call twice as often.
"""

from dataclasses import dataclass
from enum import IntEnum

from cloud.payments.rate import CircuitBreaker, TokenBucket

SHOP_SLOTS = 3
"""Pieces of work under way at one shop at once: a slow one leaves the other threads to the others."""
MOST_SLOTS, ANSWERS_IN_S = 30, 0.5
"""A shop that may be called more often has as many slots as that takes, up to this."""
SLOW_S = 1.0
"""Work that takes longer than this makes a shop slow."""
LONGEST_REST_S = 30.0
LOOK_AGAIN_S = 1.0
"""When nothing tells when a slot becomes free; a freed slot wakes the refused callers."""
SHORTEST_WAIT_S = 0.001
GROWN_OLD_S = 30.0
"""Money that waited so long to be taken or returned competes with the first."""
RATE, CIRCUIT, BUSY, SLOW = "own rate limit", "circuit open", "all slots taken", "a slow shop rests"
ENDING = "this process ends"


class Priority(IntEnum):
    """Which call goes first. A buyer has at most a few notifications for each payment opened: they cannot starve the
    opening of payments, while the reverse could. From POLL on nobody waits: these share what the others leave.
    """

    NOTIFICATION = 0
    CREATE = 1
    CAPTURE = 2
    RETURN = 3
    POLL = 4
    RECEIPT = 5
    UNPLACED = 6
    RECONCILE = 7

    @property
    def is_idle(self) -> bool:
        """Nobody waits for it."""
        return self >= Priority.POLL


_KEPT_BACK = {
    Priority.NOTIFICATION: 0.0, Priority.CREATE: 0.1, Priority.CAPTURE: 0.2, Priority.RETURN: 0.3, Priority.POLL: 0.7,
    Priority.RECEIPT: 0.8, Priority.UNPLACED: 0.8, Priority.RECONCILE: 0.8,
}  # fmt: skip
"""The part of the burst that each leaves untouched for those before it."""
_APART = {Priority.RECEIPT: 0.2, Priority.UNPLACED: 0.2, Priority.RECONCILE: 0.4}
"""What never gets more than this part of the rate, and one slot, however idle the shop: anybody can forge a
notification, and lists are long.
"""


@dataclass(frozen=True)
class HeldBack:
    """Why it may not begin now, and when to try."""

    why: str
    wait_s: float

    def __post_init__(self) -> None:
        """A sum of moments ends a hair before the whole: a caller told to wait for a hair would ask for ever."""
        object.__setattr__(self, "wait_s", max(self.wait_s, SHORTEST_WAIT_S))


@dataclass(frozen=True)
class Ticket:
    """A piece of work under way."""

    number: int
    priority: Priority
    began: float


class ShopBudget:
    """The calls to one shop."""

    def __init__(self, bucket: TokenBucket | None = None, breaker: CircuitBreaker | None = None) -> None:
        self._bucket = bucket or TokenBucket()
        self._breaker = breaker or CircuitBreaker()
        rate, burst = self._bucket.per_second, self._bucket.burst
        self._apart = {one: TokenBucket(rate * part, max(1.0, burst * part)) for one, part in _APART.items()}
        self._slots = max(SHOP_SLOTS, min(int(rate * ANSWERS_IN_S), MOST_SLOTS))
        self._under_way: dict[int, Ticket] = {}
        self._admitted = 0
        self._prepaid = 0
        """Calls counted when their work was admitted, and not yet made."""
        self._last_took_s = 0.0
        self._rests_until = float("-inf")

    def admit(self, priority: Priority, now: float, waited_s: float = 0.0) -> Ticket | HeldBack:
        """Let a piece of work begin, its first call counted; `end` it. `waited_s`: how long it has been due."""
        if held_back := self._why_not(priority, now):
            return held_back
        if wait := self._bucket.take(now, self._kept_back_from(priority, waited_s)):
            return HeldBack(RATE, wait)
        if priority in _APART:
            self._apart[priority].take(now)
        self._admitted += 1
        self._prepaid += 1
        ticket = self._under_way[self._admitted] = Ticket(self._admitted, priority, now)
        return ticket

    def end(self, ticket: Ticket, now: float, *, begun: bool = True) -> None:
        """The work is over. Not `begun`: there was nothing to do after all."""
        self._under_way.pop(ticket.number, None)
        if not begun:
            self._bucket.give_back()
            self._prepaid -= 1
            return
        self._prepaid = min(self._prepaid, len(self._under_way))
        self._last_took_s = took = now - ticket.began
        if ticket.priority.is_idle and took > SLOW_S:
            self._rests_until = max(self._rests_until, now + min(took, LONGEST_REST_S))

    def call(self, now: float) -> HeldBack | None:
        """Count one HTTP call. It is refused while the provider is silent or asked for silence.

        What a piece of work under way calls beyond its first goes at once and is missing afterwards.
        """
        if wait := self._breaker.wait(now):
            return HeldBack(CIRCUIT, wait)
        kept_back = -self._bucket.burst if self._under_way else 0.0
        if wait := self._bucket.wait(now, float("-inf") if self._prepaid else kept_back):
            return HeldBack(RATE, wait)
        if self._prepaid:
            self._prepaid -= 1
        else:
            self._bucket.take(now, kept_back)
        self._breaker.try_pass(now)
        return None

    def answered(self, now: float, pause_s: float = 0.0) -> None:
        """The provider spoke; `pause_s` is the silence it asked for."""
        self._breaker.answered()
        if pause_s > 0:
            self._bucket.pause(now, pause_s)

    def failed(self, now: float) -> None:
        """The call got no usable answer for a reason on the provider's or the network's side."""
        self._breaker.failed(now)

    def is_slow(self, now: float) -> bool:
        """Its work takes long now, or took long last."""
        return self._last_took_s > SLOW_S or any(now - one.began > SLOW_S for one in self._under_way.values())

    def _why_not(self, priority: Priority, now: float) -> HeldBack | None:
        under_way = self._under_way.values()
        if wait := self._breaker.wait(now):
            return HeldBack(CIRCUIT, wait)
        if self._breaker.is_open and under_way:
            return HeldBack(CIRCUIT, LOOK_AGAIN_S)  # one probe at a time
        idle = sum(one.priority.is_idle for one in under_way)
        # One slot is not for what nobody waits for: a buyer who has paid finds it free.
        if len(under_way) >= self._slots or (priority.is_idle and idle >= self._slots - 1):
            return HeldBack(BUSY, LOOK_AGAIN_S)
        if priority.is_idle and now < self._rests_until:
            return HeldBack(SLOW, self._rests_until - now)
        if priority not in _APART:
            return None
        if any(one.priority is priority for one in under_way):
            return HeldBack(BUSY, LOOK_AGAIN_S)
        wait = self._apart[priority].wait(now)
        return HeldBack(RATE, wait) if wait else None

    def _kept_back_from(self, priority: Priority, waited_s: float) -> float:
        has_grown_old = waited_s > GROWN_OLD_S and not priority.is_idle
        burst = self._bucket.burst
        return 0.0 if has_grown_old else min(_KEPT_BACK[priority] * burst, burst - 1.0)
