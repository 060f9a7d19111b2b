"""Many worlds over several processes: seeds in, how each went out, in order. A world's story stays with its seed."""

import gc
import multiprocessing
import os
import signal
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.simulation.disk import a_folder
from tests.simulation.told import Told
from tests.simulation.workshop import Workshop

AT_ONCE = 20
"""Seeds a process takes at a time."""
A_LIFE = 25
"""As often a process takes some before a fresh one follows it: what worlds leave in its heap goes with it."""
_workshop: list[Workshop] = []


@dataclass(frozen=True)
class Report:
    """One world in a line; its timeline can be told again from the seed."""

    seed: int
    broken: tuple[str, ...]
    orders: int
    cups: int
    faults: tuple[tuple[str, int], ...]
    """How often each kind struck."""
    steps: int
    lived_s: float
    digest: str
    ends: tuple[str, ...]
    """Of each order: its status, and why."""

    @classmethod
    def of(cls, told: Told) -> "Report":
        kinds = Counter(name.partition("#")[0] for name in told.struck)
        return cls(
            told.seed, tuple(str(one) for one in told.broken), told.orders, told.cups,
            tuple(sorted(kinds.items())), told.steps, told.lived_s, told.digest, told.ends,
        )  # fmt: skip


def processes_here() -> int:
    """As many as there are processors for us."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def run(seeds: Iterable[int], processes: int = 0) -> Iterator[Report]:
    """Tell these worlds; `processes` 0: as many as this machine has processors, 1: in this very process."""
    processes = processes or processes_here()
    if processes == 1:
        with Workshop() as workshop:
            for seed in seeds:
                yield Report.of(workshop.tell(seed))
        return
    context = multiprocessing.get_context("spawn")
    with a_folder() as folder, context.Pool(processes, _open_workshop, (folder,), A_LIFE) as pool:
        yield from pool.imap(_tell, seeds, AT_ONCE)


def _open_workshop(folder: str) -> None:
    """In `folder`, which whoever asked removes: a pool ends its processes without a last word."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for who asked
    workshop = Workshop(Path(folder) / str(os.getpid()))
    workshop.__enter__()
    _workshop.append(workshop)
    gc.freeze()  # all that was imported stays: no need to look through it again and again


def _tell(seed: int) -> Report:
    return Report.of(_workshop[-1].tell(seed))
