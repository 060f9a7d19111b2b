"""Figures of a period from the days that are rolled up: together, by day, machine, drink, hour of the week."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date

from sqlalchemy import select
from sqlalchemy.orm import Session

from cloud.access.person import Scope
from cloud.console.charts.period import Period
from cloud.fleet.models import Device
from cloud.orders.sales_days import SalesDay
from cloud.orders.sales_figures import HOURS, DrinkSales, Figures, total

WEEKDAYS = 7


@dataclass(frozen=True)
class Sold:
    """All that the charts of one period show."""

    whole: Figures
    by_day: dict[date, Figures]
    by_machine: Sequence[tuple[str, str, Figures]]
    """Its number, its place; the best first."""
    by_drink: Sequence[DrinkSales]
    week: list[list[int]] = field(default_factory=list)
    """Cups by weekday (Monday first) and hour."""


def read_sold(session: Session, scope: Scope, period: Period, device_uuid: str = "") -> Sold:
    """What was sold from the first day to the last, each machine's days in its own zone."""
    asked = select(SalesDay).where(
        SalesDay.day >= period.first,
        SalesDay.day <= period.last,
        scope.where(SalesDay.merchant_id, SalesDay.device_uuid),
    )
    if device_uuid:
        asked = asked.where(SalesDay.device_uuid == device_uuid)
    by_day: dict[date, list[Figures]] = defaultdict(list)
    by_machine: dict[str, list[Figures]] = defaultdict(list)
    week = [[0] * HOURS for _ in range(WEEKDAYS)]
    for row in session.scalars(asked):
        figures = row.figures
        by_day[row.day].append(figures)
        by_machine[row.device_uuid].append(figures)
        hours = week[row.day.weekday()]
        for hour, cups in enumerate(figures.hours):
            hours[hour] += cups
    whole = total(figures for each in by_day.values() for figures in each)
    places = _places(session, list(by_machine))
    machines = [(name, places.get(name, ""), total(each)) for name, each in by_machine.items()]
    machines.sort(key=lambda one: (-one[2].kept, one[0]))
    drinks = sorted(_by_name(whole.drinks.values()), key=lambda one: (-one.cups, one.name))
    return Sold(whole, {day: total(each) for day, each in by_day.items()}, machines, drinks, week)


def read_days(
    session: Session, scope: Scope, period: Period, device_uuid: str = ""
) -> Iterator[tuple[date, str, str, Figures]]:
    """Day, machine, place and figures, a line each."""
    asked = (
        select(SalesDay, Device.location)
        .join(Device, Device.device_uuid == SalesDay.device_uuid)
        .where(SalesDay.day >= period.first, SalesDay.day <= period.last)
        .where(scope.where(SalesDay.merchant_id, SalesDay.device_uuid))
    )
    if device_uuid:
        asked = asked.where(SalesDay.device_uuid == device_uuid)
    for row, place in session.execute(asked.order_by(SalesDay.day, SalesDay.device_uuid)):
        yield row.day, row.device_uuid, place, row.figures


def _by_name(drinks: Iterable[DrinkSales]) -> list[DrinkSales]:
    """One drink has different numbers at different machines; to who sells it, it is one."""
    named: dict[str, DrinkSales] = {}
    for drink in drinks:
        mine = named.setdefault(drink.name, DrinkSales(drink.name))
        mine.cups, mine.kopecks = mine.cups + drink.cups, mine.kopecks + drink.kopecks
    return list(named.values())


def _places(session: Session, names: list[str]) -> dict[str, str]:
    asked = select(Device.device_uuid, Device.location).where(Device.device_uuid.in_(names))
    return dict(session.execute(asked).all()) if names else {}
