"""Events of one boot that must be heard: numbered, repeated after 1, 2, 4, 8, 16, 30 s until acknowledged."""

from dataclasses import dataclass

from protocol.machine import FaultEvent, MachineMessage

REPEAT_AFTER_S = (1.0, 2.0, 4.0, 8.0, 16.0, 30.0)
"""The last one again and again (docs/machine-protocol.md 3.3)."""
MAX_WAITING = 128
"""Nobody listens for days: the oldest go; ORDER and STATUS still tell."""


@dataclass(slots=True)
class _Waiting:
    message: MachineMessage
    due: float
    repeats: int = 0


class Announcements:
    """What this boot has said and nobody has acknowledged."""

    def __init__(self, boot_id: str) -> None:
        self.boot_id = boot_id
        self._last_number = 0
        self._waiting: dict[int, _Waiting] = {}

    def number(self) -> int:
        """The next event's number; it grows within one boot."""
        self._last_number += 1
        return self._last_number

    def keep(self, evt: int, message: MachineMessage, now: float) -> None:
        """Repeat the message until it is heard. A newer word on the same fault replaces the older."""
        if isinstance(message, FaultEvent):
            for old, waiting in list(self._waiting.items()):
                if isinstance(waiting.message, FaultEvent) and waiting.message.code == message.code:
                    del self._waiting[old]
        if len(self._waiting) >= MAX_WAITING:
            del self._waiting[next(iter(self._waiting))]
        self._waiting[evt] = _Waiting(message, now + REPEAT_AFTER_S[0])

    def heard(self, boot_id: str, evt: int) -> None:
        """An acknowledgement; one of another boot means another event and is ignored."""
        if boot_id == self.boot_id:
            self._waiting.pop(evt, None)

    def due(self, now: float) -> list[MachineMessage]:
        """What is to be said again now."""
        again = [waiting for waiting in self._waiting.values() if waiting.due <= now]
        for waiting in again:
            waiting.repeats = min(waiting.repeats + 1, len(REPEAT_AFTER_S) - 1)
            waiting.due = now + REPEAT_AFTER_S[waiting.repeats]
        return [waiting.message for waiting in again]

    @property
    def waiting(self) -> int:
        return len(self._waiting)

    @property
    def wake_at(self) -> float | None:
        return min((waiting.due for waiting in self._waiting.values()), default=None)
