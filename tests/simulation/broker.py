"""The MQTT broker between the worlds' processes: sessions, retained words, last wills, expiry, shared subscriptions.

Also the network to it: each connection keeps its order, takes its time, and can be cut, noticed by either end late.
"""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import count
from random import Random

from protocol.topics import parse
from tests.simulation.faults import Faults
from tests.simulation.scheduler import Process, Scheduler
from tests.simulation.timeline import Timeline

GOOD, NOBODY_SUBSCRIBED = 0, 16
MOST_IN_FLIGHT = 20
"""Unacknowledged messages Mosquitto lets out to one client."""
KEEPALIVE_NOTICE_S = 15.0
SHARED = "$share/"


@dataclass(eq=False)
class Letter:
    """One message at the broker. `expires_at`: true time; None never."""

    topic: str
    payload: bytes
    expires_at: float | None
    retained: bool = False


@dataclass(eq=False)
class Session:
    """What the broker remembers of one client; `is_kept`: also while it is away."""

    client_id: str
    is_kept: bool
    filters: list[str] = field(default_factory=list)
    queue: deque[Letter] = field(default_factory=deque)
    in_flight: dict[int, Letter] = field(default_factory=dict)
    line: "Line | None" = None


class Line:
    """One connection. What is on its way when it is cut is lost, in both directions."""

    def __init__(self, broker: "Broker", owner: Process, client_id: str, latency: Callable[[], float]) -> None:
        self.broker = broker
        self.owner = owner
        self.client_id = client_id
        self.is_cut = False
        self.session: Session | None = None
        self.will: Letter | None = None
        self.on_lost: Callable[[str], None] = lambda _why: None
        self.on_letter: Callable[[int, Letter], None] = lambda _number, _letter: None
        self._latency = latency
        self._up_at = self._down_at = 0.0

    def up(self, act: Callable[[], None], extra: float = 0.0) -> None:
        """To the broker; `extra` seconds late, and with it all that follows."""
        self._up_at = max(self._up_at, self.broker.now + self._latency() + extra)
        self.broker.scheduler.at(self._up_at, lambda: None if self.is_cut else act())

    def down(self, act: Callable[[], None], extra: float = 0.0) -> None:
        """To the client; `extra` seconds late, others overtaking."""
        arrives = max(self._down_at, self.broker.now + self._latency())
        if extra == 0.0:
            self._down_at = arrives
        self.broker.scheduler.at(arrives + extra, lambda: None if self.is_cut else act(), self.owner)

    def cut(self, why: str, client_notices: float, broker_notices: float) -> None:
        """The connection is gone; each end notices after so many seconds."""
        if self.is_cut:
            return
        self.is_cut = True
        self.broker.scheduler.after(client_notices, lambda: self.on_lost(why), self.owner)
        self.broker.scheduler.after(broker_notices, lambda: self.broker.lost(self))


