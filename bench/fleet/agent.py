"""One simulated agent: connects, greets, pours what it is told, reports until it is told that the cloud has it.

It keeps to what `agent/cloud` does (pauses, repeats, spread); its journal is its memory, its machine a timer.
"""

import asyncio
import random
import ssl
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime

import msgspec
from msgspec import UNSET

from agent.cloud.handshake import HELLO_PAUSE_S, LONGEST_HELLO_PAUSE_S
from agent.cloud.link import LONGEST_PAUSE_S, SHORTEST_PAUSE_S, STEADY_S
from agent.cloud.mqtt import KEEPALIVE_S, SESSION_EXPIRY_S
from agent.cloud.report_sender import LONGEST_REPEAT_S, REPEAT_AFTER_S
from agent.cloud.state_sender import STATE_EVERY_S
from bench.fleet import packets
from protocol.messages import (
    GREETING,
    Accepted,
    AnyMessage,
    Asked,
    Counters,
    Hello,
    Make,
    Message,
    Outcome,
    Presence,
    Probe,
    ProbeReply,
    Query,
    Receipt,
    State,
    Welcome,
    encode,
)
from protocol.reasons import AgentCode, MachineState, Result, Spout
from protocol.topics import Channel, topic

POURS_S = 1.0
VERSION = "bench"
_decode = msgspec.json.Decoder(AnyMessage).decode


@dataclass(slots=True)
class FleetRecord:
    """What all agents have seen so far. Times are seconds since 1970."""

    connects: int = 0
    hellos: int = 0
    welcomed: int = 0
    """Agents whose last connection was answered."""
    online: int = 0
    states: int = 0
    """State and presence messages sent."""
    makes: int = 0
    """Commands heard, repeats included."""
    poured: dict[str, float] = field(default_factory=dict)
    """By order: when its cup was full."""
    poured_twice: int = 0
    late: int = 0
    """Commands heard past their deadline; nothing is poured then."""
    refused: str = ""
    """What the broker said no to."""


