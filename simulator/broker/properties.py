"""MQTT 5 properties (section 2.2.2): each declared once, with its number, its type and the packets it may be in."""

from collections.abc import Callable
from dataclasses import dataclass, field, fields
from enum import Enum, Flag, auto
from typing import Any

from simulator.broker import wire
from simulator.broker.reasons import Reason, Violation


class Place(Flag):
    """The packets of a client that carry properties; a property elsewhere is a protocol error."""

    NOWHERE = 0
    CONNECT = auto()
    WILL = auto()
    PUBLISH = auto()
    ACK = auto()
    SUBSCRIBE = auto()
    UNSUBSCRIBE = auto()
    DISCONNECT = auto()
    ANYWHERE = CONNECT | WILL | PUBLISH | ACK | SUBSCRIBE | UNSUBSCRIBE | DISCONNECT


class _Kind(Enum):
    FLAG = auto()
    SHORT = auto()
    LONG = auto()
    VARINT = auto()
    BLOB = auto()
    TEXT = auto()
    PAIR = auto()


def _flag(cursor: wire.Cursor) -> int:
    value = cursor.byte()
    if value > 1:
        raise Violation(Reason.PROTOCOL_ERROR, "a flag that is neither 0 nor 1")
    return value


_READ: dict[_Kind, Callable[[wire.Cursor], Any]] = {
    _Kind.FLAG: _flag,
    _Kind.SHORT: wire.Cursor.short,
    _Kind.LONG: wire.Cursor.long,
    _Kind.VARINT: wire.Cursor.varint,
    _Kind.BLOB: wire.Cursor.blob,
    _Kind.TEXT: wire.Cursor.text,
    _Kind.PAIR: lambda cursor: (cursor.text(), cursor.text()),
}
_WRITE: dict[_Kind, Callable[[Any], bytes]] = {
    _Kind.FLAG: lambda value: bytes((value,)),
    _Kind.SHORT: wire.short,
    _Kind.LONG: wire.long,
    _Kind.VARINT: wire.varint,
    _Kind.BLOB: wire.blob,
    _Kind.TEXT: wire.text,
    _Kind.PAIR: lambda pair: wire.text(pair[0]) + wire.text(pair[1]),
}


def _one(number: int, kind: _Kind, place: Place) -> Any:
    return field(default=None, metadata={"number": number, "kind": kind, "place": place})


def _many(number: int, kind: _Kind, place: Place) -> Any:
    return field(default=(), metadata={"number": number, "kind": kind, "place": place})


_MESSAGE = Place.PUBLISH | Place.WILL


@dataclass(frozen=True, slots=True, kw_only=True)
class Properties:
    """What one packet carries; None or an empty tuple is a property that was not sent."""

    payload_format: int | None = _one(1, _Kind.FLAG, _MESSAGE)
    message_expiry: int | None = _one(2, _Kind.LONG, _MESSAGE)
    content_type: str | None = _one(3, _Kind.TEXT, _MESSAGE)
    response_topic: str | None = _one(8, _Kind.TEXT, _MESSAGE)
    correlation_data: bytes | None = _one(9, _Kind.BLOB, _MESSAGE)
    subscription_identifiers: tuple[int, ...] = _many(11, _Kind.VARINT, Place.SUBSCRIBE)
    session_expiry: int | None = _one(17, _Kind.LONG, Place.CONNECT | Place.DISCONNECT)
    assigned_client_id: str | None = _one(18, _Kind.TEXT, Place.NOWHERE)
    authentication_method: str | None = _one(21, _Kind.TEXT, Place.CONNECT)
    authentication_data: bytes | None = _one(22, _Kind.BLOB, Place.CONNECT)
    request_problem: int | None = _one(23, _Kind.FLAG, Place.CONNECT)
    will_delay: int | None = _one(24, _Kind.LONG, Place.WILL)
    request_response: int | None = _one(25, _Kind.FLAG, Place.CONNECT)
    reason_string: str | None = _one(31, _Kind.TEXT, Place.ACK | Place.DISCONNECT)
    receive_maximum: int | None = _one(33, _Kind.SHORT, Place.CONNECT)
    topic_alias_maximum: int | None = _one(34, _Kind.SHORT, Place.CONNECT)
    topic_alias: int | None = _one(35, _Kind.SHORT, Place.PUBLISH)
    user: tuple[tuple[str, str], ...] = _many(38, _Kind.PAIR, Place.ANYWHERE)
    maximum_packet_size: int | None = _one(39, _Kind.LONG, Place.CONNECT)
    shared_available: int | None = _one(42, _Kind.FLAG, Place.NOWHERE)


NONE = Properties()

_FIELDS = fields(Properties)
_BY_NUMBER = {declared.metadata["number"]: declared for declared in _FIELDS}
_NEVER_ZERO = {"subscription_identifiers", "receive_maximum", "topic_alias", "maximum_packet_size"}


def read(cursor: wire.Cursor, place: Place) -> Properties:
    """Properties at the cursor, leaving it behind them; raises `Violation` on anything not allowed there."""
    size = cursor.varint()
    if size == 0:
        return NONE
    inner = wire.Cursor(cursor.take(size))
    found: dict[str, Any] = {}
    while inner.left:
        number = inner.varint()
        declared = _BY_NUMBER.get(number)
        if declared is None or not declared.metadata["place"] & place:
            raise Violation(Reason.PROTOCOL_ERROR, f"property {number} does not belong here")
        value = _READ[declared.metadata["kind"]](inner)
        if value == 0 and declared.name in _NEVER_ZERO:
            raise Violation(Reason.PROTOCOL_ERROR, f"{declared.name} is zero")
        if declared.default == ():
            found[declared.name] = (*found.get(declared.name, ()), value)
        elif declared.name in found:
            raise Violation(Reason.PROTOCOL_ERROR, f"{declared.name} twice")
        else:
            found[declared.name] = value
    return Properties(**found)


def write(properties: Properties) -> bytes:
    """The properties with their length in front."""
    if properties is NONE:
        return b"\0"
    written = bytearray()
    for declared in _FIELDS:
        value = getattr(properties, declared.name)
        for single in value if declared.default == () else (value,) if value is not None else ():
            written += wire.varint(declared.metadata["number"]) + _WRITE[declared.metadata["kind"]](single)
    return wire.varint(len(written)) + written