class Broker:
    """Up or down; with or without a memory."""

    def __init__(self, scheduler: Scheduler, faults: Faults, timeline: Timeline, random: Random) -> None:
        self.scheduler = scheduler
        self.is_up = True
        self.lines: dict[Line, None] = {}
        self._faults = faults
        self._timeline = timeline
        self._random = random
        self._sessions: dict[str, Session] = {}
        self._retained: dict[str, Letter] = {}
        self._numbers = count(1)
        self._turn = 0
        self._shut_out: dict[str, float] = {}

    @property
    def now(self) -> float:
        return self.scheduler.now

    # Connections

    def lines_of(self, owner: Process) -> list[Line]:
        return [line for line in self.lines if line.owner is owner]

    def open(self, owner: Process, client_id: str, latency: Callable[[], float]) -> Line:
        """A connection to the broker's port. Raises `ConnectionRefusedError`."""
        is_out = self.now < self._shut_out.get(client_id, 0.0) and not self._faults.is_over
        if not self.is_up or is_out or self._faults.strikes("net.refused"):
            raise ConnectionRefusedError("no broker")
        line = Line(self, owner, client_id, latency)
        self.lines[line] = None
        return line

    def shut_out(self, client_id: str, seconds: float) -> None:
        """Nothing of this client gets through for so long."""
        self._timeline.add("network", f"nothing gets through to {client_id} for {seconds:.0f} s")
        self._shut_out[client_id] = self.now + seconds
        for line in [line for line in self.lines if line.client_id == client_id]:
            line.cut("no network", 10.0, 20.0)

    def welcome(self, line: Line, *, clean: bool, is_kept: bool, will: Letter | None) -> None:
        """CONNECT has arrived."""
        known = self._sessions.get(line.client_id)
        if known is not None and known.line is not None:
            known.line.cut("another client took its name", 0.05, 0.0)
            self.lost(known.line)
        if clean or line.client_id not in self._sessions or self._faults.strikes("broker.forgets_session"):
            self._sessions[line.client_id] = Session(line.client_id, is_kept)
        session = self._sessions[line.client_id]
        session.line, line.session, line.will = line, session, will
        self._resume(session)

    def subscribe(self, line: Line, filters: list[str]) -> None:
        session = line.session
        if session is None:
            return
        for one in filters:
            if one not in session.filters:
                session.filters.append(one)
            if not one.startswith(SHARED):
                for letter in [kept for topic, kept in self._retained.items() if matches(one, topic)]:
                    self._queue(session, Letter(letter.topic, letter.payload, None, retained=True))

    def lost(self, line: Line) -> None:
        """The broker notices that a client is gone: its will is told, its session kept or forgotten."""
        self.lines.pop(line, None)
        session = line.session
        if session is not None and session.line is line:
            session.line = None
            session.queue.extendleft(reversed(session.in_flight.values()))
            session.in_flight.clear()
            if not session.is_kept:
                self._sessions.pop(session.client_id, None)
        if line.will is not None and self.is_up:
            will, line.will = line.will, None
            self._timeline.add("broker", f"last will of {line.client_id}")
            self.publish(will, is_kept=True)

    def goodbye(self, line: Line) -> None:
        """DISCONNECT: no will."""
        line.will = None
        line.is_cut = True
        self.lost(line)

    # Messages

    def publish(self, letter: Letter, is_kept: bool) -> int:
        """A message has arrived; the reason code of its acknowledgement."""
        if is_kept:
            self._retained[letter.topic] = letter
        if self._faults.strikes("broker.loses") or self._faults.strikes("broker.forgets"):
            return GOOD
        takers = self._takers(letter.topic)
        for session in takers:
            self._queue(session, letter)
        return GOOD if takers else NOBODY_SUBSCRIBED

    def acknowledged(self, line: Line, number: int) -> None:
        if line.session is not None and line.session.line is line:
            line.session.in_flight.pop(number, None)
            self._pump(line.session)

    def restart(self, seconds: float, *, forgets: bool) -> None:
        """Down for so long; with its memory, or without."""
        self._timeline.add("broker", f"down for {seconds:.0f} s{', its memory lost' if forgets else ''}")
        self.is_up = False
        for line in list(self.lines):
            line.will = None
            line.cut("the broker went down", self._random.uniform(0.0, 0.5), 0.0)
            self.lost(line)
        if forgets:
            self._sessions.clear()
            self._retained.clear()
        self.scheduler.after(seconds, self._come_up)

    def _come_up(self) -> None:
        self.is_up = True
        self._timeline.add("broker", "up again")

    def _takers(self, topic: str) -> list[Session]:
        takers, group = [], []
        for session in self._sessions.values():
            if any(not one.startswith(SHARED) and matches(one, topic) for one in session.filters):
                takers.append(session)
            if any(one.startswith(SHARED) and matches(one.split("/", 2)[2], topic) for one in session.filters):
                group.append(session)
        awake = [session for session in group if session.line is not None and not session.line.is_cut] or group
        if awake:
            self._turn += 1
            takers.append(awake[self._turn % len(awake)])
        return takers

    def _queue(self, session: Session, letter: Letter) -> None:
        session.queue.append(letter)
        if self._faults.strikes("broker.duplicates"):
            session.queue.append(letter)
        self._pump(session)

    def _resume(self, session: Session) -> None:
        self._pump(session)

    def _pump(self, session: Session) -> None:
        line = session.line
        while line is not None and not line.is_cut and session.queue and len(session.in_flight) < MOST_IN_FLIGHT:
            letter = session.queue.popleft()
            if letter.expires_at is not None and letter.expires_at <= self.now:
                self._timeline.add("broker", f"dropped an expired message for {session.client_id}")
                continue
            number = next(self._numbers)
            session.in_flight[number] = letter
            self._send(line, number, letter)

    def _send(self, line: Line, number: int, letter: Letter) -> None:
        late = self._faults.strikes("broker.delays")
        extra = self._faults.random(late).uniform(0.5, 90.0) if late else 0.0
        line.down(lambda: line.on_letter(number, letter), extra)


def matches(wanted: str, topic: str) -> bool:
    """Whether a topic filter lets this topic of ours through."""
    wants, has = wanted.split("/"), topic.split("/")
    return len(wants) == len(has) and all(want in {"+", part} for want, part in zip(wants, has, strict=True))


def about(topic: str) -> str:
    """A topic in short, for the timeline."""
    address = parse(topic)
    return f"{address.channel.value} of {address.device_uuid}"
