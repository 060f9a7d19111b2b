"""Numbers out of many numbers. Times go in as seconds and come out as milliseconds."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Spread:
    """Milliseconds; `count` samples."""

    count: int
    p50: float
    p90: float
    p99: float
    longest: float


def spread(seconds: Iterable[float]) -> Spread | None:
    """None when there is nothing to tell."""
    ordered = sorted(value * 1000 for value in seconds)
    if not ordered:
        return None
    return Spread(len(ordered), *(round(percentile(ordered, share), 2) for share in (0.5, 0.9, 0.99, 1.0)))


def percentile(ordered: Sequence[float], share: float) -> float:
    """The smallest of the sorted values that at least this share of them does not exceed."""
    return ordered[max(0, math.ceil(round(share * len(ordered), 6)) - 1)]
