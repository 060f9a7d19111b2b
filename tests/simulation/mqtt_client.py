"""What stands in for paho's client: the same callbacks and numbers, on the simulated broker's lines.

The real `BrokerLink` and the real `Connection` work with it as with paho, its manual acknowledgements included.
"""

import socket
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.reasoncodes import ReasonCode

from protocol.errors import Malformed
from tests.simulation.broker import KEEPALIVE_NOTICE_S, Letter, Line, about
from tests.simulation.here import here

SUCCESS, NO_CONNECTION = 0, 4
_WELCOME = ReasonCode(PacketTypes.CONNACK, "Success")
_GRANTED = ReasonCode(PacketTypes.SUBACK, "Granted QoS 1")
_LOST = ReasonCode(PacketTypes.DISCONNECT, "Unspecified error")
_TAKEN = {
    0: ReasonCode(PacketTypes.PUBACK, "Success"),
    16: ReasonCode(PacketTypes.PUBACK, "No matching subscribers"),
}


@dataclass
class _Properties:
    MessageExpiryInterval: int | None = None


@dataclass
class Message:
    """As `on_message` gets it."""

    topic: str
    payload: bytes
    mid: int
    retain: bool
    properties: _Properties
    qos: int = 1


@dataclass
class Info:
    """As `publish` gives it."""

    rc: int
    mid: int


@dataclass
class Flags:
    session_present: bool = False


class _Plug(socket.socket):
    """Something to pull, and to close when all is over: nobody does more with a client's socket."""

    def __init__(self, client: "Client") -> None:
        self._client = client

    def shutdown(self, _how: int) -> None:
        line = self._client.line
        if line is not None:
            line.cut("cut by its own end", 0.0, 0.01)

    def close(self) -> None: ...


@dataclass
class _Sent:
    """A publish without its acknowledgement."""

    topic: str
    payload: bytes
    retain: bool
    expiry_s: int | None


@dataclass(eq=False)
class _State:
    mid: int = 0
    out: dict[int, _Sent] = field(default_factory=dict)


