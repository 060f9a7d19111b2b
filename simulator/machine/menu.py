"""What the simulated machine can pour: drinks, sizes, prices on its buttons, and how each drink comes to be.

A price here is only what the machine shows; what a buyer pays is the cloud's affair.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from protocol.reasons import Size, Stage

_POURING = (Stage.BREW, Stage.MILK, Stage.MIX)
"""The stages in which something flows into the cup."""
_REPORTED = tuple(tenth / 10 for tenth in range(11))
"""Shares of the whole at which the machine reports progress, besides each stage's start."""


class Ingredient(StrEnum):
    """What a drink needs besides water and a cup."""

    BEANS = "beans"
    MILK = "milk"
    POWDER = "powder"


@dataclass(frozen=True, slots=True)
class Moment:
    """A point of a recipe: `share` of the whole time, the stage it is in, how full the cup is (0 to 1)."""

    share: float
    stage: Stage
    filled: float

    @property
    def pct(self) -> int:
        return round(self.share * 100)


@dataclass(frozen=True, slots=True)
class Recipe:
    """Stages in order, each with its share of the time; the shares sum to 1."""

    stages: tuple[tuple[Stage, float], ...]

    def moments(self) -> tuple[Moment, ...]:
        """Every point worth reporting, from 0 to 1."""
        shares = {*_REPORTED, *(round(start, 6) for _, start, _ in self._spans())}
        return tuple(self.at(share) for share in sorted(shares))

    def at(self, share: float) -> Moment:
        """Where the drink is after this share of its time."""
        now_in = self.stages[0][0]
        poured = 0.0
        for stage, start, end in self._spans():
            if share >= start - 1e-9:
                now_in = stage
                if stage in _POURING:
                    poured += min(share, end) - start
        return Moment(share, now_in, max(0.0, min(1.0, round(poured / self._pouring(), 6))))

    def _spans(self) -> Iterator[tuple[Stage, float, float]]:
        start = 0.0
        for stage, share in self.stages:
            yield stage, start, start + share
            start += share

    def _pouring(self) -> float:
        return sum(share for stage, share in self.stages if stage in _POURING)


@dataclass(frozen=True, slots=True)
class Drink:
    """One button. `pace` is its brewing time relative to the machine's usual one."""

    drink_no: str
    name: str
    name_en: str
    recipe: Recipe
    needs: frozenset[Ingredient]
    prices: tuple[int, int, int]
    """Kopecks, by `Size`."""
    pace: float
    colours: tuple[str, str]
    """The drink and its top, as the panel draws them."""

    def price(self, size: Size) -> int:
        return self.prices[size]


Menu = dict[str, Drink]
"""Drinks by `drink_no`, in the order of the buttons."""


def menu_of(*drinks: Drink) -> Menu:
    return {drink.drink_no: drink for drink in drinks}


_BLACK = Recipe(((Stage.CUP, 0.12), (Stage.GRIND, 0.18), (Stage.BREW, 0.6), (Stage.SERVE, 0.1)))
_MILKY = Recipe(
    ((Stage.CUP, 0.1), (Stage.GRIND, 0.15), (Stage.BREW, 0.3), (Stage.MILK, 0.3), (Stage.MIX, 0.05), (Stage.SERVE, 0.1))
)
_STEEPED = Recipe(((Stage.CUP, 0.15), (Stage.BREW, 0.75), (Stage.SERVE, 0.1)))
_STIRRED = Recipe(((Stage.CUP, 0.15), (Stage.MIX, 0.75), (Stage.SERVE, 0.1)))

STANDARD_MENU = menu_of(
    Drink(
        drink_no="espresso",
        name="Эспрессо",
        name_en="Espresso",
        recipe=_BLACK,
        needs=frozenset({Ingredient.BEANS}),
        prices=(9900, 12900, 14900),
        pace=0.8,
        colours=("#3b2114", "#b07a45"),
    ),
    Drink(
        drink_no="americano",
        name="Американо",
        name_en="Americano",
        recipe=_BLACK,
        needs=frozenset({Ingredient.BEANS}),
        prices=(14900, 17900, 19900),
        pace=1.0,
        colours=("#4a2a18", "#8a5a35"),
    ),
    Drink(
        drink_no="cappuccino",
        name="Капучино",
        name_en="Cappuccino",
        recipe=_MILKY,
        needs=frozenset({Ingredient.BEANS, Ingredient.MILK}),
        prices=(16900, 19900, 22900),
        pace=1.2,
        colours=("#a8744a", "#f3e6d3"),
    ),
    Drink(
        drink_no="latte",
        name="Латте",
        name_en="Latte",
        recipe=_MILKY,
        needs=frozenset({Ingredient.BEANS, Ingredient.MILK}),
        prices=(17900, 20900, 23900),
        pace=1.3,
        colours=("#c79a6d", "#f8efe2"),
    ),
    Drink(
        drink_no="cocoa",
        name="Какао",
        name_en="Cocoa",
        recipe=_STIRRED,
        needs=frozenset({Ingredient.POWDER}),
        prices=(12900, 14900, 16900),
        pace=0.9,
        colours=("#6d4029", "#a77a5c"),
    ),
    Drink(
        drink_no="tea",
        name="Чай с лимоном",
        name_en="Lemon tea",
        recipe=_STEEPED,
        needs=frozenset(),
        prices=(7900, 8900, 9900),
        pace=0.8,
        colours=("#b5652a", "#d59a4f"),
    ),
)
