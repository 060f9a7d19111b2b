"""The few MQTT 5 packets an agent needs, built and taken apart: paho cannot hold ten thousand connections."""

import struct
from collections.abc import Iterator, Sequence

CONNACK, PUBLISH, PUBACK, SUBACK = 2, 3, 4, 9
PINGREQ = b"\xc0\x00"
QOS1, RETAIN, DUP = 0x02, 0x01, 0x08
_SESSION_EXPIRY = 0x11
_WILL_RETAIN, _WILL_QOS1, _WILL, _PASSWORD, _USER = 0x20, 0x08, 0x04, 0x40, 0x80


def connect(name: str, password: str, will_topic: str, will: bytes, keep_alive_s: int, session_expiry_s: int) -> bytes:
    """With a persistent session; the client id and the user are both `name`."""
    flags = _WILL | _WILL_QOS1 | _WILL_RETAIN | _USER | _PASSWORD
    properties = struct.pack(">BI", _SESSION_EXPIRY, session_expiry_s)
    head = _text("MQTT") + struct.pack(">BBHB", 5, flags, keep_alive_s, len(properties)) + properties
    who = [_text(name), b"\x00", _text(will_topic), _bytes(will), _text(name), _text(password)]
    return _packet(0x10, head + b"".join(who))


def subscribe(number: int, topics: Sequence[str]) -> bytes:
    """With QoS 1."""
    return _packet(0x82, struct.pack(">HB", number, 0) + b"".join(_text(topic) + b"\x01" for topic in topics))


def publish(topic: str, payload: bytes, number: int, flags: int = 0) -> bytes:
    """With QoS 1."""
    return _packet(0x30 | QOS1 | flags, _text(topic) + struct.pack(">HB", number, 0) + payload)


def puback(number: int) -> bytes:
    return b"\x40\x02" + struct.pack(">H", number)


def published(flags: int, body: bytes) -> tuple[str, int, bytes]:
    """Topic, number (0 with QoS 0), payload."""
    end = 2 + int.from_bytes(body[:2], "big")
    topic, number = body[2:end].decode(), 0
    if flags & 0x06:
        number, end = int.from_bytes(body[end : end + 2], "big"), end + 2
    length, end = _length(body, end) or (0, end)
    return topic, number, body[end + length :]


class Packets:
    """Whole packets out of what a connection brings."""

    def __init__(self) -> None:
        self._data = bytearray()

    def feed(self, data: bytes) -> Iterator[tuple[int, int, bytes]]:
        """Kind, flags, body."""
        self._data += data
        while len(self._data) > 1 and (read := _length(self._data, 1)) is not None:
            length, begin = read
            if len(self._data) < begin + length:
                return
            first, body = self._data[0], bytes(self._data[begin : begin + length])
            del self._data[: begin + length]
            yield first >> 4, first & 0x0F, body


def _length(data: bytes | bytearray, at: int) -> tuple[int, int] | None:
    """MQTT's variable length, and where it ends; None when it is not all there."""
    value = 0
    for place, byte in enumerate(data[at : at + 4]):
        value |= (byte & 0x7F) << 7 * place
        if byte < 0x80:
            return value, at + place + 1
    return None


def _packet(first: int, body: bytes) -> bytes:
    left, length = len(body), bytearray()
    while True:
        left, byte = left >> 7, left & 0x7F
        length.append(byte | 0x80 if left else byte)
        if not left:
            return bytes([first]) + bytes(length) + body


def _text(text: str) -> bytes:
    return _bytes(text.encode())


def _bytes(data: bytes) -> bytes:
    return struct.pack(">H", len(data)) + data
