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
    """`values` beside `before`, both from the zero line, down where they are negative; labels where not empty."""
    step, under, over = _steps(min([*values, *before, 0]), max([*values, *before, 0]))
    room = (WIDTH - LEFT) / max(1, len(values))
    of_step = (HEIGHT - BOTTOM - TOP) / (under + over)
    zero = HEIGHT - BOTTOM - of_step * under
    made = []
    for place, value in enumerate(values):
        earlier = before[place] if place < len(before) else 0
        up, up_before = of_step * value / step, of_step * earlier / step
        made.append(
            Bar(
                round(LEFT + place * room + room * 0.12, 1), round(zero - max(up, 0), 1), round(room * 0.76, 1),
                round(abs(up), 1), round(zero - max(up_before, 0), 1), round(abs(up_before), 1), titles[place],
                labels[place],
            )
        )  # fmt: skip
    grid = [(round(zero - of_step * line, 1), _short(step * line)) for line in range(-under, over + 1)]
    return Chart(made, grid)


def _steps(low: float, high: float) -> tuple[float, int, int]:
    """From one line of the grid to the next, and how many lines are under zero and over it."""
    step = nice(max(high, -low, 1)) / STEPS
    return step, ceil(-low / step), STEPS if low == 0 else ceil(high / step)


def shades(week: Sequence[Sequence[int]]) -> list[list[int]]:
    """0 to 9 for each hour of a week: how much of the best hour it is."""
    best = max((cups for day in week for cups in day), default=0)
    return [[ceil(9 * cups / best) if best else 0 for cups in day] for day in week]


def nice(most: float) -> float:
    """A round number that is not less."""
    scale = 10 ** floor(log10(most)) if most > 0 else 1
    return next(step * scale for step in (1.5, 3, 6, 9, 15) if step * scale >= most)


def _short(number: float) -> str:
    sign, size = "−" if number < 0 else "", abs(number)
    if size >= 10_000:
        return f"{sign}{size / 1000:.0f}k"
    return f"{sign}{size:.0f}" if size == int(size) or size > 10 else f"{sign}{size:.1f}"
