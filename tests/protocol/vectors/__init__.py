"""Data that no version may change: worked frames, and messages as version 1 wrote them."""

import json
from pathlib import Path
from typing import Any, NamedTuple

from protocol.frames import Frame

HERE = Path(__file__).parent


class Vector(NamedTuple):
    """One worked frame; the numbers are those of the specification, the bytes were computed independently of us."""

    name: str
    command: int
    length: int
    crc: int
    total: int
    body: bytes
    wire: bytes
    decode_only: bool

    @property
    def frame(self) -> Frame:
        """What is between the framing."""
        return Frame(self.command, self.body)


def _vector(row: dict[str, Any]) -> Vector:
    return Vector(
        name=row["name"],
        command=int(row["command"], 16),
        length=int(row["length"], 16),
        crc=int(row["crc"], 16),
        total=row["total"],
        body=row["body"].encode(),
        wire=bytes.fromhex(row["hex"]),
        decode_only=row.get("decode_only", False),
    )


FRAMES = tuple(_vector(row) for row in json.loads((HERE / "frames.json").read_text("utf-8")))
MESSAGES = {path.stem: path.read_bytes() for path in sorted((HERE / "messages").glob("*.json"))}
