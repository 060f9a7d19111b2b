"""The broker as a running thing: a thread with an event loop, a listening socket, a clock. Loopback only."""

import asyncio
import ipaddress
import math
import socket
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from typing import Self

from simulator.broker.faults import Faults
from simulator.broker.hub import Access, Hub, Rules
from simulator.broker.limits import Limits
from simulator.broker.line import SocketLine
from simulator.broker.reasons import Reason
from simulator.broker.switchboard import Memory, Switchboard

_BACKLOG = 512


class NotLoopback(ValueError):
    """The development broker was asked to be reachable from elsewhere."""


class Broker:
    """An MQTT 5 and 3.1.1 broker for development and tests, in a thread of its own.

    `port=0` takes a free one. `users` maps names to passwords (None: everyone may connect); `may` is asked
    before each publish and subscribe, in the broker's thread. `start()` after `close()` is a restart on the
    same port with its memory; another `Broker` given the port, and the memory or not, is the same from outside.
    """

    def __init__(
        self,
        port: int = 0,
        *,
        host: str = "127.0.0.1",
        memory: Memory | None = None,
        users: Mapping[str, str] | None = None,
        may: Callable[[Access], bool] = lambda access: True,
        limits: Limits | None = None,
        rules: Rules | None = None,
    ) -> None:
        """`rules`: instead of `users` and `may`."""
        self._host = _loopback(host)
        self.port = port
        self.memory = memory or Memory()
        self.faults = Faults(obey=lambda: self._in_loop(self._obey_faults))
        self._limits = limits or Limits()
        switchboard = Switchboard(self.memory, self._limits)
        self._hub = Hub(switchboard, rules or Rules(users, may), self._limits, self.faults)
        self._lines: set[SocketLine] = set()
        self._alarm: asyncio.TimerHandle | None = None
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop
        self._stop: asyncio.Event

    @property
    def url(self) -> str:
        host = f"[{self._host}]" if ":" in self._host else self._host
        return f"mqtt://{host}:{self.port}"

    @property
    def clients(self) -> frozenset[str]:
        """The client ids connected now."""
        return frozenset(self._hub.live.copy())

    def start(self) -> Self:
        """Returns when connections are accepted; `OSError` when the port is taken."""
        family = socket.AF_INET6 if ":" in self._host else socket.AF_INET
        listener = socket.create_server((self._host, self.port), family=family, backlog=_BACKLOG)
        self.port = listener.getsockname()[1]
        is_listening = threading.Event()
        self._thread = threading.Thread(
            target=lambda: asyncio.run(self._serve(listener, is_listening)), name="broker", daemon=True
        )
        self._thread.start()
        is_listening.wait()
        return self

    def close(self) -> None:
        """End as a broker shut down: MQTT 5 clients are told, no will is published. Safe to repeat."""
        if self._thread is not None:
            self._in_loop(lambda: self._stop.set())
            self._thread.join()
            self._thread = None

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *raised: object) -> None:
        self.close()

    async def _serve(self, listener: socket.socket, is_listening: threading.Event) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        server = await self._loop.create_server(lambda: SocketLine(self._hub, self._opened, self._lost), sock=listener)
        self._watch_clock()
        is_listening.set()
        await self._stop.wait()
        server.close()
        self._hub.end_all(Reason.SHUTTING_DOWN, time.monotonic())
        while self._lines:
            for line in self._lines:
                line.abort()
            await asyncio.sleep(0)

    def _opened(self, line: SocketLine) -> None:
        self._lines.add(line)
        if len(self._lines) > self._limits.connections:
            line.abort()

    def _lost(self, line: SocketLine) -> None:
        self._lines.discard(line)
        self._watch_clock()

    def _watch_clock(self) -> None:
        """Wills are published and sessions ended when it is time."""
        if self._alarm is not None:
            self._alarm.cancel()
        now = time.monotonic()
        wake = self._hub.switchboard.step(now)
        self._hub.settle(now)
        self._alarm = None if math.isinf(wake) else self._loop.call_later(wake - now, self._watch_clock)

    def _obey_faults(self) -> None:
        now = time.monotonic()
        self._hub.obey_faults(now)
        self._hub.settle(now)

    def _in_loop(self, act: Callable[[], object]) -> None:
        """Do it in the broker's thread and wait; at once when there is none, or when this is it."""
        if self._thread is None or threading.current_thread() is self._thread:
            act()
            return
        done: Future[None] = Future()

        def do() -> None:
            act()
            done.set_result(None)

        self._loop.call_soon_threadsafe(do)
        done.result()


def _loopback(host: str) -> str:
    """The address to bind; raises `NotLoopback` for any other than this machine's own."""
    address = "127.0.0.1" if host == "localhost" else host
    try:
        is_own = ipaddress.ip_address(address).is_loopback
    except ValueError:
        is_own = False
    if not is_own:
        raise NotLoopback(f"the development broker listens on loopback only, not on {host!r}; use Mosquitto")
    return address
