"""Does the machine pour what nobody ordered? Its counter against the drinks we sent, between any two readings. Pure.

Free and test drinks are not counted. A drink beside one of ours may be the machine pouring twice; one while none of
ours was on its way is a drink it sold by itself.
"""

from typing import NamedTuple

from agent.journal.records import Snapshot


class Movement(NamedTuple):
    """How far the counter moved, and how much of it orders of ours explain."""

    counted: int
    ordered: int
    is_beside_ours: bool = False
    """A drink of ours was on its way when it moved."""

    @property
    def strays(self) -> int:
        return self.counted - self.ordered

    @property
    def is_local_sale(self) -> bool:
        """The machine sold it by itself, as far as a counter can tell."""
        return self.strays > 0 and not self.is_beside_ours


class Expected(NamedTuple):
    """A drink of ours that the counter has not shown yet."""

    command_id: str
    until: float
    """It may still be counted."""
    boot_id: str
    """The run of the machine that makes it: what was not counted when it has booted never will be."""


class UnorderedDrinks:
    """Times are steady seconds."""

    def __init__(self) -> None:
        self._base: int | None = None
        self._expected: list[Expected] = []
        self._was_away = False
        """All of ours had ended when an earlier run did; the machine had the time between the runs to itself."""

    def start_from(self, last: Snapshot, drink: Expected | None, *, is_settled: bool) -> None:
        """Go on where an earlier run of the agent took its last reading, right before its last drink."""
        if last.counted:
            self._base = sold(last)
            self._expected = [] if drink is None else [drink]
            self._was_away = is_settled

    def forgive(self) -> None:
        """A person has looked: whatever was counted until now is explained; a drink on its way is still expected."""
        self._base = None

    def expect_drink(self, drink: Expected) -> None:
        """The machine may count one more."""
        self._expected.append(drink)

    def expect_no_more(self, command_id: str) -> None:
        """What is counted from now on is no drink of this command."""
        self._expected = [drink for drink in self._expected if drink.command_id != command_id]

    def count(self, reading: Snapshot, now: float) -> Movement:
        """What was counted since the last reading."""
        base, self._base = self._base, sold(reading)
        moved = 0 if base is None else max(0, self._base - base)  # counters set back prove nothing
        is_beside_ours = bool(self._expected) and not self._was_away
        movement = Movement(moved, min(moved, len(self._expected)), is_beside_ours)
        self._was_away = False
        left = self._expected[movement.ordered :]
        self._expected = [drink for drink in left if now < drink.until and drink.boot_id == reading.boot_id]
        return movement


def sold(reading: Snapshot) -> int:
    """Drinks that should all be orders of ours."""
    return reading.total - reading.free - reading.test
