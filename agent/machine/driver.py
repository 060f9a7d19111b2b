"""What can be asked of the machine, and how its answers are matched: request, reply, retries of questions only.

A make is written once per call and never retried here. Waiting is the caller's: every question is a conversation.
"""

import logging
from collections.abc import Callable, Iterable
from math import inf
from random import Random
from typing import Literal, Protocol, TypeVar

from msgspec import UNSET
from msgspec.structs import replace

from agent.clock import Clock
from agent.machine import capability_rules
from agent.machine.capability_rules import Duty
from agent.machine.conversation import Conversation, Heard, LineLost, LineNews, Wait
from agent.machine.profile import Profile
from protocol.errors import Malformed, TooLarge, UnknownKind, WireError
from protocol.frames import Frame
from protocol.machine import (
    CancelDrink,
    CancelReply,
    CountersQuery,
    CountersReply,
    EventAck,
    Heartbeat,
    Hello,
    HelloReply,
    MachineMessage,
    MakeDrink,
    OrderQuery,
    OrderReply,
    Rinse,
    RinseReply,
    Status,
    StatusReply,
)

MAX_MSG_ID = 65_535
FROM_HOST = (Hello, Status, MakeDrink, CancelDrink, OrderQuery, CountersQuery, Rinse, EventAck)
"""Only we say these: heard on a line of two wires they are its echo, and no word of the machine."""
_SUBJECTS = {OrderReply: "order_uuid", CancelReply: "order_uuid", RinseReply: "job_uuid"}
"""Answers about one order or rinse, and the key that names it, as in their questions; a machine may leave it out."""
_NOBODY = ("", "")
log = logging.getLogger(__name__)


class Overtaken(WireError):
    """Counts that later ones have outrun on their way: what they say is over."""


Reply = TypeVar("Reply", HelloReply, StatusReply, CountersReply, OrderReply, CancelReply, RinseReply)


class Line(Protocol):
    """The serial line as the worker sees it: never blocks for reading."""

    def take_news(self) -> list[LineNews]:
        """What happened since the last call, in order."""

    def send(self, frame: Frame, session: int) -> None:
        """Write one frame if the port is still the one opened as `session`. Raises `LineLost`."""

    def recall(self, session: int) -> None:
        """Throw away what was written and has not left, at the price of the line: it is opened anew."""

    def renew(self, session: int) -> None:
        """Close the port and open it again."""

    def error_ratio(self) -> float:
        """Share of damaged frames, 0 to 1."""


