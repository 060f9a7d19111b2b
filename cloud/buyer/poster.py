"""The poster that hangs on a machine: its QR code and what to do with it, drawn once, written as SVG or as PDF.

An A4 page in millimetres, from the upper left corner. White, so that any office printer will do.
"""

import zlib
from collections.abc import Iterator
from dataclasses import dataclass

import segno

from cloud.buyer.lettering import Line, Segment, letter
from cloud.buyer.texts import Texts

WIDTH, HEIGHT = 210.0, 297.0
CODE = 110.0
"""A code that wide is read from three metres away."""
CODE_TOP = 98.0
"""Four squares of white all around belong to a code."""
MARGIN = 18.0
INK = (0.165, 0.102, 0.063)
ACCENT = (0.478, 0.247, 0.078)
_POINT = 72 / 25.4

_CUP: tuple[Segment, ...] = (
    ("M", (0, 0)), ("L", (30, 0)), ("L", (30, 12)), ("C", (30, 20, 25, 25, 18, 25)), ("L", (12, 25)),
    ("C", (5, 25, 0, 20, 0, 12)), ("L", (0, 0)), ("M", (30, 4)), ("L", (33, 4)), ("C", (40, 4, 40, 16, 33, 16)),
    ("L", (29.4, 16)), ("M", (-5, 30)), ("L", (35, 30)), ("M", (9, -4)), ("C", (6, -8, 12, -9, 9, -13)),
    ("M", (15, -4)), ("C", (12, -8, 18, -9, 15, -13)), ("M", (21, -4)), ("C", (18, -8, 24, -9, 21, -13)),
)  # fmt: skip


@dataclass(frozen=True)
class Stroke:
    """A line of round ends."""

    segments: tuple[Segment, ...]
    width: float
    colour: tuple[float, float, float] = INK


@dataclass(frozen=True)
class Box:
    """A filled rectangle."""

    x: float
    y: float
    width: float
    height: float


Shape = Stroke | Box


def draw(address: str, location: str, name: str, texts: Texts) -> list[Shape]:
    """Everything on the page. `name` is the machine's, for whoever hangs it up."""
    shapes: list[Shape] = [Stroke(_moved(_CUP, WIDTH / 2 - 17, 28), 2.2, ACCENT)]
    shapes += _centred([str(texts("poster.title"))], 69, 10.5, 1.9)
    shapes += _code(address)
    top = CODE_TOP + CODE + 18
    for number, key in enumerate(("poster.scan", "poster.choose", "poster.pay")):
        shapes += _centred([f"{number + 1}. {texts(key)}"], top + 11 * number, 5, 0.9, ACCENT)
    shapes += _centred(_wrapped(location, 4.4), 267, 4.4, 0.75)
    shapes += _centred([name], 286, 2.6, 0.4)
    return shapes


def as_svg(shapes: list[Shape]) -> str:
    """The page as an SVG document."""
    drawn = "".join(_svg(shape) for shape in shapes)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH:g}mm" height="{HEIGHT:g}mm" '
        f'viewBox="0 0 {WIDTH:g} {HEIGHT:g}"><rect width="100%" height="100%" fill="#fff"/>'
        f'<g fill="none" stroke-linecap="round" stroke-linejoin="round">{drawn}</g></svg>\n'
    )


def as_pdf(shapes: list[Shape]) -> bytes:
    """The page as a PDF document of one page, without fonts."""
    flip = f"{_POINT:.6f} 0 0 {-_POINT:.6f} 0 {HEIGHT * _POINT:.3f} cm 1 J 1 j\n"
    content = zlib.compress((flip + "".join(_pdf(shape) for shape in shapes)).encode(), 9)
    size = f"{WIDTH * _POINT:.2f} {HEIGHT * _POINT:.2f}"
    objects = [
        b"<</Type/Catalog/Pages 2 0 R>>",
        b"<</Type/Pages/Kids[3 0 R]/Count 1>>",
        f"<</Type/Page/Parent 2 0 R/MediaBox[0 0 {size}]/Resources<<>>/Contents 4 0 R>>".encode(),
        b"<</Length %d/Filter/FlateDecode>>\nstream\n%s\nendstream" % (len(content), content),
    ]
    written, places = b"%PDF-1.4\n%\xe2\xe3\xcf\xd3\n", []
    for number, body in enumerate(objects, 1):
        places.append(len(written))
        written += b"%d 0 obj\n%s\nendobj\n" % (number, body)
    table = b"".join(b"%010d 00000 n \n" % place for place in places)
    end = b"xref\n0 %d\n0000000000 65535 f \n%strailer\n<</Size %d/Root 1 0 R>>\nstartxref\n%d\n%%%%EOF\n"
    return written + end % (len(objects) + 1, table, len(objects) + 1, len(written))


