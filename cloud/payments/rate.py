"""How often, and whether at all, a provider is asked for one shop: token bucket and circuit breaker, pure in `now`.

Per process and per shop: two worker processes ask twice as often. Holds no requests and starts no threads.
"""

import threading
from collections.abc import Callable
from dataclasses import dataclass

LONGEST_PAUSE_S = 60.0
"""A provider's `retry_after` silences a shop no longer than this; buyers are waiting."""


class TokenBucket:
    """At most `burst` calls at once and `per_second` for long. No limit is published; 5/s is modest."""

    def __init__(self, per_second: float = 5.0, burst: float = 10.0) -> None:
        if per_second <= 0 or burst < 1:
            raise ValueError("a bucket needs a positive rate and room for one call")
        self._per_second = per_second
        self._burst = burst
        self._tokens = burst
        self._seen: float | None = None
        self._paused_until = float("-inf")

    def take(self, now: float) -> float:
        """0.0 when the call may go now (and it is counted), else the seconds until it is worth asking again."""
        if now < self._paused_until:
            return self._paused_until - now
        if self._seen is not None:
            gained = max(0.0, now - self._seen) * self._per_second
            self._tokens = min(self._burst, self._tokens + gained)
        self._seen = now
        if self._tokens < 1.0:
            return (1.0 - self._tokens) / self._per_second
        self._tokens -= 1.0
        return 0.0

    def pause(self, now: float, seconds: float) -> None:
        """The provider asked for silence."""
        self._paused_until = max(self._paused_until, now + min(seconds, LONGEST_PAUSE_S))


class CircuitBreaker:
    """After `failures` calls in a row without an answer, one probe each `open_s` seconds until something answers."""

    def __init__(self, failures: int = 5, open_s: float = 10.0) -> None:
        self._limit = failures
        self._open_s = open_s
        self._failures = 0
        self._open_until = float("-inf")

    def try_pass(self, now: float) -> float:
        """0.0 when the call may go now, else the seconds to wait. A probe that never reports blocks only `open_s`."""
        if self._failures < self._limit:
            return 0.0
        if now < self._open_until:
            return self._open_until - now
        self._open_until = now + self._open_s
        return 0.0

    def answered(self) -> None:
        """The provider spoke, whatever it said."""
        self._failures = 0

    def failed(self, now: float) -> None:
        """No connection, no answer in time, or a server error."""
        self._failures += 1
        if self._failures >= self._limit:
            self._open_until = now + self._open_s


@dataclass(frozen=True)
class Refusal:
    """Why a call may not go now, and when to try."""

    why: str
    wait_s: float


class Gate:
    """One shop's bucket and breaker under one lock, for the threads that share its client."""

    def __init__(self, bucket: TokenBucket, breaker: CircuitBreaker, clock: Callable[[], float]) -> None:
        self._bucket = bucket
        self._breaker = breaker
        self._clock = clock
        self._lock = threading.Lock()

    def admit(self) -> Refusal | None:
        """None when the call may go; it must then be reported by `answered` or `failed`."""
        with self._lock:
            now = self._clock()
            # The bucket first: a probe let through by the breaker and then stopped here would be lost.
            if wait := self._bucket.take(now):
                return Refusal("own rate limit", wait)
            if wait := self._breaker.try_pass(now):
                return Refusal("circuit open", wait)
            return None

    def answered(self, pause_s: float = 0.0) -> None:
        """The provider spoke; `pause_s` is the silence it asked for."""
        with self._lock:
            self._breaker.answered()
            if pause_s > 0:
                self._bucket.pause(self._clock(), pause_s)

    def failed(self) -> None:
        """The call got no usable answer for a reason on the provider's or the network's side."""
        with self._lock:
            self._breaker.failed(self._clock())
