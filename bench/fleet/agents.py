"""All simulated agents, in one thread of a process of their own."""

import asyncio
import copy
import ssl
import threading
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace

from bench.fleet.agent import Agent, FleetRecord
from bench.fleet.broker import PASSWORD


class Agents:
    """`moving` of them have a state that changes by itself every `moves_every_s`."""

    def __init__(
        self, names: Sequence[str], address: tuple[str, int], certificate: str, a_second: float, moving: int,
        moves_every_s: float,
    ) -> None:  # fmt: skip
        tls = ssl.create_default_context(cafile=certificate) if certificate else None
        self._record = FleetRecord()
        self._agents = [
            Agent(name, PASSWORD, address, tls, self._record, moves_every_s if place < moving else 0.0)
            for place, name in enumerate(names)
        ]
        self._a_second = a_second
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def address(self) -> None:
        return None

    def take(self) -> FleetRecord:
        """All so far, not since the last time."""
        return asyncio.run_coroutine_threadsafe(self._copy(), self._loop).result()

    def close(self) -> None:
        self._loop.call_soon_threadsafe(self._end)
        self._thread.join()

    async def _copy(self) -> FleetRecord:
        return replace(self._record, poured=copy.copy(self._record.poured))

    def _end(self) -> None:
        for agent in self._agents:
            agent.end()
        self._living.cancel()

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        lives = [agent.live(place / self._a_second) for place, agent in enumerate(self._agents)]
        self._living = asyncio.gather(*lives)
        with suppress(asyncio.CancelledError):
            self._loop.run_until_complete(self._living)