class Agent(asyncio.Protocol):
    """Of one device; `record` is shared by all, `address` is the broker's."""

    def __init__(
        self, name: str, password: str, address: tuple[str, int], tls: ssl.SSLContext | None, record: FleetRecord,
        moves_every_s: float,
    ) -> None:  # fmt: skip
        self._name, self._password, self._address, self._tls, self._record = name, password, address, tls, record
        self._topics = {channel: topic(name, channel) for channel in Channel}
        self._moves_every_s = moves_every_s
        """How often its state changes by itself; 0 for never."""
        self._transport: asyncio.Transport | None = None
        self._packets = packets.Packets()
        self._number = self._connection = self._hello = 0
        self._pause, self._spread_s, self._ready_at = SHORTEST_PAUSE_S, 0.0, 0.0
        self._is_welcome = self._ends = False
        self._journal: dict[str, list[Accepted | Outcome]] = {}
        """By command: what was said of it."""
        self._unheard: dict[str, tuple[bytes, float, float]] = {}
        """Reports the cloud has no receipt for: bytes, when to repeat, the pause then."""
        self._cups, self._busy = 0, ""
        self._timers: list[asyncio.TimerHandle] = []

    async def live(self, begins_in_s: float) -> None:
        """Connect, again and again, until `end`."""
        await asyncio.sleep(begins_in_s)
        loop = asyncio.get_running_loop()
        while not self._ends:
            self._lost = loop.create_future()
            self._packets = packets.Packets()
            try:
                await loop.create_connection(lambda: self, *self._address, ssl=self._tls)
                await self._lost
            except OSError:
                pass
            spread = self._spread_s if self._ready_at else 0.0
            steady = self._ready_at and time.monotonic() - self._ready_at > STEADY_S
            pause = SHORTEST_PAUSE_S if steady else self._pause
            self._pause, self._ready_at = min(LONGEST_PAUSE_S, pause * 2), 0.0
            await asyncio.sleep(pause * random.uniform(0.5, 1.0) + random.uniform(0.0, spread))

    def end(self) -> None:
        """Go without a word."""
        self._ends = True
        if self._transport is not None:
            self._transport.abort()

    # Called by asyncio

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._connection += 1
        self._record.connects += 1
        will = encode(Presence(online=False, session_id=f"{self._name}-1"))
        transport.write(
            packets.connect(
                self._name, self._password, self._topics[Channel.PRESENCE], will, KEEPALIVE_S, SESSION_EXPIRY_S
            )
        )

    def data_received(self, data: bytes) -> None:
        for kind, flags, body in self._packets.feed(data):
            if kind == packets.PUBLISH:
                _, number, payload = packets.published(flags, body)
                self._hear(_decode(payload))
                if number:
                    self._write(packets.puback(number))
            elif kind == packets.CONNACK:
                self._refused("CONNECT", body[1])
                wanted = [self._topics[Channel.COMMAND], self._topics[Channel.RECEIPT]]
                self._write(packets.subscribe(self._next(), wanted))
            elif kind == packets.SUBACK:
                self._refused("SUBSCRIBE", max(body[3:]))
                self._begin()

    def connection_lost(self, exc: Exception | None) -> None:
        for timer in self._timers:
            timer.cancel()
        self._timers.clear()
        self._record.online -= self._ready_at > 0
        self._record.welcomed -= self._is_welcome
        self._is_welcome, self._transport = False, None
        if not self._lost.done():
            self._lost.set_result(None)

    # What it says

    def _begin(self) -> None:
        self._ready_at = time.monotonic()
        self._record.online += 1
        said = Presence(online=True, session_id=f"{self._name}-1", agent_version=VERSION, connection=self._connection)
        self._say(Channel.PRESENCE, said, packets.RETAIN)
        self._record.states += 1
        self._say_hello(HELLO_PAUSE_S)
        for message_id, (payload, _, _) in list(self._unheard.items()):
            self._unheard[message_id] = (payload, time.monotonic() + REPEAT_AFTER_S, REPEAT_AFTER_S)
            self._publish(Channel.REPORT, payload)
        self._say_state()
        self._every(random.uniform(0.5, 1.0) * STATE_EVERY_S, STATE_EVERY_S, self._say_state)
        self._every(KEEPALIVE_S * random.uniform(0.4, 0.8), KEEPALIVE_S * 0.8, lambda: self._write(packets.PINGREQ))
        self._every(random.uniform(0.5, 1.0) * REPEAT_AFTER_S, REPEAT_AFTER_S / 2, self._repeat)
        if self._moves_every_s:
            self._every(random.uniform(0.0, 1.0) * self._moves_every_s, self._moves_every_s, self._move)

    def _say_hello(self, pause: float) -> None:
        if self._is_welcome:
            return
        self._hello += 1
        self._record.hellos += 1
        self._say(Channel.REPORT, Hello(hello_id=f"h{self._hello}", agent_version=VERSION, profile="companion-v1"))
        longer = min(LONGEST_HELLO_PAUSE_S, pause * 2)
        self._later(pause * random.uniform(0.75, 1.25), lambda: self._say_hello(longer))

    def _say_state(self) -> None:
        self._record.states += 1
        counts = Counters(total=self._cups, paid=self._cups, free=0, test=0)
        ready = MachineState.BREWING if self._busy else MachineState.READY
        self._say(
            Channel.STATE,
            State(
                at=datetime.now(UTC), link="up", machine=ready, selling=True, busy_order=self._busy or None,
                counters=counts, agent_version=VERSION, model="bench", capabilities=["finish", "order", "counters"],
            ),
            packets.RETAIN,
        )  # fmt: skip

    def _move(self) -> None:
        self._cups += 1
        self._say_state()

    def _repeat(self) -> None:
        now = time.monotonic()
        for message_id, (payload, due, pause) in list(self._unheard.items()):
            if now >= due:
                longer = min(LONGEST_REPEAT_S, pause * 2)
                self._unheard[message_id] = (payload, now + longer, longer)
                self._publish(Channel.REPORT, payload)

    def _report(self, said: Accepted | Outcome) -> None:
        self._journal.setdefault(said.command_id, []).append(said)
        payload = encode(said)
        self._unheard[said.message_id] = (payload, time.monotonic() + REPEAT_AFTER_S, REPEAT_AFTER_S)
        self._publish(Channel.REPORT, payload)

    # What it hears

    def _hear(self, message: Message) -> None:
        match message:
            case Make():
                self._make(message)
            case Receipt(message_ids=ids):
                for message_id in ids:
                    self._unheard.pop(message_id, None)
            case Welcome():
                self._hear_welcome(message)
            case Query(commands=commands):
                for asked in commands:
                    self._tell(asked)
            case Probe(probe_id=probe_id):
                self._say(Channel.REPORT, ProbeReply(probe_id=probe_id, ready=True))

    def _hear_welcome(self, welcome: Welcome) -> None:
        spread = getattr(welcome, "spread_s", UNSET)
        self._spread_s = self._spread_s if spread is UNSET else float(spread)
        if welcome.hello_id != GREETING:
            self._record.welcomed += not self._is_welcome
            self._is_welcome = True
        elif self._is_welcome:
            self._record.welcomed -= 1
            self._is_welcome = False
            self._later(random.uniform(0.0, self._spread_s), lambda: self._say_hello(HELLO_PAUSE_S))

    def _make(self, make: Make) -> None:
        self._record.makes += 1
        if make.command_id in self._journal:
            self._tell(Asked(command_id=make.command_id, order_id=make.order_id))
        elif datetime.now(UTC) > make.deadline_at:
            self._record.late += 1
            self._report(_outcome(make, Result.REJECTED, AgentCode.EXPIRED, Spout.NONE))
        else:
            at = datetime.now(UTC)
            self._report(
                Accepted(message_id=f"a-{make.command_id}", command_id=make.command_id, order_id=make.order_id, at=at)
            )
            self._busy = make.order_id
            self._say_state()
            asyncio.get_running_loop().call_later(POURS_S, self._poured, make)

    def _poured(self, make: Make) -> None:
        """The machine goes on whatever the network does."""
        self._record.poured_twice += make.order_id in self._record.poured
        self._record.poured[make.order_id] = time.time()
        self._cups, self._busy = self._cups + 1, ""
        self._report(_outcome(make, Result.DONE, "", Spout.FULL))
        self._say_state()

    def _tell(self, asked: Asked) -> None:
        known = self._journal.get(asked.command_id)
        if known is None:
            self._report(_outcome(asked, Result.REJECTED, AgentCode.NEVER_RECEIVED, Spout.NONE))
            return
        for said in known:
            self._publish(Channel.REPORT, encode(said))

    # How

    def _refused(self, what: str, code: int) -> None:
        if code >= 0x80:
            self._record.refused = f"{what} of {self._name}: {code}"

    def _say(self, channel: Channel, message: Message, flags: int = 0) -> None:
        self._publish(channel, encode(message), flags)

    def _publish(self, channel: Channel, payload: bytes, flags: int = 0) -> None:
        self._write(packets.publish(self._topics[channel], payload, self._next(), flags))

    def _write(self, data: bytes) -> None:
        if self._transport is not None:
            self._transport.write(data)

    def _next(self) -> int:
        self._number = self._number % 65535 + 1
        return self._number

    def _later(self, seconds: float, do: object) -> None:
        assert callable(do)
        self._timers = [timer for timer in self._timers if timer.when() > asyncio.get_running_loop().time()]
        self._timers.append(asyncio.get_running_loop().call_later(seconds, do))

    def _every(self, first: float, seconds: float, do: object) -> None:
        assert callable(do)

        def turn() -> None:
            do()
            self._later(seconds, turn)

        self._later(first, turn)


def _outcome(make: Make | Asked, result: Result, code: str, out: Spout) -> Outcome:
    return Outcome(
        message_id=f"o-{make.command_id}", command_id=make.command_id, order_id=make.order_id, at=datetime.now(UTC),
        result=result, code=code, out=out,
    )  # fmt: skip
