"""What this process has counted since it last told the database. Labels are words of ours, never of a stranger."""

import threading
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field

Labels = tuple[str, ...]
Cell = tuple[str, Labels, int]
"""A number: of which metric, label values, and bucket (its upper end in milliseconds), or one of these instead."""
SUM, ALONE, INFINITE = -2, -1, 2**31 - 1


@dataclass(frozen=True)
class Counter:
    """Something that happens, by labels. `known` label values are told from the start, as 0: a rise from it is seen."""

    name: str
    help: str
    labels: tuple[str, ...] = ()
    known: tuple[Labels, ...] = ()


@dataclass(frozen=True)
class Histogram:
    """How long something takes: `bounds` are the buckets' upper ends in seconds; above the last is one more."""

    name: str
    help: str
    labels: tuple[str, ...]
    bounds: tuple[float, ...]
    known: tuple[Labels, ...] = ()
    ends: tuple[int, ...] = field(init=False)
    """The same in milliseconds, with the one above the last."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "ends", (*(round(bound * 1000) for bound in self.bounds), INFINITE))


class Counts:
    """Safe from any thread; counting costs about a microsecond and never waits for a database."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._cells: defaultdict[Cell, float] = defaultdict(float)

    def count(self, counter: Counter, *labels: str, by: int = 1) -> None:
        """It happened."""
        with self._lock:
            self._cells[counter.name, labels, ALONE] += by

    def observe(self, histogram: Histogram, seconds: float, *labels: str) -> None:
        """It took so long; a clock that was set back meanwhile makes it 0."""
        seconds = max(0.0, seconds)
        end = histogram.ends[bisect_left(histogram.bounds, seconds)]
        with self._lock:
            self._cells[histogram.name, labels, end] += 1
            self._cells[histogram.name, labels, SUM] += seconds

    def take(self) -> dict[Cell, float]:
        """Everything counted since the last time."""
        with self._lock:
            taken, self._cells = self._cells, defaultdict(float)
        return taken

    def give_back(self, cells: Mapping[Cell, float]) -> None:
        """It could not be told: the next to take gets it."""
        with self._lock:
            for cell, value in cells.items():
                self._cells[cell] += value
