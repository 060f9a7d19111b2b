"""Figures of sales and how they add up: cups, sums, failures, hours, time from payment to cup. Pure."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

HOURS = 24
BOUNDS_S = (10, 15, 20, 25, 30, 35, 40, 45, 50, 55, 60, 70, 80, 90, 105, 120, 150, 180, 240, 300, 600)
"""From payment to cup, seconds: how many came within each; the last count is of all that took longer."""


@dataclass
class DrinkSales:
    """One drink: cups, and what they cost."""

    name: str
    cups: int = 0
    kopecks: int = 0


@dataclass
class Figures:
    """What a machine sold on a day, or many machines in many days."""

    cups: int = 0
    taken: int = 0
    """Kopecks captured, by the ledger."""
    returned: int = 0
    """Kopecks refunded, by the ledger."""
    reasons: Counter[str] = field(default_factory=Counter)
    """Paid drinks that were not made, by why."""
    drinks: dict[str, DrinkSales] = field(default_factory=dict)
    hours: list[int] = field(default_factory=lambda: [0] * HOURS)
    waits: list[int] = field(default_factory=lambda: [0] * (len(BOUNDS_S) + 1))

    @property
    def failed(self) -> int:
        return self.reasons.total()

    @property
    def kept(self) -> int:
        """Kopecks taken and not returned."""
        return self.taken - self.returned

    @property
    def failure_rate(self) -> float:
        """Of all paid drinks that ended."""
        ended = self.cups + self.failed
        return self.failed / ended if ended else 0.0

    def add_cup(self, drink_no: str, name: str, kopecks: int, hour: int, waited_s: float | None) -> None:
        drink = self.drinks.setdefault(drink_no, DrinkSales(name))
        drink.name, drink.cups, drink.kopecks = name, drink.cups + 1, drink.kopecks + kopecks
        self.cups += 1
        self.hours[hour] += 1
        if waited_s is not None:
            self.waits[_bucket(waited_s)] += 1

    def add_parts(self, parts: dict[str, Any]) -> None:
        """What `stored` gave of another, quick for many; sums of money are not in it."""
        self.cups += sum(parts["hours"])
        for reason, number in parts["reasons"].items():
            self.reasons[reason] += number
        for no, (name, cups, kopecks) in parts["drinks"].items():
            drink = self.drinks.get(no) or self.drinks.setdefault(no, DrinkSales(name))
            drink.cups += cups
            drink.kopecks += kopecks
        for mine, theirs in ((self.hours, parts["hours"]), (self.waits, parts["waits"])):
            for place, number in enumerate(theirs):
                if number:
                    mine[place] += number

    def waited(self, share: float) -> float | None:
        """Within how many seconds of paying so great a share had its cup; None when nobody had any."""
        return percentile(self.waits, share)

    def stored(self) -> dict[str, Any]:
        """Its parts that are no plain numbers, for JSON."""
        return {
            "reasons": dict(self.reasons),
            "drinks": {no: [drink.name, drink.cups, drink.kopecks] for no, drink in self.drinks.items()},
            "hours": self.hours,
            "waits": self.waits,
        }

    @classmethod
    def restored(cls, cups: int, taken: int, returned: int, parts: dict[str, Any]) -> "Figures":
        """What `stored` gave, again."""
        drinks = {no: DrinkSales(*drink) for no, drink in parts["drinks"].items()}
        return cls(cups, taken, returned, Counter(parts["reasons"]), drinks, parts["hours"], parts["waits"])


def total(each: Iterable[Figures]) -> Figures:
    """All of them together."""
    whole = Figures()
    for one in each:
        whole.cups, whole.taken = whole.cups + one.cups, whole.taken + one.taken
        whole.returned += one.returned
        whole.reasons.update(one.reasons)
        for no, drink in one.drinks.items():
            mine = whole.drinks.setdefault(no, DrinkSales(drink.name))
            mine.cups, mine.kopecks = mine.cups + drink.cups, mine.kopecks + drink.kopecks
        whole.hours = [a + b for a, b in zip(whole.hours, one.hours, strict=True)]
        whole.waits = [a + b for a, b in zip(whole.waits, one.waits, strict=True)]
    return whole


def percentile(waits: Sequence[int], share: float) -> float | None:
    """Between the bounds of its count as far as it stands in it; beyond the last bound that bound."""
    wanted, seen = share * sum(waits), 0
    if not wanted:
        return None
    for place, count in enumerate(waits[:-1]):
        if count and seen + count >= wanted:
            low = BOUNDS_S[place - 1] if place else 0
            return low + (BOUNDS_S[place] - low) * (wanted - seen) / count
        seen += count
    return float(BOUNDS_S[-1])


def _bucket(seconds: float) -> int:
    return next((place for place, bound in enumerate(BOUNDS_S) if seconds <= bound), len(BOUNDS_S))
