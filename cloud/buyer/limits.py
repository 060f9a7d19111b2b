"""Keeps one visitor from taking everybody's place: how often orders are made, how many streams are open.

Counted in this process's memory: with several web processes each counts alone, which is enough against accidents
and idle threads; a flood is the reverse proxy's matter.
"""

import ipaddress
import threading
from collections import Counter, OrderedDict
from collections.abc import Callable
from datetime import datetime

from cloud.http.addresses import home_of

REMEMBERED_ADDRESSES = 10_000
"""Addresses counted at once; the longest unseen is forgotten."""


class RateLimit:
    """A bucket of `burst` acts for each address (or order), refilled by `per_s` a second."""

    def __init__(self, burst: int, per_s: float) -> None:
        self._burst = burst
        self._per_s = per_s
        self._lock = threading.Lock()
        self._buckets: OrderedDict[str, tuple[float, datetime]] = OrderedDict()

    def allows(self, address: str, now: datetime) -> bool:
        """Take one act; false when this address has none left. An address nobody can tell has no limit."""
        if not address:
            return True
        home = home_of(address)
        with self._lock:
            left, at = self._buckets.pop(home, (float(self._burst), now))
            left = min(self._burst, left + max(0.0, (now - at).total_seconds()) * self._per_s)
            allowed = left >= 1
            self._buckets[home] = (left - 1 if allowed else left, now)
            while len(self._buckets) > REMEMBERED_ADDRESSES:
                self._buckets.popitem(last=False)
        return allowed

    def give_back(self, address: str) -> None:
        """An act that was taken, and came to nothing by our fault."""
        with self._lock:
            if (bucket := self._buckets.get(home_of(address))) is not None:
                left, at = bucket
                self._buckets[home_of(address)] = (min(float(self._burst), left + 1), at)


class Seats:
    """Places for open event streams: each holds a thread, so there are so many in all and so many an address."""

    def __init__(self, total: int, per_address: int) -> None:
        self._total = total
        self._per_address = per_address
        self._lock = threading.Lock()
        self._taken: Counter[str] = Counter()

    @property
    def taken(self) -> int:
        """Seats in use."""
        with self._lock:
            return self._taken.total()

    def take(self, address: str) -> Callable[[], None] | None:
        """Take a seat; return the function that gives it back (harmless to call twice), or None when none is free.

        Those whose address nobody can tell share only the seats of all.
        """
        home = home_of(address)
        with self._lock:
            crowded = bool(home) and self._taken[home] >= self._per_address
            if crowded or self._taken.total() >= self._total:
                return None
            self._taken[home] += 1
        return _Seat(self._give_back, home)

    def _give_back(self, home: str) -> None:
        with self._lock:
            self._taken[home] -= 1
            if self._taken[home] <= 0:
                del self._taken[home]


class _Seat:
    def __init__(self, give_back: Callable[[str], None], home: str) -> None:
        self._lock = threading.Lock()
        self._give_back: Callable[[str], None] | None = give_back
        self._home = home

    def __call__(self) -> None:
        with self._lock:
            give_back, self._give_back = self._give_back, None
        if give_back is not None:
            give_back(self._home)


def region_of(address: str) -> str:
    """A part of the net as one provider has it, of IPv4 a /16, of IPv6 a /32; "" of what is no address."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return ""
    return str(ipaddress.ip_network((parsed, 16 if parsed.version == 4 else 32), strict=False))
