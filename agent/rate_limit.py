"""So many at once, then one every so often: how what can be repeated without end is told and written. Pure."""


class Pace:
    """Asked with steady seconds, which only grow."""

    def __init__(self, burst: int, calm_s: float) -> None:
        """`calm_s`: between two, once the burst is spent."""
        self._burst = burst
        self._calm_s = calm_s
        self._left = float(burst)
        self._at: float | None = None

    def allows(self, now: float) -> bool:
        """One more; True when it may be now, and is then counted."""
        self._refill(now)
        if self._left < 1:
            return False
        self._left -= 1
        return True

    def next_at(self, now: float) -> float:
        """When the next may be."""
        self._refill(now)
        return now + max(0.0, 1 - self._left) * self._calm_s

    def _refill(self, now: float) -> None:
        if self._at is not None:
            self._left = min(self._burst, self._left + (now - self._at) / self._calm_s)
        self._at = now
