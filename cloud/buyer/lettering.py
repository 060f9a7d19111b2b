"""Letters drawn as strokes, so that a printed poster reads the same everywhere and carries no font along.

Russian and Latin capitals, figures and the signs of an address. A capital is 6 units high; y grows downwards.
"""

from collections.abc import Iterator
from dataclasses import dataclass

CAPITAL = 6.0
"""Height of a capital in the units below."""
GAP = 1.9
SPACE = 2.6
_Q = "M2 0Q4 0 4 3Q4 6 2 6Q0 6 0 3Q0 0 2 0"
_SOFT = "M0 0L0 6L2 6Q4 6 4 4.4Q4 2.8 2 2.8L0 2.8"
_P = "M0 6L0 0L2 0Q4 0 4 1.7Q4 3.4 2 3.4L0 3.4"
_E = "M3.6 0L0 0L0 6L3.6 6M0 3L3 3"
_I = "M0 0L0 6L4 0L4 6"
_THREE = "M0 1Q.6 0 1.8 0Q3.6 0 3.6 1.5Q3.6 3 1.6 3M1.6 3Q4 3 4 4.5Q4 6 1.9 6Q.6 6 0 5"
_DASH = "M0 3L3.4 3"

GLYPHS = {
    **dict.fromkeys("AА", "M0 6L2 0L4 6M.7 4.1L3.3 4.1"),
    **dict.fromkeys("BВ", "M0 0L0 6L2 6Q4 6 4 4.4Q4 3 2 3L0 3M0 0L1.8 0Q3.6 0 3.6 1.5Q3.6 3 1.8 3"),
    **dict.fromkeys("CС", "M4 1Q3.4 0 2.2 0Q0 0 0 3Q0 6 2.2 6Q3.4 6 4 5"),
    **dict.fromkeys("EЕ", _E),
    **dict.fromkeys("HН", "M0 0L0 6M4 0L4 6M0 3L4 3"),
    **dict.fromkeys("KК", "M0 0L0 6M3.8 0L0 3.4M1.3 2.3L4 6"),
    **dict.fromkeys("MМ", "M0 6L0 0L2.4 3.6L4.8 0L4.8 6"),
    **dict.fromkeys("OО0", _Q),
    **dict.fromkeys("PР", _P),
    **dict.fromkeys("TТ", "M0 0L4 0M2 0L2 6"),
    **dict.fromkeys("XХ", "M0 0L4 6M4 0L0 6"),
    **dict.fromkeys("З3", _THREE),
    **dict.fromkeys("-‐", "M0 3.2L2 3.2"),
    **dict.fromkeys("–—", _DASH),
    "D": "M0 0L0 6L1.6 6Q4 6 4 3Q4 0 1.6 0L0 0",
    "F": "M3.6 0L0 0L0 6M0 3L3 3",
    "G": "M4 1Q3.4 0 2.2 0Q0 0 0 3Q0 6 2.2 6Q4 6 4 4.4L4 3.2L2.4 3.2",
    "I": "M0 0L0 6",
    "J": "M2.6 0L2.6 4.4Q2.6 6 1.2 6Q.4 6 0 5.4",
    "L": "M0 0L0 6L3.4 6",
    "N": "M0 6L0 0L4 6L4 0",
    "Q": _Q + "M2.6 4.6L4.2 6.4",
    "R": _P + "M2 3.4L4 6",
    "S": "M3.8 1Q3.2 0 2 0Q.2 0 .2 1.5Q.2 2.7 2 3Q4 3.3 4 4.6Q4 6 2 6Q.6 6 0 5",
    "U": "M0 0L0 4Q0 6 2 6Q4 6 4 4L4 0",
    "V": "M0 0L2 6L4 0",
    "W": "M0 0L1.4 6L2.8 1.4L4.2 6L5.6 0",
    "Y": "M0 0L2 3L4 0M2 3L2 6",
    "Z": "M0 0L4 0L0 6L4 6",
    "Б": "M3.6 0L0 0L0 6L2 6Q4 6 4 4.3Q4 2.6 2 2.6L0 2.6",
    "Г": "M3.4 0L0 0L0 6",
    "Д": "M0 7L0 6L4.8 6L4.8 7M.8 6Q1.5 4 1.5 0L4 0L4 6",
    "Ё": _E + "M.9 -1.5L.9 -1.5M2.6 -1.5L2.6 -1.5",
    "Ж": "M0 0L2 3L0 6M5 0L3 3L5 6M2 3L3 3M2.5 0L2.5 6",
    "И": _I,
    "Й": _I + "M1 -1.7Q2 -.6 3 -1.7",
    "Л": "M0 6Q.8 6 1 4.4L1.3 0L4 0L4 6",
    "П": "M0 6L0 0L4 0L4 6",
    "У": "M0 0L2.1 3.8M4 0L1.8 4.6Q1.2 6 .2 6",
    "Ф": "M2.5 -.3L2.5 6.3M2.5 1Q5 1 5 3Q5 5 2.5 5Q0 5 0 3Q0 1 2.5 1",
    "Ц": "M0 0L0 6L4.7 6L4.7 7M4 0L4 6",
    "Ч": "M0 0L0 2Q0 3.6 1.8 3.6L4 3.6M4 0L4 6",
    "Ш": "M0 0L0 6L5.2 6L5.2 0M2.6 0L2.6 6",
    "Щ": "M0 0L0 6L5.9 6L5.9 7M5.2 0L5.2 6M2.6 0L2.6 6",
    "Ъ": "M0 0L1.4 0L1.4 6L3 6Q4.8 6 4.8 4.4Q4.8 2.8 3 2.8L1.4 2.8",
    "Ы": "M0 0L0 6L1.4 6Q3 6 3 4.4Q3 2.8 1.4 2.8L0 2.8M4.8 0L4.8 6",
    "Ь": _SOFT,
    "Э": "M0 1Q.6 0 1.8 0Q4 0 4 3Q4 6 1.8 6Q.6 6 0 5M1.4 3L4 3",
    "Ю": "M0 0L0 6M0 3L1.6 3M3.6 0Q5.6 0 5.6 3Q5.6 6 3.6 6Q1.6 6 1.6 3Q1.6 0 3.6 0",
    "Я": "M4 6L4 0L2 0Q0 0 0 1.7Q0 3.4 2 3.4L4 3.4M2 3.4L0 6",
    "1": "M0 1.3L1.7 0L1.7 6",
    "2": "M.1 1.5Q.4 0 2 0Q3.8 0 3.8 1.7Q3.8 2.8 2.6 3.8L0 6L4 6",
    "4": "M3 6L3 0L0 4.2L4 4.2",
    "5": "M3.6 0L.6 0L.3 2.7Q1 2.3 2 2.3Q4 2.3 4 4.1Q4 6 2 6Q.6 6 0 5",
    "6": "M3.4 0Q0 1 0 4Q0 6 2 6Q4 6 4 4.2Q4 2.6 2 2.6Q.4 2.6 0 4",
    "7": "M0 0L4 0L1.6 6",
    "8": "M2 3Q.3 2.8 .3 1.5Q.3 0 2 0Q3.7 0 3.7 1.5Q3.7 2.8 2 3Q0 3.2 0 4.6Q0 6 2 6Q4 6 4 4.6Q4 3.2 2 3",
    "9": "M.6 6Q4 5 4 2Q4 0 2 0Q0 0 0 1.8Q0 3.4 2 3.4Q3.6 3.4 4 2",
    ".": "M0 6L0 6",
    ",": "M.4 6L0 7.1",
    ":": "M0 2.2L0 2.2M0 5.6L0 5.6",
    "/": "M0 6.6L2.6 -.6",
    "«": "M1.2 2L0 3.2L1.2 4.4M2.8 2L1.6 3.2L2.8 4.4",
    "»": "M0 2L1.2 3.2L0 4.4M1.6 2L2.8 3.2L1.6 4.4",
    "(": "M1 -.6Q0 1 0 3Q0 5 1 6.6",
    ")": "M0 -.6Q1 1 1 3Q1 5 0 6.6",
    "№": "M0 6L0 0L3 6L3 0M5 2.2Q6 2.2 6 3.4Q6 4.6 5 4.6Q4 4.6 4 3.4Q4 2.2 5 2.2M4 6L6 6",
    "!": "M0 0L0 4M0 6L0 6",
    "?": "M0 1.2Q.4 0 1.8 0Q3.4 0 3.4 1.6Q3.4 2.8 1.7 3.6L1.7 4.3M1.7 6L1.7 6",
    "+": "M0 3.2L3 3.2M1.5 1.7L1.5 4.7",
    "_": "M0 6.6L4 6.6",
    '"': "M0 0L0 1.4M1.4 0L1.4 1.4",
    **dict.fromkeys("'’", "M.4 0L0 1.5"),
    "&": "M4 6L.8 1.9Q.2 .3 1.7 0Q3.2 .3 2.6 1.7Q0 3.2 0 4.5Q.2 6 1.8 6Q3.4 6 4 3.6",
}

