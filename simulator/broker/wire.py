"""MQTT's primitive types: read with bounds from one packet's body, and written back. Knows no packet."""

from simulator.broker.reasons import Reason, Violation

LARGEST_VARINT = 268_435_455
"""Four bytes of seven bits: the protocol's own limit."""


class Cursor:
    """Reads forward through `data`; every read past its end is a `Violation`."""

    __slots__ = ("_at", "_data")

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    @property
    def left(self) -> int:
        return len(self._data) - self._at

    def take(self, size: int) -> bytes:
        if size > self.left:
            raise Violation(Reason.MALFORMED, f"{size} bytes announced, {self.left} there")
        self._at += size
        return self._data[self._at - size : self._at]

    def rest(self) -> bytes:
        return self.take(self.left)

    def byte(self) -> int:
        return self.take(1)[0]

    def short(self) -> int:
        return int.from_bytes(self.take(2), "big")

    def long(self) -> int:
        return int.from_bytes(self.take(4), "big")

    def varint(self) -> int:
        value = 0
        for shift in (0, 7, 14, 21):
            byte = self.byte()
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                return value
        raise Violation(Reason.MALFORMED, "a variable byte integer of more than four bytes")

    def blob(self) -> bytes:
        return self.take(self.short())

    def text(self) -> str:
        try:
            value = self.blob().decode()
        except UnicodeDecodeError as error:
            raise Violation(Reason.MALFORMED, "text that is not UTF-8") from error
        if "\0" in value:
            raise Violation(Reason.MALFORMED, "text with a NUL in it")
        return value


def short(value: int) -> bytes:
    return value.to_bytes(2, "big")


def long(value: int) -> bytes:
    return value.to_bytes(4, "big")


def varint(value: int) -> bytes:
    if value < 0x80:
        return bytes((value,))
    written = bytearray()
    while value >= 0x80:
        written.append(value & 0x7F | 0x80)
        value >>= 7
    written.append(value)
    return bytes(written)


def blob(value: bytes) -> bytes:
    return short(len(value)) + value


def text(value: str) -> bytes:
    return blob(value.encode())
