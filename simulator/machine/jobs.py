"""What the machine can be busy with: pouring a drink or rinsing. When each moment comes; nothing about frames."""

from dataclasses import dataclass, field
from enum import StrEnum
from typing import ClassVar, Literal

from protocol.reasons import MachineState, Size
from simulator.machine.memory import Cup
from simulator.machine.menu import Drink, Moment


class Sale(StrEnum):
    """How a drink is counted."""

    PAID = "paid"
    FREE = "free"
    TEST = "test"


@dataclass(slots=True)
class Pour:
    """One drink being made; `order_uuid` is None for a local one. `cup` is ground truth, once something flows."""

    state: ClassVar = MachineState.BREWING

    drink: Drink
    size: Size
    sale: Sale
    started_at: float
    seconds: float
    order_uuid: str | None = None
    cup: Cup | None = None
    now_at: Moment = field(init=False)
    _ahead: list[Moment] = field(init=False)

    def __post_init__(self) -> None:
        self._ahead = list(self.drink.recipe.moments())
        self.now_at = self._ahead[0]

    def next_due(self, now: float) -> Moment | None:
        """The next moment whose time has come; each is taken once."""
        if not self._ahead or self._time_of(self._ahead[0]) > now:
            return None
        self.now_at = self._ahead.pop(0)
        return self.now_at

    def at(self, now: float) -> Moment:
        """Where the drink is between two reported moments."""
        share = 1.0 if self.seconds <= 0 else (now - self.started_at) / self.seconds
        return self.drink.recipe.at(max(self.now_at.share, min(1.0, share)))

    @property
    def wake_at(self) -> float:
        return self._time_of(self._ahead[0]) if self._ahead else self.started_at + self.seconds

    def _time_of(self, moment: Moment) -> float:
        return self.started_at + moment.share * self.seconds


@dataclass(frozen=True, slots=True)
class Rinsing:
    """A rinse or a cleaning."""

    job_uuid: str
    kind: Literal["rinse", "clean"]
    wake_at: float

    @property
    def state(self) -> MachineState:
        return MachineState.RINSING if self.kind == "rinse" else MachineState.CLEANING


Job = Pour | Rinsing
