"""A frame of the serial line and what the line has been like, as both ends have them.

Which bytes make a frame is each end's own: `agent/machine/framing.py` reads a line by its machine's profile, and the
simulated machine has a decoder written apart from it.
"""

from collections import Counter
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Frame:
    """One command byte and its JSON object, still as bytes."""

    command: int
    body: bytes


@dataclass(slots=True)
class LineStats:
    """What the line has been like; a rising share of faults is a cable (docs/machine-protocol.md 2)."""

    frames: int = 0
    dropped_bytes: int = 0
    faults: Counter[str] = field(default_factory=Counter)
    """Candidates given up, by `len`, `crc`, `tail`, `json` (the words of LINK NAK) or `gap`."""
