"""MQTT control packets, 3.1.1 and 5: bytes of a client to packets, packets to bytes for a client. No I/O."""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum

from simulator.broker import properties as props
from simulator.broker import topics, wire
from simulator.broker.properties import Place, Properties
from simulator.broker.reasons import Reason, Violation, connack_code


class Type(IntEnum):
    """The upper half of a packet's first byte."""

    CONNECT = 1
    CONNACK = 2
    PUBLISH = 3
    PUBACK = 4
    PUBREC = 5
    PUBREL = 6
    PUBCOMP = 7
    SUBSCRIBE = 8
    SUBACK = 9
    UNSUBSCRIBE = 10
    UNSUBACK = 11
    PINGREQ = 12
    PINGRESP = 13
    DISCONNECT = 14
    AUTH = 15


@dataclass(frozen=True, slots=True)
class Publish:
    """A message on its way in or out; `packet_id` is 0 for QoS 0."""

    topic: str
    payload: bytes
    qos: int = 0
    retain: bool = False
    dup: bool = False
    packet_id: int = 0
    properties: Properties = props.NONE


@dataclass(frozen=True, slots=True)
class Connect:
    """`will` is the message to publish when this client vanishes (its `packet_id` means nothing)."""

    version: int
    client_id: str
    clean_start: bool
    keep_alive: int
    will: Publish | None
    username: str | None
    password: bytes | None
    properties: Properties


@dataclass(frozen=True, slots=True)
class Ack:
    """PUBACK, PUBREC, PUBREL or PUBCOMP, as `type` says."""

    type: Type
    packet_id: int
    reason: int = Reason.SUCCESS


@dataclass(frozen=True, slots=True)
class Wish:
    """One line of a SUBSCRIBE; `retain_handling`: 0 retained messages now, 1 only when new, 2 never."""

    filter: str
    qos: int
    no_local: bool
    retain_as_published: bool
    retain_handling: int


@dataclass(frozen=True, slots=True)
class Subscribe:
    """What a client wants to receive; `identifier` comes back with each message (MQTT 5)."""

    packet_id: int
    wishes: tuple[Wish, ...]
    identifier: int | None


@dataclass(frozen=True, slots=True)
class Unsubscribe:
    """What a client wants no more."""

    packet_id: int
    filters: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Ping:
    """A client saying that it lives."""


@dataclass(frozen=True, slots=True)
class Disconnect:
    """A client leaving on purpose."""

    reason: int
    session_expiry: int | None


Packet = Publish | Connect | Ack | Subscribe | Unsubscribe | Ping | Disconnect


