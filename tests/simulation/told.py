"""How one world went, for whoever judges it or shows it."""

from dataclasses import dataclass

from tests.simulation.promises import Broken
from tests.simulation.timeline import Timeline


@dataclass(frozen=True)
class Told:
    """How one world went."""

    seed: int
    broken: tuple[Broken, ...]
    struck: tuple[str, ...]
    """Every fault that happened."""
    orders: int
    cups: int
    steps: int
    lived_s: float
    digest: str
    timeline: Timeline
    families: tuple[str, ...]
    ends: tuple[str, ...]
    """Of each order: its status, and why."""
