"""Figures of sales and how they add up: cups, sums, failures, hours, time from payment to cup. Pure."""

from abc import ABC, abstractmethod
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
class ProviderSums:
    """Money taken by one provider, kopecks."""

    taken: int = 0
    returned: int = 0
    commission: int = 0
    """What the provider said it kept."""
    told: int = 0
    """Of what was taken, that whose commission the provider has told."""

    @property
    def untold(self) -> int:
        """Taken, and nobody has said yet what was kept of it."""
        return self.taken - self.told

    @property
    def net(self) -> int | None:
        """What reaches the merchant; None while some commission is unknown."""
        return None if self.untold else self.taken - self.returned - self.commission

    def add(self, taken: int, returned: int, commission: int, told: int) -> None:
        """Another's sums."""
        self.taken, self.returned = self.taken + taken, self.returned + returned
        self.commission, self.told = self.commission + commission, self.told + told

    def stored(self) -> list[int]:
        """What `add` takes."""
        return [self.taken, self.returned, self.commission, self.told]


class Totals(ABC):
    """What sums of sales come to, whoever added them up."""

    cups: int
    taken: int
    returned: int

    @property
    @abstractmethod
    def failed(self) -> int:
        """Paid drinks that were not made."""

    @property
    def kept(self) -> int:
        """Kopecks taken and not returned."""
        return self.taken - self.returned

    @property
    def failure_rate(self) -> float:
        """Of all paid drinks that ended."""
        ended = self.cups + self.failed
        return self.failed / ended if ended else 0.0


@dataclass
class Figures(Totals):
    """What a machine sold on a day, or many machines in many days."""

    cups: int = 0
    taken: int = 0
    """Kopecks captured, by the ledger."""
    returned: int = 0
    """Kopecks refunded, by the ledger."""
    reasons: Counter[str] = field(default_factory=Counter)
    """Paid drinks that were not made, by why."""
    drinks: dict[str, DrinkSales] = field(default_factory=dict)
    """By the machine's number of it; by name where many machines are added up, whose numbers differ."""
    hours: list[int] = field(default_factory=lambda: [0] * HOURS)
    waits: list[int] = field(default_factory=lambda: [0] * (len(BOUNDS_S) + 1))
    providers: dict[str, ProviderSums] = field(default_factory=dict)
    """The money again, by payment scenario."""

    @property
    def failed(self) -> int:
        return self.reasons.total()

    def add_cup(self, drink_no: str, name: str, kopecks: int, hour: int, waited_s: float | None) -> None:
        drink = self.drinks.setdefault(drink_no, DrinkSales(name))
        drink.name, drink.cups, drink.kopecks = name, drink.cups + 1, drink.kopecks + kopecks
        self.cups += 1
        self.hours[hour] += 1
        if waited_s is not None:
            self.waits[_bucket(waited_s)] += 1

    def add_money(self, provider: str, kind: str, kopecks: int, commission: int | None) -> None:
        """One movement of the ledger; of money that was captured what the provider kept, None where it has not said."""
        mine = self.providers.setdefault(provider, ProviderSums())
        if kind == "captured":
            self.taken += kopecks
            mine.add(kopecks, 0, commission or 0, 0 if commission is None else kopecks)
        else:
            self.returned += kopecks
            mine.add(0, kopecks, 0, 0)

    def add_parts(self, parts: dict[str, Any]) -> None:
        """What `stored` gave of another, quick for many; sums of money are not in it."""
        self.cups += sum(parts["hours"])
        for reason, number in parts["reasons"].items():
            self.reasons[reason] += number
        for name, cups, kopecks in parts["drinks"].values():
            drink = self.drinks.get(name) or self.drinks.setdefault(name, DrinkSales(name))
            drink.cups += cups
            drink.kopecks += kopecks
        for provider, sums in parts.get("providers", {}).items():  # rows of older programs have none
            self.providers.setdefault(provider, ProviderSums()).add(*sums)
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
            "providers": {provider: sums.stored() for provider, sums in self.providers.items()},
        }

    @classmethod
    def restored(cls, cups: int, taken: int, returned: int, parts: dict[str, Any]) -> "Figures":
        """What `stored` gave, again."""
        drinks = {no: DrinkSales(*drink) for no, drink in parts["drinks"].items()}
        providers = {name: ProviderSums(*sums) for name, sums in parts.get("providers", {}).items()}
        return cls(cups, taken, returned, Counter(parts["reasons"]), drinks, parts["hours"], parts["waits"], providers)


def total(each: Iterable[Figures]) -> Figures:
    """All of them together."""
    whole = Figures()
    for one in each:
        whole.taken, whole.returned = whole.taken + one.taken, whole.returned + one.returned
        whole.add_parts(one.stored())
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