def _code(address: str) -> Iterator[Box]:
    """Rows of dark squares, neighbours joined. Level Q survives a quarter of the code being scratched off."""
    rows = [list(row) for row in segno.make(address, error="q", micro=False).matrix]
    unit = CODE / len(rows)
    left = (WIDTH - CODE) / 2
    for y, row in enumerate(rows):
        x = 0
        while x < len(row):
            length = 0
            while x + length < len(row) and row[x + length]:
                length += 1
            if length:
                yield Box(left + x * unit, CODE_TOP + y * unit, length * unit, unit)
            x += length or 1


def _centred(
    lines: list[str], y: float, height: float, width: float, colour: tuple[float, float, float] = INK
) -> Iterator[Stroke]:
    """Each line in the middle, made smaller where it would be too wide."""
    for number, text in enumerate(lines):
        line = letter(text, height)
        fits = min(1.0, (WIDTH - 2 * MARGIN) / line.width) if line.width else 1.0
        line = letter(text, height * fits)
        if line.strokes:
            yield Stroke(_placed(line, y + number * height * 1.8), width * fits, colour)


def _placed(line: Line, y: float) -> tuple[Segment, ...]:
    return _moved(line.strokes, (WIDTH - line.width) / 2, y)


def _wrapped(text: str, height: float) -> list[str]:
    """Two lines at most; what is longer is made smaller."""
    if letter(text, height).width <= WIDTH - 2 * MARGIN:
        return [text]
    words = text.split()
    widest = min(
        range(1, len(words)) or [0], key=lambda cut: abs(len(" ".join(words[:cut])) - len(" ".join(words[cut:])))
    )
    return [part for part in (" ".join(words[:widest]), " ".join(words[widest:])) if part]


def _moved(segments: tuple[Segment, ...], x: float, y: float) -> tuple[Segment, ...]:
    return tuple(
        (name, tuple(value + (y if index % 2 else x) for index, value in enumerate(values)))
        for name, values in segments
    )


def _svg(shape: Shape) -> str:
    if isinstance(shape, Box):
        place = f'x="{shape.x:.3f}" y="{shape.y:.3f}" width="{shape.width:.3f}" height="{shape.height:.3f}"'
        return f'<rect fill="{_hex(INK)}" shape-rendering="crispEdges" {place}/>'
    path = "".join(name + " ".join(f"{value:.3f}" for value in values) for name, values in shape.segments)
    return f'<path stroke="{_hex(shape.colour)}" stroke-width="{shape.width:.3f}" d="{path}"/>'


def _pdf(shape: Shape) -> str:
    if isinstance(shape, Box):
        return f"{_rgb(INK)} rg {shape.x:.3f} {shape.y:.3f} {shape.width:.3f} {shape.height:.3f} re f\n"
    words = {"M": "m", "L": "l", "C": "c"}
    path = "\n".join(" ".join(f"{value:.3f}" for value in values) + f" {words[n]}" for n, values in shape.segments)
    return f"{_rgb(shape.colour)} RG {shape.width:.3f} w\n{path}\nS\n"


def _hex(colour: tuple[float, float, float]) -> str:
    return "#" + "".join(f"{round(part * 255):02x}" for part in colour)


def _rgb(colour: tuple[float, float, float]) -> str:
    return " ".join(f"{part:.3f}" for part in colour)
