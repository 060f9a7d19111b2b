"""Bytes to frames and back for any machine that wraps JSON bodies: the constants come from its profile.

The rules of resynchronisation are those of docs/machine-protocol.md 2. Knows no port, no clock, no meaning of a frame.
"""

from typing import Annotated, Literal

from msgspec import Meta, Struct

from protocol import json_text
from protocol.errors import TooLarge
from protocol.frames import Frame, LineStats

MIN_CONTENT = 3
"""A command byte and `{}`."""
HexBytes = Annotated[str, Meta(pattern=r"^\s*([0-9A-Fa-f]{2}\s*){0,8}$")]
"""Up to eight bytes as people write them: `AA 55 01`."""
Order = Literal["big", "little"]


class Crc(Struct, frozen=True, forbid_unknown_fields=True):
    """How a frame is summed up. `init` is what the shifting register starts with; `poly` as catalogues write it."""

    width: Literal[8, 16] = 8
    poly: Annotated[int, Meta(ge=1, le=0xFFFF)] = 0x31
    init: Annotated[int, Meta(ge=0, le=0xFFFF)] = 0x8C
    reflected: bool = True
    xorout: Annotated[int, Meta(ge=0, le=0xFFFF)] = 0
    order: Order = "big"
    covers: Literal["content", "length and content"] = "content"
    place: Literal["before content", "after content"] = "before content"


class Framing(Struct, frozen=True, forbid_unknown_fields=True):
    """What stands around the content, which is a command byte and a JSON object. The defaults are the public frame."""

    sync: HexBytes = "AA 55 01"
    length_bytes: Literal[1, 2] = 2
    length_order: Order = "big"
    length_counts: Literal["content", "body", "frame"] = "content"
    tail: HexBytes = "88 66"
    max_content: Annotated[int, Meta(ge=64, le=16_384)] = 4096
    text: Literal["ascii", "utf-8"] = "ascii"
    """How characters beyond ASCII are sent: escaped, or as they are. Both are read."""
    crc: Crc = Crc()

    def problems(self) -> list[tuple[str, str]]:
        """Keys that contradict each other, and why."""
        found = []
        if not bytes.fromhex(self.sync):
            found.append(("sync", "needs a byte: without it no frame is found again behind noise"))
        counted = self.max_content + (Layout(self).overhead if self.length_counts == "frame" else 0)
        if counted >= 256**self.length_bytes:
            found.append(("max_content", f"a length of {self.length_bytes} bytes does not count that far"))
        for name in ("poly", "init", "xorout"):
            if getattr(self.crc, name) >= 1 << self.crc.width:
                found.append((f"crc.{name}", f"does not fit into {self.crc.width} bits"))
        return found


class Layout:
    """A framing worked out: where everything stands, and the table of its CRC."""

    def __init__(self, framing: Framing) -> None:
        crc = framing.crc
        self.sync = bytes.fromhex(framing.sync)
        self.tail = bytes.fromhex(framing.tail)
        self.max_content = framing.max_content
        self._framing = framing
        self._crc_size = crc.width // 8
        self._leads = crc.place == "before content"
        self._length_at = len(self.sync)
        self._length_end = self._length_at + framing.length_bytes
        self.head = self._length_end + (self._crc_size if self._leads else 0)
        self.overhead = self.head + (0 if self._leads else self._crc_size) + len(self.tail)
        self._table = tuple(_crc_of_byte(byte, crc) for byte in range(256))

    def content_length(self, start: bytes | bytearray) -> int:
        """What the head claims; may be nonsense."""
        claimed = int.from_bytes(start[self._length_at : self._length_end], self._framing.length_order)
        return claimed - self._uncounted

    @property
    def _uncounted(self) -> int:
        """How much more than the content the length counts."""
        return {"content": 0, "body": -1, "frame": self.overhead}[self._framing.length_counts]

    def encode(self, frame: Frame) -> bytes:
        """The frame's bytes on the line. Raises `TooLarge`."""
        content = bytes([frame.command]) + frame.body
        if len(content) > self.max_content:
            raise TooLarge(f"frame of {len(content)} bytes, at most {self.max_content}")
        framing = self._framing
        length = (len(content) + self._uncounted).to_bytes(framing.length_bytes, framing.length_order)
        crc = self._sum(length, content)
        around = (crc + content) if self._leads else (content + crc)
        return self.sync + length + around + self.tail

    def why_not(self, start: bytes | bytearray, length: int) -> str:
        """What is wrong with a candidate of which all bytes are there; "" for a good frame."""
        content = bytes(start[self.head : self.head + length])
        end = self.head + length
        crc_at = self._length_end if self._leads else end
        tail_at = end if self._leads else end + self._crc_size
        if start[tail_at : tail_at + len(self.tail)] != self.tail:
            return "tail"
        if (
            self._sum(bytes(start[self._length_at : self._length_end]), content)
            != start[crc_at : crc_at + self._crc_size]
        ):
            return "crc"
        return "" if _is_json_object(content[1:]) else "json"

    def _sum(self, length: bytes, content: bytes) -> bytes:
        crc = self._framing.crc
        register = crc.init
        top = crc.width - 8
        for byte in (length + content) if crc.covers == "length and content" else content:
            if crc.reflected:
                register = self._table[(register ^ byte) & 0xFF] ^ (register >> 8)
            else:
                register = self._table[(register >> top) ^ byte] ^ ((register << 8) & ((1 << crc.width) - 1))
        return (register ^ crc.xorout).to_bytes(self._crc_size, crc.order)