class Splitter:
    """Cuts a client's stream into packets: first byte and body.

    A `Violation` is a packet over `limit` bytes, and a stream that does not start with CONNECT: what is no
    MQTT at all is not waited for.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._buffer = bytearray()
        self._is_new = True

    def feed(self, data: bytes) -> Iterator[tuple[int, bytes]]:
        self._buffer += data
        if self._is_new and data and data[0] != Type.CONNECT << 4:
            raise Violation(Reason.PROTOCOL_ERROR, "the first packet is not CONNECT")
        self._is_new = self._is_new and not data
        while len(self._buffer) >= 2:
            header = self._header()
            if header is None:
                return
            start, end = header
            if len(self._buffer) < end:
                return
            first, body = self._buffer[0], bytes(self._buffer[start:end])
            del self._buffer[:end]
            yield first, body

    def _header(self) -> tuple[int, int] | None:
        """Where the body starts and ends, or None while the length itself is not there."""
        length = self._buffer[1:5]
        complete = next((at for at, byte in enumerate(length) if byte < 0x80), None)
        if complete is None:
            if len(length) == 4:
                raise Violation(Reason.MALFORMED, "a packet length of more than four bytes")
            return None
        start = 2 + complete
        end = start + wire.Cursor(bytes(length[: complete + 1])).varint()
        if end > self._limit:
            raise Violation(Reason.PACKET_TOO_LARGE, f"a packet of {end} bytes, {self._limit} allowed")
        return start, end


def parse(first: int, body: bytes, version: int) -> Packet:
    """One packet of a client that speaks `version`; raises `Violation` for anything the standard forbids."""
    kind, flags = first >> 4, first & 0x0F
    if kind == Type.PUBLISH:
        return _publish(flags, wire.Cursor(body), version)
    if flags != (2 if kind in (Type.PUBREL, Type.SUBSCRIBE, Type.UNSUBSCRIBE) else 0):
        raise Violation(Reason.MALFORMED, "flags that are reserved")
    cursor = wire.Cursor(body)
    packet = _body(kind, cursor, version)
    if cursor.left:
        raise Violation(Reason.MALFORMED, "bytes after the end of the packet")
    return packet


def _body(kind: int, cursor: wire.Cursor, version: int) -> Packet:
    match kind:
        case Type.CONNECT:
            return _connect(cursor)
        case Type.PUBACK | Type.PUBREC | Type.PUBREL | Type.PUBCOMP:
            return _ack(Type(kind), cursor, version)
        case Type.SUBSCRIBE:
            return _subscribe(cursor, version)
        case Type.UNSUBSCRIBE:
            return _unsubscribe(cursor, version)
        case Type.PINGREQ:
            return Ping()
        case Type.DISCONNECT:
            return _disconnect(cursor, version)
    raise Violation(Reason.PROTOCOL_ERROR, f"packet type {kind} is not for a client to send")


def _connect(cursor: wire.Cursor) -> Connect:
    name, version = cursor.blob(), cursor.byte()
    if (name, version) not in ((b"MQTT", 4), (b"MQTT", 5)):
        raise Violation(Reason.UNSUPPORTED_VERSION, "neither MQTT 3.1.1 nor MQTT 5")
    flags, keep_alive = cursor.byte(), cursor.short()
    if flags & 1 or (not flags & 0x04 and flags & 0x38) or flags & 0x18 == 0x18:
        raise Violation(Reason.MALFORMED, "connect flags that contradict each other")
    if version == 4 and flags & 0xC0 == 0x40:
        raise Violation(Reason.MALFORMED, "a password without a user")
    return Connect(  # the order of the arguments is the order on the wire
        version=version,
        clean_start=bool(flags & 0x02),
        keep_alive=keep_alive,
        properties=_properties(cursor, Place.CONNECT, version),
        client_id=cursor.text(),
        will=_will(cursor, flags, version) if flags & 0x04 else None,
        username=cursor.text() if flags & 0x80 else None,
        password=cursor.blob() if flags & 0x40 else None,
    )


def _will(cursor: wire.Cursor, flags: int, version: int) -> Publish:
    properties = _properties(cursor, Place.WILL, version)
    topic, payload = cursor.text(), cursor.blob()
    if not topics.is_name(topic):
        raise Violation(Reason.TOPIC_INVALID, "a will without a proper topic")
    return Publish(topic, payload, flags >> 3 & 3, bool(flags & 0x20), properties=properties)


def _publish(flags: int, cursor: wire.Cursor, version: int) -> Publish:
    qos, dup = flags >> 1 & 3, bool(flags & 8)
    if qos == 3 or (dup and qos == 0):
        raise Violation(Reason.MALFORMED, "QoS and DUP that cannot be")
    topic = cursor.text()
    packet_id = _packet_id(cursor) if qos else 0
    properties = _properties(cursor, Place.PUBLISH, version)
    if not topics.is_name(topic) and (topic or properties.topic_alias is None):
        raise Violation(Reason.TOPIC_INVALID, "a message without a proper topic")
    return Publish(topic, cursor.rest(), qos, bool(flags & 1), dup, packet_id, properties)


def _ack(kind: Type, cursor: wire.Cursor, version: int) -> Ack:
    packet_id = _packet_id(cursor)
    reason = cursor.byte() if version == 5 and cursor.left else Reason.SUCCESS
    if version == 5 and cursor.left:
        props.read(cursor, Place.ACK)
    return Ack(kind, packet_id, reason)


def _subscribe(cursor: wire.Cursor, version: int) -> Subscribe:
    packet_id = _packet_id(cursor)
    identifiers = _properties(cursor, Place.SUBSCRIBE, version).subscription_identifiers
    wishes: list[Wish] = []
    while cursor.left or not wishes:
        wishes.append(_wish(cursor.text(), cursor.byte(), version))
    if len(identifiers) > 1:
        raise Violation(Reason.PROTOCOL_ERROR, "more than one subscription identifier")
    return Subscribe(packet_id, tuple(wishes), identifiers[0] if identifiers else None)


def _wish(wanted: str, options: int, version: int) -> Wish:
    if options & 3 == 3 or options & 0x30 == 0x30 or options & (0xC0 if version == 5 else 0xFC):
        raise Violation(Reason.MALFORMED, "subscription options that cannot be")
    return Wish(wanted, options & 3, bool(options & 4), bool(options & 8), options >> 4 & 3)


def _unsubscribe(cursor: wire.Cursor, version: int) -> Unsubscribe:
    packet_id = _packet_id(cursor)
    _properties(cursor, Place.UNSUBSCRIBE, version)
    filters: list[str] = []
    while cursor.left or not filters:
        filters.append(cursor.text())
    return Unsubscribe(packet_id, tuple(filters))


def _disconnect(cursor: wire.Cursor, version: int) -> Disconnect:
    if version != 5 or not cursor.left:
        return Disconnect(Reason.SUCCESS, None)
    reason = cursor.byte()
    properties = props.read(cursor, Place.DISCONNECT) if cursor.left else props.NONE
    return Disconnect(reason, properties.session_expiry)


def _properties(cursor: wire.Cursor, place: Place, version: int) -> Properties:
    return props.read(cursor, place) if version == 5 else props.NONE


def _packet_id(cursor: wire.Cursor) -> int:
    packet_id = cursor.short()
    if packet_id == 0:
        raise Violation(Reason.MALFORMED, "packet id zero")
    return packet_id


def _whole(kind: Type, flags: int, *parts: bytes) -> bytes:
    body = b"".join(parts)
    return bytes((kind << 4 | flags,)) + wire.varint(len(body)) + body


def connack(version: int, reason: Reason, *, session_present: bool, properties: Properties) -> bytes:
    head = bytes((session_present, connack_code(reason, version)))
    return _whole(Type.CONNACK, 0, head, props.write(properties) if version == 5 else b"")


def publish(version: int, packet: Publish) -> bytes:
    flags = packet.dup << 3 | packet.qos << 1 | packet.retain
    return _whole(
        Type.PUBLISH,
        flags,
        wire.text(packet.topic),
        wire.short(packet.packet_id) if packet.qos else b"",
        props.write(packet.properties) if version == 5 else b"",
        packet.payload,
    )


def ack(version: int, packet: Ack) -> bytes:
    reason = bytes((packet.reason,)) if version == 5 and packet.reason else b""
    return _whole(packet.type, 2 if packet.type is Type.PUBREL else 0, wire.short(packet.packet_id), reason)


def suback(version: int, packet_id: int, codes: list[int]) -> bytes:
    """`codes`: the QoS granted or a reason, one for each wish."""
    known = codes if version == 5 else [min(code, 0x80) for code in codes]
    return _whole(Type.SUBACK, 0, wire.short(packet_id), b"\0" if version == 5 else b"", bytes(known))


def unsuback(version: int, packet_id: int, codes: list[int]) -> bytes:
    return _whole(Type.UNSUBACK, 0, wire.short(packet_id), b"\0" + bytes(codes) if version == 5 else b"")


def pingresp() -> bytes:
    return _whole(Type.PINGRESP, 0)


def disconnect(version: int, reason: Reason) -> bytes:
    """What the broker says before it hangs up; MQTT 3.1.1 has no word for it."""
    return _whole(Type.DISCONNECT, 0, bytes((reason,))) if version == 5 else b""
