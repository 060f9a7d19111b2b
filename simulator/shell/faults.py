"""Fault switches: which fault strikes a call, and how often. Each service names its own kinds and calls.

Only decides; the service's API carries it out.
"""

import threading
from collections.abc import Callable
from typing import Generic, TypeVar

import msgspec

MAX_FAULTS = 100
MAX_SECONDS = 120.0
"""A hang holds a server thread."""


class Switch(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What every fault has. `times` None: until it is switched off. `probability` is drawn for each call."""

    times: int | None = 1
    probability: float = 1.0
    seconds: float = 35.0

    def __post_init__(self) -> None:
        if self.times is not None and self.times < 1:
            raise ValueError("times is at least 1, or null")
        if not 0 < self.probability <= 1:
            raise ValueError("probability is above 0 and at most 1")
        if not 0 <= self.seconds <= MAX_SECONDS:
            raise ValueError(f"seconds is from 0 to {MAX_SECONDS:g}")

    def is_aimed_at(self, call: str) -> bool:
        """Whether a call of this name can be struck: any, unless the service's own fault says which."""
        return bool(call)


Fault = TypeVar("Fault", bound=Switch)


def _certain() -> float:
    return 0.0


class FaultBoard(Generic[Fault]):
    """The switches now on; the first that fits a call and is drawn strikes it. Thread-safe."""

    def __init__(self, hangs_over: threading.Event, chance: Callable[[], float] = _certain) -> None:
        """`hangs_over` lets go whoever hangs; `chance` draws from [0, 1)."""
        self._hangs_over = hangs_over
        self._chance = chance
        self._faults: list[Fault] = []
        self._lock = threading.Lock()

    def add(self, fault: Fault) -> None:
        """Switch on one more; ValueError when there are too many."""
        with self._lock:
            if len(self._faults) >= MAX_FAULTS:
                raise ValueError(f"at most {MAX_FAULTS} faults at a time")
            self._faults.append(fault)
            self._hangs_over.clear()

    def clear(self) -> None:
        """Switch all off; answers that hang come now."""
        with self._lock:
            self._faults.clear()
            self._hangs_over.set()

    def hang(self, seconds: float) -> None:
        """Hold the answer of the call under way up so long, or until all are switched off."""
        self._hangs_over.wait(seconds)

    def standing(self) -> list[Fault]:
        """What is on, with the times left."""
        with self._lock:
            return list(self._faults)

    def strike(self, call: str) -> Fault | None:
        """The fault this call suffers, used up by one."""
        if not self._faults:
            return None
        with self._lock:
            for index, fault in enumerate(self._faults):
                if fault.is_aimed_at(call) and (fault.probability == 1 or self._chance() < fault.probability):
                    self._use_up(index)
                    return fault
        return None

    def _use_up(self, index: int) -> None:
        fault = self._faults[index]
        if fault.times == 1:
            del self._faults[index]
        elif fault.times is not None:
            self._faults[index] = msgspec.structs.replace(fault, times=fault.times - 1)