class Decoder:
    """Takes bytes in any pieces, gives whole checked frames; never raises, never loses a good frame behind bad bytes.

    A failed candidate costs one byte, then the search goes on inside what it had claimed.
    """

    def __init__(self, layout: Layout) -> None:
        self.stats = LineStats()
        self._layout = layout
        self._buffer = bytearray()
        self.passed = 0
        """Bytes before the waiting candidate: another number is another candidate."""

    @property
    def waiting(self) -> bool:
        """True while a begun frame waits for more bytes: then a long silence is a reason to `give_up`."""
        return bool(self._buffer)

    @property
    def claimed(self) -> int:
        """Bytes that the waiting candidate says it has; a largest frame while its length is not there yet."""
        layout = self._layout
        if len(self._buffer) < layout.head:
            return layout.max_content + layout.overhead
        return layout.content_length(self._buffer) + layout.overhead

    def feed(self, data: bytes) -> list[Frame]:
        """All frames that are complete with these bytes."""
        frames: list[Frame] = []
        step = self._layout.max_content + self._layout.overhead
        for start in range(0, len(data), step):
            self._buffer += data[start : start + step]
            self._scan(frames)
        return frames

    def give_up(self) -> list[Frame]:
        """The oldest candidate has waited too long: drop it, look again at what came behind it."""
        frames: list[Frame] = []
        if self._buffer:
            self._reject("gap")
            self._scan(frames)
        return frames

    def _scan(self, frames: list[Frame]) -> None:
        layout = self._layout
        while self._find_sync() and len(self._buffer) >= layout.head:
            length = layout.content_length(self._buffer)
            if not MIN_CONTENT <= length <= layout.max_content:
                self._reject("len")
            elif len(self._buffer) < layout.overhead + length:
                return
            elif why := layout.why_not(self._buffer, length):
                self._reject(why)
            else:
                content = bytes(self._buffer[layout.head : layout.head + length])
                frames.append(Frame(content[0], content[1:]))
                self.stats.frames += 1
                self._drop(layout.overhead + length)

    def _find_sync(self) -> bool:
        """Drop bytes until the buffer starts with the sync, or with what may still become it."""
        sync = self._layout.sync
        at = self._buffer.find(sync)
        if at < 0:
            keep = next(n for n in range(len(sync) - 1, -1, -1) if self._buffer.endswith(sync[:n]))
            at = len(self._buffer) - keep
        self.stats.dropped_bytes += at
        self._drop(at)
        return len(self._buffer) >= len(sync)

    def _reject(self, why: str) -> None:
        self.stats.faults[why] += 1
        self.stats.dropped_bytes += 1
        self._drop(1)

    def _drop(self, count: int) -> None:
        self.passed += count
        del self._buffer[:count]


def _crc_of_byte(byte: int, crc: Crc) -> int:
    if crc.reflected:
        poly = int(f"{crc.poly:0{crc.width}b}"[::-1], 2)
        for _ in range(8):
            byte = (byte >> 1) ^ poly if byte & 1 else byte >> 1
        return byte
    top, mask = 1 << (crc.width - 1), (1 << crc.width) - 1
    register = byte << (crc.width - 8)
    for _ in range(8):
        register = ((register << 1) ^ crc.poly) & mask if register & top else (register << 1) & mask
    return register


def _is_json_object(body: bytes) -> bool:
    try:
        return isinstance(json_text.decode(body, object), dict)
    except json_text.NotJson:
        return False
