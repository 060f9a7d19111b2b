"""Bytes to frames and back: sync, length, CRC-8, tail, resynchronisation. No port, no clock, no meaning of a frame.

`AA 55 | 01 | length u16 BE | crc8 | command + JSON | 88 66`; length and CRC cover command + JSON
(docs/machine-protocol.md 1.1, 1.2, 2). Written apart from the agent's `agent/machine/framing.py`, to disagree with it
where one of them is wrong.
"""

from protocol import json_text
from protocol.errors import TooLarge
from protocol.frames import Frame, LineStats

SYNC = b"\xaa\x55\x01"
TAIL = b"\x88\x66"
HEAD_SIZE = 6
OVERHEAD = HEAD_SIZE + len(TAIL)
MIN_BODY = 3
"""A command byte and `{}`."""
MAX_BODY = 4096
"""Ours, against a false header; the machine's own limit is unknown (docs/machine-protocol.md 1.1)."""
CRC_INIT = 0x8C
_CRC_POLY_REFLECTED = 0x8C


def _crc_of_byte(byte: int) -> int:
    for _ in range(8):
        byte = (byte >> 1) ^ _CRC_POLY_REFLECTED if byte & 1 else byte >> 1
    return byte


_CRC_TABLE = tuple(_crc_of_byte(byte) for byte in range(256))


def crc8(data: bytes) -> int:
    """CRC-8, polynomial 0x31 reflected, init 0x8C (not the catalogue's 0): `F3` over `123456789`."""
    register = CRC_INIT
    for byte in data:
        register = _CRC_TABLE[register ^ byte]
    return register


def encode(frame: Frame) -> bytes:
    """The frame's bytes on the line; `TooLarge` when no machine should be sent that much."""
    content = bytes([frame.command]) + frame.body
    if len(content) > MAX_BODY:
        raise TooLarge(f"frame body of {len(content)} bytes, at most {MAX_BODY}")
    return SYNC + len(content).to_bytes(2, "big") + bytes([crc8(content)]) + content + TAIL


class FrameDecoder:
    """Takes bytes in any pieces, gives whole checked frames; never raises, never loses the good frame after bad bytes.

    Between calls less than one largest frame is buffered: a candidate is judged as soon as its claimed length is there.
    A failed candidate costs one byte, then the search goes on inside what it had claimed (docs/wire-contract.md 2.2,
    rule 3). No accepted candidate can cover the start of a good frame: the sync holds a control character, and JSON has
    none.
    """

    def __init__(self) -> None:
        self.stats = LineStats()
        self._buffer = bytearray()

    @property
    def waiting(self) -> bool:
        """True while a begun frame waits for more bytes: then a long silence is a reason to `give_up`."""
        return bool(self._buffer)

    @property
    def buffered(self) -> int:
        """Bytes kept for a candidate that may still become a frame; always fewer than the largest frame has."""
        return len(self._buffer)

    def feed(self, data: bytes) -> list[Frame]:
        """All frames that are complete with these bytes."""
        frames: list[Frame] = []
        step = MAX_BODY + OVERHEAD
        for start in range(0, len(data), step):
            self._buffer += data[start : start + step]
            self._scan(frames)
        return frames

    def give_up(self) -> list[Frame]:
        """The oldest candidate has waited too long: drop it, look again at what came behind it.

        One candidate a call, so that a frame just arriving behind a false header survives a spent budget;
        after a silence call it until nothing is `waiting`, for then every candidate has starved
        (docs/wire-contract.md 2.2, rule 4).
        """
        frames: list[Frame] = []
        if self._buffer:
            self._reject("gap")
            self._scan(frames)
        return frames

    def _scan(self, frames: list[Frame]) -> None:
        while self._find_sync():
            judged = self._judge()
            if judged is None:
                return
            if isinstance(judged, str):
                self._reject(judged)
            else:
                frames.append(judged)
                self.stats.frames += 1
                del self._buffer[: OVERHEAD + 1 + len(judged.body)]

    def _find_sync(self) -> bool:
        """Drop bytes until the buffer starts with the sync, or with what may still become it."""
        at = self._buffer.find(SYNC)
        if at < 0:
            keep = next(n for n in (2, 1, 0) if self._buffer.endswith(SYNC[:n]))
            at = len(self._buffer) - keep
        self.stats.dropped_bytes += at
        del self._buffer[:at]
        return len(self._buffer) >= len(SYNC)

    def _judge(self) -> Frame | str | None:
        """The frame at the buffer's start, or why it is none, or None for not enough bytes yet."""
        if len(self._buffer) < HEAD_SIZE:
            return None
        length = int.from_bytes(self._buffer[3:5], "big")
        if not MIN_BODY <= length <= MAX_BODY:
            return "len"
        if len(self._buffer) < OVERHEAD + length:
            return None
        content = bytes(self._buffer[HEAD_SIZE : HEAD_SIZE + length])
        if self._buffer[HEAD_SIZE + length : OVERHEAD + length] != TAIL:
            return "tail"
        if crc8(content) != self._buffer[5]:
            return "crc"
        if not _is_json_object(content[1:]):
            return "json"
        return Frame(content[0], content[1:])

    def _reject(self, why: str) -> None:
        self.stats.faults[why] += 1
        self.stats.dropped_bytes += 1
        del self._buffer[0]


def _is_json_object(body: bytes) -> bool:
    try:
        return isinstance(json_text.decode(body, object), dict)
    except json_text.NotJson:
        return False
