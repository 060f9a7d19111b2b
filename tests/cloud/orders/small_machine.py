"""A machine and its agent small enough to be seen through: pours a command once at most, never after its deadline."""

import itertools
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from queue import Queue

from cloud.courier.broker import Acknowledged, NotConnected
from protocol.messages import Accepted, Make, Message, Outcome, Query, decode_command
from protocol.reasons import Result, Spout


@dataclass
class SmallBroker:
    """What the publisher needs of a link; says what the test wants and delivers to the machine when it is told to."""

    connected: bool = True
    connections: int = 1
    answer: int = 0
    """Reason code of the next answers; -1 gives none at all."""
    delivers: bool = True
    trouble: Exception | None = None
    is_listening: bool = True

    def __post_init__(self) -> None:
        self.acknowledged: Queue[Acknowledged] = Queue()
        self.waiting: list[bytes] = []
        self._mids = itertools.count(1)

    def publish(self, _topic: str, payload: bytes, _expiry_s: int) -> int:
        if self.trouble is not None:
            raise self.trouble
        if not self.connected:
            raise NotConnected("gone")
        mid = next(self._mids)
        if self.answer in {-1, 0} and self.delivers:
            self.waiting.append(payload)
        if self.answer >= 0:
            self.acknowledged.put(Acknowledged(mid, self.answer))
        return mid


@dataclass
class SmallMachine:
    """`reports` are repeated until they are taken, as the agent does."""

    clock: Callable[[], datetime]
    plan: Result = Result.DONE
    """How the next drink ends."""
    cups: int = 0
    reports: list[Message] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._journal: dict[str, str] = {}
        self._ids = itertools.count(1)
        self._revisions: dict[str, int] = {}

    def take(self, payload: bytes) -> None:
        """A command has arrived."""
        match decode_command(payload):
            case Make() as make:
                self._make(make)
            case Query(commands=asked):
                for one in asked:
                    if one.command_id not in self._journal:
                        self._end(one.command_id, one.order_id, Result.REJECTED, "never_received", Spout.NONE)

    def reveal(self, order_id: str) -> None:
        """The machine's memory has settled what was unknown."""
        for command_id, state in list(self._journal.items()):
            if state.startswith("unknown:"):
                poured = state == "unknown:poured"
                self._end(
                    command_id, order_id, Result.DONE if poured else Result.REJECTED, "" if poured else "never_started"
                )

    def _make(self, make: Make) -> None:
        if make.command_id in self._journal:
            return
        if self.clock() >= make.deadline_at:
            self._end(make.command_id, make.order_id, Result.REJECTED, "expired", Spout.NONE)
            return
        if self.plan is Result.REJECTED:
            self._end(make.command_id, make.order_id, Result.REJECTED, "no_water", Spout.NONE)
            return
        message_id = f"a-{next(self._ids)}"
        self.reports.append(
            Accepted(message_id=message_id, command_id=make.command_id, order_id=make.order_id, at=self.clock())
        )
        if self.plan is Result.FAILED:
            self._end(make.command_id, make.order_id, Result.FAILED, "cup_jam", Spout.NONE)
            return
        self.cups += 1
        if self.plan is Result.UNKNOWN:
            self._end(make.command_id, make.order_id, Result.UNKNOWN, "power_lost")
            self._journal[make.command_id] = "unknown:poured"
        else:
            self._end(make.command_id, make.order_id, Result.DONE)

    def _end(self, command_id: str, order_id: str, result: Result, code: str = "", out: Spout = Spout.UNKNOWN) -> None:
        self._journal[command_id] = result.value
        self._revisions[command_id] = self._revisions.get(command_id, 0) + 1
        self.reports.append(
            Outcome(
                message_id=f"o-{next(self._ids)}",
                command_id=command_id,
                order_id=order_id,
                result=result,
                code=code,
                out=out,
                revision=self._revisions[command_id],
                at=self.clock(),
            )
        )
