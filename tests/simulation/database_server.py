"""What befalls the whole database of a world: it is away for a while, it is backed up, and the backup is put back."""

from datetime import datetime
from random import Random
from typing import TYPE_CHECKING

from cloud.orders.after_restore import note_restore

if TYPE_CHECKING:
    from tests.simulation.world import World


class DatabaseServer:
    """Answers the cloud's processes; those who look at a world and mend it are always answered."""

    def __init__(self, world: "World") -> None:
        self._world = world
        self._away_until = 0.0
        self._backed_up_at: datetime | None = None

    def is_away(self) -> bool:
        """Whether it answers no statement."""
        return self._world.scheduler.now < self._away_until and not self._world.faults.is_over

    def go_away(self, random: Random) -> None:
        seconds = random.choice((2.0, 10.0, 40.0, 100.0))
        self._world.timeline.add("world", f"the database is away for {seconds:.0f} s")
        self._away_until = self._world.scheduler.now + seconds

    def back_up(self) -> None:
        self._world.timeline.add("keeper", "backs up the database")
        self._world.disk.back_up()
        self._backed_up_at = self._world.scheduler.true_time

    def restore(self) -> None:
        """Stop the cloud's processes and put the newest backup back; they are started again as after a crash."""
        world, as_of = self._world, self._backed_up_at
        if as_of is None:
            return
        for cloud in world.clouds:
            world.scheduler.kill(cloud.process, "it is stopped for a restore")
        world.timeline.add("keeper", f"restores the database of {as_of:%H:%M:%S}")
        self._away_until = 0.0
        world.promises.books_go_back()
        world.disk.put_back()
        with world.engines.nobodys(world.disk.url) as database:
            database.transact(note_restore, as_of, world.clouds[0].clock())
        world.keys.forget()
        world.keeper.apply_again()
        world.waits_disturbed_at = world.scheduler.now