class Client:
    """One paho client of the process whose code runs."""

    def __init__(self, _api: Any, client_id: str = "", protocol: int = 5, **options: Any) -> None:
        self._world = here()
        self._process = self._world.process
        self._client_id = client_id
        self._protocol = int(protocol)
        self._again = bool(options.get("reconnect_on_failure", True))
        self._clean_session: bool | None = options.get("clean_session")
        self._keeps_session = False
        self._clean = True
        self._delays = (1.0, 30.0)
        self._delay = 1.0
        self._will: tuple[str, bytes] | None = None
        self._looping = False
        self._state = _State()
        self.line: Line | None = None
        self.connect_timeout = 5.0
        self.on_connect = self.on_disconnect = self.on_message = self.on_publish = self.on_subscribe = _ignore
        self.on_socket_open = self.on_log = _ignore

    def max_inflight_messages_set(self, _most: int) -> None: ...

    def username_pw_set(self, _user: str, _password: str | None = None) -> None: ...

    def reconnect_delay_set(self, least: float, most: float) -> None:
        self._delays, self._delay = (least, most), least

    def will_set(self, topic: str, payload: bytes, qos: int, retain: bool) -> None:
        self._will = (topic, payload)

    def connect_async(self, _host: str, _port: int, _keepalive: int) -> None:
        """Connects when the loop starts, and again for ever."""

    def connect(self, _host: str, _port: int, _keepalive: int, clean_start: Any = None, properties: Any = None) -> None:
        """Raises `ConnectionRefusedError`."""
        if self._protocol >= 5:
            self._clean = clean_start is not False
            self._keeps_session = bool(getattr(properties, "SessionExpiryInterval", 0))
        else:
            self._clean = self._clean_session is not False
            self._keeps_session = not self._clean
        self._dial()

    def loop_start(self) -> None:
        self._looping = True
        if self.line is None:
            self._dial_again(0.0)

    def loop_stop(self) -> None:
        self._looping = self._again = False

    def disconnect(self) -> None:
        line, self.line = self.line, None
        if line is not None and not line.is_cut:
            self._world.broker.goodbye(line)
        self._again = False
        self.on_disconnect(self, None, None, _LOST, None)

    def socket(self) -> socket.socket | None:
        return None if self.line is None else _Plug(self)

    def subscribe(self, wanted: list[tuple[str, int]]) -> None:
        line = self.line
        if line is None:
            return
        filters = [name for name, _ in wanted]

        def arrive() -> None:
            line.down(lambda: self.on_subscribe(self, None, 1, [_GRANTED] * len(filters), None))
            self._world.broker.subscribe(line, filters)

        line.up(arrive)

    def publish(self, topic: str, payload: bytes, qos: int = 1, retain: bool = False, properties: Any = None) -> Info:
        self._state.mid = self._state.mid % 65_535 + 1
        sent = _Sent(topic, payload, retain, getattr(properties, "MessageExpiryInterval", None))
        self._state.out[self._state.mid] = sent
        self._world.promises.message_goes_out(payload)
        if self.line is None or self.line.session is None:
            return Info(NO_CONNECTION, self._state.mid)
        self._send(self.line, self._state.mid, sent)
        return Info(SUCCESS, self._state.mid)

    def ack(self, mid: int, _qos: int) -> None:
        line = self.line
        if line is not None:
            line.up(lambda: self._world.broker.acknowledged(line, mid))

    def drop_out_messages(self) -> None:
        self._state.out.clear()

    # Within

    def _send(self, line: Line, mid: int, sent: _Sent) -> None:
        broker = self._world.broker

        def arrive() -> None:
            until = None if sent.expiry_s is None else broker.now + sent.expiry_s
            code = broker.publish(Letter(sent.topic, sent.payload, until), sent.retain)
            if not self._world.faults.strikes("net.puback_lost"):
                line.down(lambda: self._published(mid, code))

        self._world.timeline.add(self._process.name, f"→ broker: {_short(sent.topic, sent.payload)}")
        stuck = self._world.faults.strikes("net.stuck")
        line.up(arrive, self._world.faults.random(stuck).choice((5.0, 30.0, 70.0, 200.0)) if stuck else 0.0)

    def _published(self, mid: int, code: int) -> None:
        self._state.out.pop(mid, None)
        self.on_publish(self, None, mid, _TAKEN[code], None)

    def _dial(self) -> None:
        latency = self._world.latency_of(self._process)
        line = self._world.broker.open(self._process, self._client_id, latency)
        self.line = line
        line.on_lost, line.on_letter = lambda why: self._lost(line, why), self._letter
        will = None if self._will is None else Letter(*self._will, expires_at=None)

        def arrive() -> None:
            self._world.broker.welcome(line, clean=self._clean, is_kept=self._keeps_session, will=will)
            line.down(self._connected)
            self._clean = self._clean and not self._keeps_session

        line.up(arrive)

    def _dial_again(self, after: float) -> None:
        def again() -> None:
            if not (self._looping and self._again) or self.line is not None:
                return
            try:
                self._dial()
            except ConnectionRefusedError:
                self._delay = min(self._delay * 2, self._delays[1])
                self._dial_again(self._delay)

        self._world.scheduler.after(after, again, self._process)

    def _connected(self) -> None:
        self._delay = self._delays[0]
        self.on_connect(self, None, Flags(), _WELCOME, None)
        line = self.line
        if line is not None:
            for mid, sent in list(self._state.out.items()):  # as paho does for what was not acknowledged
                self._send(line, mid, sent)

    def _letter(self, number: int, letter: Letter) -> None:
        left = None
        if letter.expires_at is not None and self._protocol >= 5:
            left = max(1, round(letter.expires_at - self._world.broker.now))
        if not letter.retained:
            self._world.timeline.add(self._process.name, f"← broker: {_short(letter.topic, letter.payload)}")
        told = Message(letter.topic, letter.payload, number, letter.retained, _Properties(left))
        self.on_message(self, None, told)

    def _lost(self, line: Line, why: str) -> None:
        if self.line is not line:
            return
        self.line = None
        self._world.timeline.add(self._process.name, f"connection lost: {why}")
        self.on_disconnect(self, None, None, _LOST, None)
        if self._again:
            self._dial_again(self._delay)
            self._delay = min(self._delay * 2, self._delays[1])


class WorldRedialling:
    """Stands in for the thread that steps a `BrokerLink`."""

    def __init__(self, step: Callable[[], float], part: Callable[[], None]) -> None:
        self._step = step
        self._part = part
        self._world = here()
        self._process = self._world.process
        self._planned = float("inf")
        self._is_started = self._has_ended = False

    def start(self) -> None:
        self._is_started = True
        self._plan(0.0)

    def wake(self) -> None:
        if self._is_started:
            self._plan(0.0)

    def end(self) -> None:
        self._has_ended = True
        self._part()

    def _plan(self, after: float) -> None:
        when = self._world.scheduler.now + after
        if when < self._planned:
            self._planned = when
            self._world.scheduler.at(when, lambda: self._due(when), self._process)

    def _due(self, when: float) -> None:
        if self._planned == when and not self._has_ended:
            self._planned = float("inf")
            self._plan(self._step())


def half_open(line: Line) -> None:
    """Neither end hears of it before its keepalive."""
    line.cut("no answer within the keepalive", KEEPALIVE_NOTICE_S, KEEPALIVE_NOTICE_S)


def _short(topic: str, payload: bytes) -> str:
    try:
        where = about(topic)
    except Malformed:
        where = topic
    text = payload.decode("utf-8", "replace")
    return f"{where}: {text[:160]}"


def _ignore(*_: Any) -> None:
    return None
