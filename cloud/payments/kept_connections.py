"""Connections to providers that rest between two calls: few among all shops of a process, and none for long.

Each holds a socket, also one the provider has hung up on, and beyond 1023 sockets a worker loses its broker (`select`).
"""

import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable
from typing import Generic, Protocol, TypeVar

REST_S = 30.0
"""Providers hang up after a minute or so; while a buyer pays, the payment is asked about every few seconds."""
MOST = 100
"""What pages, streams and calls under way leave of 1023 in `run`; a worker seldom asks more shops in half a minute."""


class Connection(Protocol):
    """What holds a socket."""

    def close(self) -> None: ...


C = TypeVar("C", bound=Connection)


class KeptConnections(Generic[C]):
    """Shared by all shops, and safe from any thread; each shop brings a stack of its own. What rests nobody uses."""

    def __init__(self, most: int = MOST, rest_s: float = REST_S, clock: Callable[[], float] = time.monotonic) -> None:
        self._most = most
        self._rest_s = rest_s
        self._clock = clock
        self._lock = threading.Lock()
        self._resting: OrderedDict[C, tuple[float, deque[C]]] = OrderedDict()
        """Since when, and in whose stack; the longest first."""

    def take(self, stack: deque[C]) -> C | None:
        """The one used last, so that the others can rest to their end."""
        with self._lock:
            if not stack:
                return None
            connection = stack.pop()
            del self._resting[connection]
            return connection

    def give_back(self, connection: C, stack: deque[C]) -> None:
        """Keep the connection, and close those of any shop that have rested long enough."""
        with self._lock:
            now = self._clock()
            stack.append(connection)
            self._resting[connection] = now, stack
            over = self._take_those_over(now)
        for one in over:
            one.close()

    def close(self, stack: deque[C]) -> None:
        """Those of one shop."""
        with self._lock:
            over = list(stack)
            stack.clear()
            for one in over:
                del self._resting[one]
        for one in over:
            one.close()

    def _take_those_over(self, now: float) -> list[C]:
        over = []
        while self._resting:
            longest, (since, stack) = next(iter(self._resting.items()))
            if now - since < self._rest_s and len(self._resting) <= self._most:
                break
            del self._resting[longest]
            stack.popleft()
            over.append(longest)
        return over
