"""Everything the machine says, in the order it says it: replies, numbered events, and the instant its power goes."""

from dataclasses import dataclass
from typing import Any

from protocol.frames import Frame
from protocol.machine import (
    DoneEvent,
    FailedEvent,
    FaultEvent,
    Heartbeat,
    MachineMessage,
    MakeReply,
    ProgressEvent,
)
from simulator.machine.announcements import Announcements
from simulator.machine.faults import Faults
from simulator.machine.switches import without

_NEEDS: dict[type[MachineMessage], str] = {
    MakeReply: "ack",
    ProgressEvent: "progress",
    DoneEvent: "finish",
    FailedEvent: "finish",
    FaultEvent: "faults",
    Heartbeat: "heartbeat",
}


@dataclass(frozen=True, slots=True)
class PowerCut:
    """What was said before this went out; what a bad line still held back is lost."""


Effect = MachineMessage | Frame | PowerCut
"""One thing that leaves the machine."""


class Voice:
    """Collects effects until they are taken; keeps quiet where a capability is switched off."""

    def __init__(self, faults: Faults) -> None:
        self._faults = faults
        self._announcements = Announcements("")
        self._said: list[Effect] = []

    @property
    def boot_id(self) -> str:
        return self._announcements.boot_id

    @property
    def unheard(self) -> int:
        """Events waiting for an acknowledgement."""
        return self._announcements.waiting

    @property
    def wake_at(self) -> float | None:
        return self._announcements.wake_at

    def begin(self, boot_id: str) -> None:
        """A new boot: events are numbered from 1, what nobody heard is forgotten."""
        self._announcements = Announcements(boot_id)

    def fall_silent(self) -> None:
        """The power goes."""
        self._said.append(PowerCut())
        self._announcements = Announcements(self.boot_id)

    def reply(self, message: MachineMessage) -> None:
        needs = _NEEDS.get(type(message))
        if needs is None or not self._faults.is_on(without(needs)):
            self._said.append(message)

    def mention(self, event: type[MachineMessage], **content: Any) -> None:
        """A numbered event said once; it may be lost."""
        self.reply(event(boot_id=self.boot_id, evt=self._announcements.number(), **content))

    def announce(self, now: float, event: type[MachineMessage], **content: Any) -> None:
        """A numbered event said until it is heard."""
        evt = self._announcements.number()
        message = event(boot_id=self.boot_id, evt=evt, **content)
        self._announcements.keep(evt, message, now)
        self.reply(message)

    def heard(self, boot_id: str, evt: int) -> None:
        self._announcements.heard(boot_id, evt)

    def repeat(self, now: float) -> None:
        for message in self._announcements.due(now):
            self.reply(message)

    def take(self) -> list[Effect]:
        """All that was said since the last call."""
        said, self._said = self._said, []
        return said
