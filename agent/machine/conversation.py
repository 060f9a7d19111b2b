"""Conversations with the machine as plain top-to-bottom code that never blocks.

A conversation is a generator. It yields what it waits for, and is resumed with what was heard, or with None when the
time is up.
The caller that steps it owns the clock, so a simulation steps the same code in virtual time.
"""

from collections.abc import Callable, Generator
from dataclasses import dataclass
from enum import Enum
from typing import TypeVar

from protocol.frames import Frame
from protocol.machine import MachineMessage


class Sign(Enum):
    """What a conversation can hear besides the machine."""

    OPENED = "the line was opened"
    NUDGE = "something may have changed; look again"


@dataclass(frozen=True, slots=True)
class Opened:
    """The port is open; `session` counts openings, so that bytes meant for an older one are not sent."""

    session: int


@dataclass(frozen=True, slots=True)
class Closed:
    """The port is gone."""

    why: str


LineNews = Opened | Closed | Frame
Heard = MachineMessage | Sign


def is_opened(heard: Heard) -> bool:
    return heard is Sign.OPENED


def is_nudge(heard: Heard) -> bool:
    return heard is Sign.NUDGE


class LineLost(Exception):
    """The line went away. Raised into a conversation wherever it waits, and by a write."""

    def __init__(self, why: str, *, wrote_nothing: bool = False) -> None:
        super().__init__(why)
        self.wrote_nothing = wrote_nothing
        """Certain that not one byte of this write left."""


@dataclass(frozen=True, slots=True)
class Wait:
    """Resume with the first thing `wants` says yes to, or with None at `until` (steady seconds)."""

    until: float
    wants: Callable[[Heard], bool]


T = TypeVar("T")
Conversation = Generator[Wait, Heard | None, T]
