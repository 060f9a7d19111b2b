"""Where a chart's lines and bars stand, in the units of its picture. Pure; `charts/pieces.html` draws them."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil, floor, log10

WIDTH, HEIGHT = 640, 180
LEFT, BOTTOM, TOP = 44, 20, 8
STEPS = 3


@dataclass(frozen=True)
class Bar:
    """One bar: of the period, and of the one before behind it."""

    x: float
    y: float
    width: float
    height: float
    before_y: float
    before_height: float
    title: str
    label: str = ""


@dataclass(frozen=True)
class Chart:
    """A picture of bars, with its grid."""

    bars: Sequence[Bar]
    grid: Sequence[tuple[float, str]]
    """Height of each line, and what stands beside it."""
    width: int = WIDTH
    height: int = HEIGHT


def bars(values: Sequence[float], before: Sequence[float], titles: Sequence[str], labels: Sequence[str]) -> Chart:
    """`values` beside `before`; labels where they are not empty."""
    top = nice(max([*values, *before, 1]))
    room = (WIDTH - LEFT) / max(1, len(values))
    base, tall = HEIGHT - BOTTOM, HEIGHT - BOTTOM - TOP
    made = []
    for place, value in enumerate(values):
        earlier = before[place] if place < len(before) else 0
        up, up_before = tall * value / top, tall * earlier / top
        made.append(
            Bar(
                round(LEFT + place * room + room * 0.12, 1), round(base - up, 1), round(room * 0.76, 1), round(up, 1),
                round(base - up_before, 1), round(up_before, 1), titles[place], labels[place],
            )
        )  # fmt: skip
    grid = [(round(base - tall * step / STEPS, 1), _short(top * step / STEPS)) for step in range(STEPS + 1)]
    return Chart(made, grid)


def shades(week: Sequence[Sequence[int]]) -> list[list[int]]:
    """0 to 9 for each hour of a week: how much of the best hour it is."""
    best = max((cups for day in week for cups in day), default=0)
    return [[ceil(9 * cups / best) if best else 0 for cups in day] for day in week]


def nice(most: float) -> float:
    """A round number that is not less."""
    scale = 10 ** floor(log10(most)) if most > 0 else 1
    return next(step * scale for step in (1.5, 3, 6, 9, 15) if step * scale >= most)


def _short(number: float) -> str:
    if number >= 10_000:
        return f"{number / 1000:.0f}k"
    return f"{number:.0f}" if number == int(number) or number > 10 else f"{number:.1f}"
