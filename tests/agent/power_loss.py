"""What a power cut leaves of the journal: its files as they are on the disk at one instant, put back for a new start.

Unlike a kill, nothing is closed, folded or flushed afterwards; a commit or a folding under way may be half there.
"""

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import StrEnum

from agent.journal.sqlite_file import FILE
from protocol.frames import Frame
from tests.agent.world import Crash, World

LOG = f"{FILE}-wal"
Picture = dict[str, bytes]
"""The journal's file and its log. What SQLite shares in memory beside them does not outlive a power cut."""


class Instant(StrEnum):
    """Where in a commit the power goes."""

    BEFORE = "before anything of it is written"
    HALF = "half of it written"
    AFTER = "just after it"


class PowerLossWorld(World):
    """A `Crash` here is a power cut of the agent's computer: it comes back with the disk as `disk` has it."""

    disk: Picture | None = None
    forgotten_by_the_card: Callable[[], Picture] | None = None
    """Gives an older disk than the one that was there, once."""
    then_before: int | None = None
    """A second cut, once: when the restarted agent is about to write this frame."""

    def restart(self, after: float = 1.0) -> None:
        self.journal.close()
        if self.forgotten_by_the_card is not None:
            self.disk, self.forgotten_by_the_card = self.forgotten_by_the_card(), None
        if self.disk is not None:
            put_back(self, self.disk)
        super().restart(after)
        if self.then_before is not None:
            self.cut_power_before(self.then_before)
            self.then_before = None

    def picture(self) -> Picture:
        return {name: path.read_bytes() for name in (FILE, LOG) if (path := self.folder / name).exists()}

    def cut_power_at(self, number: int, instant: Instant) -> None:
        """At this commit from now."""
        self.cut_power_when(lambda count, _: count == number, instant)

    def cut_power_when(self, is_it: Callable[[int, Picture], bool], instant: Instant = Instant.AFTER) -> None:
        """At the first commit that `is_it`, told its number from now and the disk before it. Once."""
        database = self.journal._database
        original = database.transaction
        count = 0

        @contextmanager
        def counted() -> Iterator[sqlite3.Connection]:
            nonlocal count
            before = self.picture() if database._depth == 0 else {}
            with original() as connection:
                yield connection
            if database._depth == 0:
                count += 1
                if is_it(count, before):
                    self.disk = _disk(instant, before, self.picture())
                    raise Crash

        database.transaction = counted  # type: ignore[method-assign]  # the only seam at which a cut can be placed exactly
        self.journal.transaction = counted

    def lose_commits(self, number: int, lost: int) -> None:
        """At this commit from now, on a card that lied: the last `lost` commits never reached it."""
        left = [self.picture()]

        def is_it(count: int, _: Picture) -> bool:
            left.append(self.picture())
            return count == number

        self.forgotten_by_the_card = lambda: left[number - lost]
        self.cut_power_when(is_it)

    def cut_power_before(self, command: int) -> None:
        """When this frame would be the next on the line."""

        def on_write(frame: Frame) -> None:
            if frame.command == command:
                self.disk = self.picture()
                raise Crash

        self.line.on_write = on_write


def put_back(world: World, picture: Picture) -> None:
    for path in world.folder.glob(f"{FILE}*"):
        path.unlink()
    for name, content in picture.items():
        (world.folder / name).write_bytes(content)


def half_written(before: bytes, after: bytes) -> bytes:
    """The first half of what changed is new, the rest still old."""
    old = before.ljust(len(after), b"\0")[: len(after)]
    changed = [at for at in range(0, len(after), 512) if old[at : at + 512] != after[at : at + 512]]
    if not changed:
        return after
    middle = changed[len(changed) // 2]
    return after[:middle] + old[middle:]


def _disk(instant: Instant, before: Picture, after: Picture) -> Picture:
    """The log is written first; it is folded into the file only when it is whole and on the disk."""
    match instant:
        case Instant.BEFORE:
            return before
        case Instant.HALF if before.get(FILE) == after.get(FILE):
            return {**before, LOG: half_written(before.get(LOG, b""), after[LOG])}
        case Instant.HALF:  # its folding: the log is whole, the file half old
            return {**after, FILE: half_written(before[FILE], after[FILE])}
    return after
