"""How much each machine may say, so that none takes the place of all. Pure: names and time come from outside."""

from collections import OrderedDict

REMEMBERED = 10_000
"""Machines counted at once; the one that has been silent longest is forgotten, so one that floods never is."""


class Allowances:
    """A bucket of `burst` messages for each machine, refilled by `per_s` a second."""

    def __init__(self, burst: int, per_s: float, remembered: int = REMEMBERED) -> None:
        self._burst = float(burst)
        self._per_s = per_s
        self._remembered = remembered
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()
        """How many are left, and when that was so."""

    def take(self, name: str, now: float) -> bool:
        """Take one; false when none is left. `now` in seconds, by a clock that may be set back."""
        left, at = self._buckets.pop(name, (self._burst, now))
        left = min(self._burst, left + max(0.0, now - at) * self._per_s)
        is_left = left >= 1
        self._buckets[name] = (left - 1 if is_left else left, now)
        if len(self._buckets) > self._remembered:
            self._buckets.popitem(last=False)
        return is_left