class Driver:
    """The machine, as long as the line is the same; `boot_id` and `abilities` come with its greeting.

    What the profile has no command for is not asked: the answer is None, as of a machine that does not know.
    """

    def __init__(self, line: Line, profile: Profile, clock: Clock, random: Random) -> None:
        self._line = line
        self._profile = profile
        self._codec = profile.codec
        self._timers = profile.timers
        self._clock = clock
        self._random = random
        self._msg_id = random.randint(1, MAX_MSG_ID)
        self._session = 0
        self._asked: dict[int, tuple[str, str]] = {}
        """Questions since the last make or rinse, by number: key and name of what each is about, or `_NOBODY`."""
        self._counted_by = self._msg_id
        """The question that the last counts answered."""
        self._unanswered = ""
        """The order of a make, or the job of a rinse, that nothing yet shows to have arrived."""
        self.recall_at = inf
        """Steady seconds; what is unanswered then must not arrive any more."""
        self.is_open = False
        self.is_greeted = False
        self.boot_id = ""
        self.model = ""
        self._was_greeted = False
        self.abilities: frozenset[str] = frozenset()
        self.counter_is_believed = True
        """False: the machine sells by itself, and what it counts proves nothing of an order."""
        self._learn_abilities(())

    def opened(self, session: int) -> None:
        """A new opening: replies to older questions must not be taken for new ones."""
        self._session = session
        self._msg_id = self._counted_by = self._random.randint(1, MAX_MSG_ID)
        self.is_open = True
        self.is_greeted = self._was_greeted and self.must(Duty.REPORT_PORT_ONLY)  # an open port is all it can say

    def closed(self) -> None:
        """What had not left is lost with the line."""
        self.is_open = self.is_greeted = False
        self._arrived()

    def renew_line(self) -> None:
        """Have the port closed and opened again."""
        self._line.renew(self._session)

    def can(self, ability: str) -> bool:
        return ability in self.abilities

    def must(self, duty: Duty) -> bool:
        """Does what this machine cannot do oblige us to this?"""
        return duty in capability_rules.duties(self._telling)

    @property
    def _telling(self) -> frozenset[str]:
        """Its abilities, without counters that prove nothing."""
        return self.abilities if self.counter_is_believed else self.abilities - {"counters"}

    @property
    def is_unobservable(self) -> bool:
        """Nothing it says will ever tell what became of a drink. Not said of a machine that has never spoken yet."""
        return (self._was_greeted or not self._introduces_itself) and capability_rules.is_unobservable(self._telling)

    @property
    def is_blind(self) -> bool:
        """It does not even say that it has taken a make."""
        return self.is_unobservable and capability_rules.is_blind(self._telling)

    @property
    def capabilities(self) -> list[str]:
        """As the cloud is told them."""
        return sorted(self._telling)

    def read(self, frame: Frame) -> MachineMessage:
        """What the machine said. Raises `WireError`."""
        message = self._completed(self._codec.from_frame(frame))
        if not isinstance(message, FROM_HOST):
            is_reply = getattr(message, "msg_id", 0) in self._asked  # asked behind the make, so the make is there
            if is_reply or self._unanswered in (getattr(message, key, None) for key in ("order_uuid", "job_uuid")):
                self._arrived()
        if isinstance(message, CountersReply):
            self._take_in_turn(message)
        return message

    def _completed(self, message: MachineMessage) -> MachineMessage:
        """Give an answer that names nothing the name in its question. Raises `Malformed` where there is none."""
        key = _SUBJECTS.get(type(message), "")
        if getattr(message, key, None) is not UNSET:
            return message
        asked_by, name = self._asked.get(getattr(message, "msg_id", 0), _NOBODY)
        if asked_by != key:
            raise Malformed(f"{type(message).__name__}: names nobody, and answers no question about one")
        return replace(message, **{key: name})

    def _take_in_turn(self, counts: CountersReply) -> None:
        """Counters that are set back are news; counts from before the last are none. Raises `Overtaken`."""
        if self._questions_since(counts.msg_id) > self._questions_since(self._counted_by):
            raise Overtaken("counts of before the last")
        self._counted_by = counts.msg_id

    def _questions_since(self, msg_id: int) -> int:
        return (self._msg_id - msg_id) % MAX_MSG_ID

    def order_in(self, frame: Frame) -> str | None:
        """The order of the drink that an unreadable frame speaks of."""
        return self._codec.order_in(frame)

    def greet(self) -> Conversation[bool]:
        """Learn which machine is there, as far as it can tell; False when none answers."""
        if self._introduces_itself:
            return (yield from self._ask_who())
        if self.can(capability_rules.STATUS):
            reply = yield from self.status()
            return reply is not None and self._met(reply.boot_id)
        if self.can("heartbeat"):
            beat = yield Wait(self._clock.monotonic() + self._timers.quiet, lambda heard: isinstance(heard, Heartbeat))
            return isinstance(beat, Heartbeat) and self._met(beat.boot_id)
        return self.is_open and self._met("")

    @property
    def _introduces_itself(self) -> bool:
        return self._codec.knows(Hello, HelloReply)

    def _ask_who(self) -> Conversation[bool]:
        reply = yield from self._ask(lambda msg_id: Hello(msg_id=msg_id), HelloReply)
        if reply is None:
            return False
        if reply.boot_id != self.boot_id:
            log.info("machine %s firmware %s, boot %s, can: %s", reply.model, reply.fw, reply.boot_id, reply.caps)
        self.model = reply.model
        self._learn_abilities(reply.caps)
        return self._met(reply.boot_id)

    def _met(self, boot_id: str) -> bool:
        self.boot_id = boot_id
        self._was_greeted = self.is_greeted = True
        return True

    def _learn_abilities(self, announced: Iterable[str]) -> None:
        abilities = self._profile.abilities(frozenset(announced))
        self.abilities = abilities | {capability_rules.STATUS} if self._codec.knows(Status, StatusReply) else abilities

    def status(self) -> Conversation[StatusReply | None]:
        return (yield from self._ask(lambda msg_id: Status(msg_id=msg_id), StatusReply))

    def counters(self) -> Conversation[CountersReply | None]:
        return (yield from self._ask(lambda msg_id: CountersQuery(msg_id=msg_id), CountersReply))

    def lookup(self, order_id: str) -> Conversation[OrderReply | None]:
        """What the machine remembers of one order; None when it does not answer."""
        return (yield from self._ask(lambda msg_id: OrderQuery(msg_id=msg_id, order_uuid=order_id), OrderReply))

    def cancel(self, order_id: str) -> Conversation[CancelReply | None]:
        return (yield from self._ask(lambda msg_id: CancelDrink(msg_id=msg_id, order_uuid=order_id), CancelReply))

    def rinse(self, job_id: str, kind: Literal["rinse", "clean"], until: float) -> Conversation[RinseReply | None]:
        """Asked again under the same id, a machine starts nothing twice.

        Not to arrive after None was returned, nor after `until`, steady seconds.
        """
        self._expect(job_id, until)
        reply = yield from self._ask(lambda msg_id: Rinse(msg_id=msg_id, job_uuid=job_id, kind=kind), RinseReply)
        if reply is None:
            self._recall()
        return reply

    def fits(self, message: MachineMessage) -> bool:
        """Is there a frame of this machine that holds it?"""
        try:
            self._profile.layout.encode(self._codec.to_frame(message))
        except (TooLarge, UnknownKind):
            return False
        return True

    def make(self, drink: MakeDrink, until: float) -> None:
        """Write the make frame, once; not to arrive after `until`, steady seconds. Raises `LineLost`, `TooLarge`."""
        self._send(drink)
        self._expect(drink.order_uuid, until)

    def recall_if_due(self, now: float) -> None:
        """A line that took the bytes and holds them back would deliver them when nobody waits for them any more."""
        if now >= self.recall_at:
            self._recall()

    def _expect(self, name: str, until: float) -> None:
        """What is about this order or job is to be recalled at `until`, unless it shows that it has arrived."""
        self._asked.clear()
        self._unanswered, self.recall_at = name, until

    def _recall(self) -> None:
        """Unless it is known to have arrived."""
        if self._unanswered:
            log.warning("%s is unanswered and its time is up: what has not left is thrown away", self._unanswered)
            self._arrived()
            self._line.recall(self._session)

    def _arrived(self) -> None:
        self._unanswered, self.recall_at = "", inf

    def acknowledge(self, boot_id: str, evt: int) -> None:
        """Tell the machine to stop repeating an event; if this is lost it repeats, and is told again."""
        if not self._codec.knows(EventAck):
            return
        try:
            self._send(EventAck(boot_id=boot_id, evt=evt))
        except (LineLost, TooLarge) as lost:
            log.debug("event %s of boot %s not acknowledged: %s", evt, boot_id, lost)

    def _ask(self, question: Callable[[int], MachineMessage], answer: type[Reply]) -> Conversation[Reply | None]:
        """Ask until answered, at most `query_tries` times; a late answer to an earlier try counts."""
        asked: dict[int, MachineMessage] = {}
        key = _SUBJECTS.get(answer, "msg_id")

        def wanted(heard: Heard) -> bool:
            said = asked.get(heard.msg_id) if isinstance(heard, answer) else None
            return said is not None and getattr(heard, key) == getattr(said, key)

        for _ in range(self._timers.query_tries):
            msg_id = self._next_msg_id()
            asked[msg_id] = question(msg_id)
            self._asked[msg_id] = (key, getattr(asked[msg_id], key)) if answer in _SUBJECTS else _NOBODY
            try:
                self._send(asked[msg_id])
            except (UnknownKind, TooLarge):
                return None
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
        frame = self._codec.to_frame(message)
        self._profile.layout.encode(frame)  # what fits no frame is a fault of the message, not of the line
        try:
            self._line.send(frame, self._session)
        except LineLost:
            self.closed()
            raise
