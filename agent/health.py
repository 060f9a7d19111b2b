"""Tells systemd that we live, and only when every loop has lately done real work. Knows nothing of the work."""

import os
import socket
import threading
from collections.abc import Mapping

from agent.clock import Clock

STALE_S = 20.0
"""A loop comes round at least every few seconds; the slowest honest step is a commit to a bad card."""


class Pulse:
    """When each loop last came round."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._beats: dict[str, float] = {}
        self._limits: dict[str, float] = {}

    def expect(self, name: str, within: float) -> None:
        """From now on this loop must beat."""
        with self._lock:
            self._limits[name] = within
            self._beats[name] = self._clock.monotonic()

    def forget(self, name: str) -> None:
        """It has come to its end."""
        with self._lock:
            self._limits.pop(name, None)

    def beat(self, name: str) -> None:
        """It has done what was due, or seen that nothing was."""
        with self._lock:
            self._beats[name] = self._clock.monotonic()

    def stale(self) -> list[str]:
        """Loops that have not come round for too long."""
        now = self._clock.monotonic()
        with self._lock:
            return [name for name, limit in self._limits.items() if now - self._beats[name] > limit]


def notify(env: Mapping[str, str], text: str) -> bool:
    """Send one line to systemd; False when it does not listen."""
    address = env.get("NOTIFY_SOCKET", "")
    if not address.startswith(("/", "@")):
        return False
    if address.startswith("@"):
        address = "\0" + address[1:]
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as line:
            line.sendto(text.encode(), address)
    except OSError:
        return False
    return True


def watchdog_interval(env: Mapping[str, str]) -> float | None:
    """How often to say `WATCHDOG=1`: twice as often as asked for; None when nobody asks."""
    if env.get("WATCHDOG_PID", str(os.getpid())) != str(os.getpid()):
        return None
    try:
        return int(env["WATCHDOG_USEC"]) / 2e6
    except (KeyError, ValueError):
        return None


def patience(env: Mapping[str, str]) -> float:
    """How long a loop may take, seconds: noticed before systemd's own patience with us ends."""
    interval = watchdog_interval(env)
    return STALE_S if interval is None else min(STALE_S, interval * 4 / 3)
