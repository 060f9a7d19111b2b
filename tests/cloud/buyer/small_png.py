"""Makes a screenshot small enough to be kept: at most 256 colours, and packed as well as zlib can."""

import struct
import zlib
from collections import Counter
from pathlib import Path

SIGNATURE = b"\x89PNG\r\n\x1a\n"
MOST = 256
STEP = 8
"""Colours closer than this are one: nobody sees it."""

Colour = tuple[int, int, int]


def shrink(path: Path) -> None:
    """Rewrite the PNG at `path` (8 bits a channel, RGB or RGBA, not interlaced) with a palette."""
    width, height, pixels = _read(path.read_bytes())
    colours = [(pixels[i], pixels[i + 1], pixels[i + 2]) for i in range(0, len(pixels), 3)]
    index = _palette(Counter(colours))
    palette = b"".join(bytes(colour) for colour in sorted(set(index.values())))
    places = {colour: place for place, colour in enumerate(sorted(set(index.values())))}
    number = {colour: places[index[colour]] for colour in index}
    body = bytes(number[colour] for colour in colours)
    rows = b"".join(b"\0" + body[start : start + width] for start in range(0, len(body), width))
    head = struct.pack(">IIBBBBB", width, height, 8, 3, 0, 0, 0)
    chunks = ((b"IHDR", head), (b"PLTE", palette), (b"IDAT", zlib.compress(rows, 9)), (b"IEND", b""))
    path.write_bytes(SIGNATURE + b"".join(_chunk(name, data) for name, data in chunks))


def _palette(seen: Counter[Colour]) -> dict[Colour, Colour]:
    """Each colour to the one that stands for it: itself where there are few, else a frequent near one."""
    if len(seen) <= MOST:
        return {colour: colour for colour in seen}
    groups: Counter[Colour] = Counter()
    speaks: dict[Colour, Colour] = {}
    for colour, count in seen.most_common():
        group = (colour[0] // STEP, colour[1] // STEP, colour[2] // STEP)
        groups[group] += count
        speaks.setdefault(group, colour)  # the most frequent one speaks for its group
    kept = [speaks[group] for group, _ in groups.most_common(MOST)]
    nearest: dict[Colour, Colour] = {}
    for group, colour in speaks.items():
        nearest[group] = min(kept, key=lambda k, c=colour: sum((a - b) ** 2 for a, b in zip(k, c, strict=True)))  # type: ignore[misc]  # a default binds it
    return {c: nearest[c[0] // STEP, c[1] // STEP, c[2] // STEP] for c in seen}


def _read(data: bytes) -> tuple[int, int, bytes]:
    width, height, depth, kind, _, _, interlaced = struct.unpack(">IIBBBBB", data[16:29])
    if depth != 8 or kind not in {2, 6} or interlaced:
        raise ValueError("not a screenshot")
    packed, at = b"", 8
    while at < len(data):
        length, name = struct.unpack(">I4s", data[at : at + 8])
        if name == b"IDAT":
            packed += data[at + 8 : at + 8 + length]
        at += length + 12
    channels = 3 if kind == 2 else 4
    rows = _unfiltered(zlib.decompress(packed), width * channels, channels)
    pixels = b"".join(rows)
    if channels == 4:
        pixels = bytes(value for place, value in enumerate(pixels) if place % 4 != 3)
    return width, height, pixels


def _unfiltered(raw: bytes, length: int, channels: int) -> list[bytes]:
    rows: list[bytes] = []
    before = bytes(length)
    for start in range(0, len(raw), length + 1):
        kind, row = raw[start], bytearray(raw[start + 1 : start + 1 + length])
        for i in range(length):
            left = row[i - channels] if i >= channels else 0
            corner = before[i - channels] if i >= channels else 0
            row[i] = (row[i] + _guess(kind, left, before[i], corner)) & 255
        before = bytes(row)
        rows.append(before)
    return rows


def _guess(kind: int, left: int, up: int, corner: int) -> int:
    if kind == 4:
        guess = left + up - corner
        return min((left, up, corner), key=lambda value: abs(guess - value))
    return (0, left, up, (left + up) // 2)[kind]


def _chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
