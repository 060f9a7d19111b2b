"""Keep a program's threads on one processor, and see now and then whether another has more room.

The interpreter runs one thread at a time. On two processors the threads pass it to and fro: a thread that comes back
from a short call of the network or of SQLite finds it taken and sleeps, ninety times an order. On one processor the
thread just goes on, and an order costs a quarter less (docs/decisions.md). That helps a program that does everything
(`run`), not two beside each other.
"""

import logging
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from random import Random, SystemRandom
from typing import Protocol

log = logging.getLogger("cloud.processes.one_processor")

FIRST_LOOK = timedelta(seconds=1)
EVERY_S, AT_RANDOM_S = 8.0, 8.0
"""Between two looks, and up to so much more: of two programs that share a processor only one shall leave it."""
REFUSED = timedelta(days=1)
"""Until the next try when the system does not allow it (docs/operations.md)."""
CLEARLY = 0.2
"""A processor must have so much more of its time to spare before we go there."""


@dataclass(frozen=True)
class Look:
    """What was known at one moment, all in seconds: `used` by this process, `idle` of each processor it may have."""

    at: float
    used: float
    idle: Mapping[int, float]


class Processors(Protocol):
    """Those that this process may run on."""

    def look(self) -> Look:
        """How much they have been used so far."""

    def stay_on(self, processor: int) -> None:
        """All our threads, and those they begin. Raises `OSError` when we may not."""


class OneProcessor:
    """Chooses the processor with most room, and leaves it when others need it while another one rests."""

    def __init__(self, processors: Processors, random: Random) -> None:
        self._processors = processors
        self._random = random
        self._seen: Look | None = None
        self._own: int | None = None

    def step(self, now: datetime) -> datetime:
        """Compare what has happened since the last look."""
        before, self._seen = self._seen, self._processors.look()
        if before is None:
            return now + FIRST_LOOK
        chosen = roomiest(before, self._seen, self._own)
        if chosen is not None and chosen != self._own and not self._has_gone_to(chosen):
            return now + REFUSED
        return now + timedelta(seconds=EVERY_S + AT_RANDOM_S * self._random.random())

    def _has_gone_to(self, processor: int) -> bool:
        try:
            self._processors.stay_on(processor)
        except OSError as error:
            words = "threads cannot be kept on processor %d (%s): the system spreads them, and an order costs more"
            log.warning(words, processor, error.strerror)
            return False
        log.info("threads stay on processor %d", processor)
        self._own = processor
        return True


def roomiest(before: Look, after: Look, own: int | None) -> int | None:
    """Where to run. What we use of our `own` is room, too, for it goes where we go. None: nothing is known of any."""
    room = {number: idle - before.idle[number] for number, idle in after.idle.items() if number in before.idle}
    best = max(room, key=lambda number: room[number], default=None)
    if own not in room or best is None:
        return best
    ours = room[own] + after.used - before.used
    return best if room[best] > ours + CLEARLY * (after.at - before.at) else own


class LinuxProcessors:
    """As /proc tells, of the processors this process was given at its start."""

    def __init__(self) -> None:
        self._given = sorted(os.sched_getaffinity(0))
        self._tick = os.sysconf("SC_CLK_TCK")

    def look(self) -> Look:
        """Read how idle each processor was; a wait for a disk counts as idle."""
        lines = [line.split() for line in Path("/proc/stat").read_text().splitlines() if line.startswith("cpu")]
        idle = {words[0]: (int(words[4]) + int(words[5])) / self._tick for words in lines}
        ours = {number: idle[f"cpu{number}"] for number in self._given if f"cpu{number}" in idle}
        return Look(time.monotonic(), time.process_time(), ours)

    def stay_on(self, processor: int) -> None:
        """Twice, for a thread may have been begun meanwhile by one that was not there yet."""
        for thread in [*_threads(), *_threads()]:
            try:
                os.sched_setaffinity(thread, {processor})
            except ProcessLookupError:
                continue  # it has ended


def _threads() -> list[int]:
    return [int(name) for name in os.listdir("/proc/self/task")]


def chosen_by(setting: str) -> OneProcessor | None:
    """For `COFFEE_PROCESSORS`. None where the system decides: as asked, without a choice, or not knowing of any."""
    if setting == "all" or not hasattr(os, "sched_setaffinity") or len(os.sched_getaffinity(0)) < 2:
        return None
    return OneProcessor(LinuxProcessors(), SystemRandom()) if Path("/proc/stat").exists() else None
