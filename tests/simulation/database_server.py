"""What befalls the whole database of a world: it is away for a while."""

from random import Random
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.simulation.world import World


class DatabaseServer:
    """Answers the cloud's processes; those who look at a world and mend it are always answered."""

    def __init__(self, world: "World") -> None:
        self._world = world
        self._away_until = 0.0

    def is_away(self) -> bool:
        """Whether it answers no statement."""
        return self._world.scheduler.now < self._away_until and not self._world.faults.is_over

    def go_away(self, random: Random) -> None:
        seconds = random.choice((2.0, 10.0, 40.0, 100.0))
        self._world.timeline.add("world", f"the database is away for {seconds:.0f} s")
        self._away_until = self._world.scheduler.now + seconds
