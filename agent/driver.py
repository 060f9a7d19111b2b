"""What can be asked of the machine, and how its answers are matched: request, reply, retries of questions only.

A make is written once per call and never retried here. Waiting is the caller's: every question is a talk.
"""

import logging
from collections.abc import Callable
from random import Random
from typing import Protocol, TypeVar

from agent.clock import Clock
from agent.profile import Timers
from agent.talk import Heard, LineLost, LineNews, Talk, Wait
from protocol.frames import Frame
from protocol.machine import (
    CancelDrink,
    CancelReply,
    CountersQuery,
    CountersReply,
    EventAck,
    Hello,
    HelloReply,
    MachineMessage,
    MakeDrink,
    OrderQuery,
    OrderReply,
    Status,
    StatusReply,
    to_frame,
)

MAX_MSG_ID = 65_535
log = logging.getLogger(__name__)
Reply = TypeVar("Reply", HelloReply, StatusReply, CountersReply, OrderReply, CancelReply)


class Line(Protocol):
    """The serial line as the worker sees it: never blocks for reading."""

    def take(self) -> list[LineNews]:
        """What happened since the last call, in order."""

    def send(self, frame: Frame, session: int) -> None:
        """Write one frame if the port is still the one opened as `session`. Raises `LineLost`."""

    def error_ratio(self) -> float:
        """Share of damaged frames, 0 to 1."""


class Driver:
    """The machine, as long as the line is the same; `boot_id` and `caps` come with its greeting."""

    def __init__(self, line: Line, timers: Timers, clock: Clock, random: Random) -> None:
        self._line = line
        self._timers = timers
        self._clock = clock
        self._random = random
        self._msg_id = random.randint(1, MAX_MSG_ID)
        self._session = 0
        self.is_open = False
        self.is_greeted = False
        self.boot_id = ""
        self.model = ""
        self.caps: frozenset[str] = frozenset()

    def opened(self, session: int) -> None:
        """A new opening: replies to older questions must not be taken for new ones."""
        self._session = session
        self._msg_id = self._random.randint(1, MAX_MSG_ID)
        self.is_open, self.is_greeted = True, False

    def closed(self) -> None:
        self.is_open = self.is_greeted = False

    def can(self, capability: str) -> bool:
        return capability in self.caps

    def greet(self) -> Talk[bool]:
        """Learn who is there; False when nobody answers."""
        reply = yield from self._ask(lambda msg_id: Hello(msg_id=msg_id), HelloReply)
        if reply is None:
            return False
        if reply.boot_id != self.boot_id:
            log.info("machine %s firmware %s, boot %s, can: %s", reply.model, reply.fw, reply.boot_id, reply.caps)
        self.boot_id, self.model, self.caps = reply.boot_id, reply.model, frozenset(reply.caps)
        self.is_greeted = True
        return True

    def status(self) -> Talk[StatusReply | None]:
        return (yield from self._ask(lambda msg_id: Status(msg_id=msg_id), StatusReply))

    def counters(self) -> Talk[CountersReply | None]:
        return (yield from self._ask(lambda msg_id: CountersQuery(msg_id=msg_id), CountersReply))

    def lookup(self, order_id: str) -> Talk[OrderReply | None]:
        """What the machine remembers of one order; None when it does not answer."""
        return (yield from self._ask(lambda msg_id: OrderQuery(msg_id=msg_id, order_uuid=order_id), OrderReply))

    def cancel(self, order_id: str) -> Talk[CancelReply | None]:
        return (yield from self._ask(lambda msg_id: CancelDrink(msg_id=msg_id, order_uuid=order_id), CancelReply))

    def make(self, drink: MakeDrink) -> None:
        """Write the make frame, once. Raises `LineLost`."""
        self._send(drink)

    def acknowledge(self, boot_id: str, evt: int) -> None:
        """Tell the machine to stop repeating an event; if this is lost it repeats, and is told again."""
        try:
            self._send(EventAck(boot_id=boot_id, evt=evt))
        except LineLost as lost:
            log.debug("event %s of boot %s not acknowledged: %s", evt, boot_id, lost)

    def _ask(self, question: Callable[[int], MachineMessage], answer: type[Reply]) -> Talk[Reply | None]:
        """Ask until answered, at most `query_tries` times; a late answer to an earlier try counts."""
        asked: set[int] = set()

        def wanted(heard: Heard) -> bool:
            return isinstance(heard, answer) and heard.msg_id in asked

        for _ in range(self._timers.query_tries):
            msg_id = self._next_msg_id()
            asked.add(msg_id)
            self._send(question(msg_id))
            heard = yield Wait(self._clock.monotonic() + self._timers.query_reply, wanted)
            if isinstance(heard, answer):
                return heard
        return None

    def _next_msg_id(self) -> int:
        self._msg_id = self._msg_id % MAX_MSG_ID + 1
        return self._msg_id

    def _send(self, message: MachineMessage) -> None:
        if not self.is_open:
            raise LineLost("the port is closed", wrote_nothing=True)
        try:
            self._line.send(to_frame(message), self._session)
        except LineLost:
            self.closed()
            raise