Segment = tuple[str, tuple[float, ...]]
"""`M`, `L` or `C` with absolute coordinates."""


@dataclass(frozen=True)
class Line:
    """A line of text: its strokes from (0, 0), and how wide it is."""

    strokes: tuple[Segment, ...]
    width: float


def letter(text: str, height: float) -> Line:
    """The text in capitals of this height; what has no letter here becomes a gap."""
    scale, x = height / CAPITAL, 0.0
    strokes: list[Segment] = []
    for char in text.upper():
        path = GLYPHS.get(char)
        if path is None:
            x += SPACE
            continue
        segments = list(_segments(path))
        width = max(value for _, values in segments for value in values[::2])
        strokes += [(name, _moved(values, x, scale)) for name, values in segments]
        x += width + GAP
    return Line(tuple(strokes), max(0.0, (x - GAP) * scale))


def _moved(values: tuple[float, ...], x: float, scale: float) -> tuple[float, ...]:
    return tuple((value + (0 if index % 2 else x)) * scale for index, value in enumerate(values))


def _segments(path: str) -> Iterator[Segment]:
    """The path's parts, its quadratic curves as the cubic ones that every format knows."""
    x = y = 0.0
    for part in path.replace("M", "|M").replace("L", "|L").replace("Q", "|Q").split("|")[1:]:
        name, values = part[0], tuple(map(float, part[1:].split()))
        if name == "Q":
            cx, cy, ex, ey = values
            first = (x + 2 / 3 * (cx - x), y + 2 / 3 * (cy - y))
            second = (ex + 2 / 3 * (cx - ex), ey + 2 / 3 * (cy - ey))
            name, values = "C", (*first, *second, ex, ey)
        x, y = values[-2:]
        yield name, values
