"""How often, and whether at all, one shop is called: token bucket with a part kept back, and circuit breaker, pure in
`now`. Holds no requests and starts no threads. Which call goes first is said in `budget`.
"""

LONGEST_PAUSE_S = 60.0
"""A provider's `retry_after` silences a shop no longer than this; buyers are waiting."""


class TokenBucket:
    """At most `burst` calls at once and `per_second` for long. No limit is published; 5/s is modest."""

    def __init__(self, per_second: float = 5.0, burst: float = 10.0) -> None:
        if per_second <= 0 or burst < 1:
            raise ValueError("a bucket needs a positive rate and room for one call")
        self.per_second = per_second
        self.burst = burst
        self._tokens = burst
        self._seen: float | None = None
        self._paused_until = float("-inf")

    def wait(self, now: float, kept_back: float = 0.0) -> float:
        """Seconds until one call may go and `kept_back` more after it; 0.0 when it may go now."""
        if now < self._paused_until:
            return self._paused_until - now
        if self._seen is not None:
            gained = max(0.0, now - self._seen) * self.per_second
            self._tokens = min(self.burst, self._tokens + gained)
        self._seen = now
        # Sums of small gains end a hair below the whole.
        lacking = 1.0 + kept_back - self._tokens - 1e-9
        return max(0.0, lacking / self.per_second)

    def take(self, now: float, kept_back: float = 0.0) -> float:
        """0.0 when the call may go now (and it is counted), else the seconds until it is worth asking again."""
        wait = self.wait(now, kept_back)
        if not wait:
            self._tokens -= 1.0
        return wait

    def give_back(self) -> None:
        """A call that was counted is not made."""
        self._tokens = min(self.burst, self._tokens + 1.0)

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

    @property
    def is_open(self) -> bool:
        """Nothing has answered since: only probes go."""
        return self._failures >= self._limit

    def wait(self, now: float) -> float:
        """Seconds until a call may go; 0.0 when it may go now. Lets nothing pass by itself."""
        return max(0.0, self._open_until - now) if self.is_open else 0.0

    def try_pass(self, now: float) -> float:
        """0.0 when the call may go now, else the seconds to wait. A probe that never reports blocks only `open_s`."""
        if wait := self.wait(now):
            return wait
        if self.is_open:
            self._open_until = now + self._open_s
        return 0.0

    def answered(self) -> None:
        """The provider spoke, whatever it said."""
        self._failures = 0

    def failed(self, now: float) -> None:
        """No connection, no answer in time, or a server error."""
        self._failures += 1
        if self.is_open:
            self._open_until = now + self._open_s
