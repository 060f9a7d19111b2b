"""Figures of a period from the days that are rolled up: together, by day, machine, drink, hour of the week."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date

from sqlalchemy import ColumnElement, func, select
from sqlalchemy.orm import Session

from cloud.access.person import Scope
from cloud.books.period import Period
from cloud.books.reading import wanted
from cloud.fleet.models import Device
from cloud.orders.sales_figures import HOURS, DrinkSales, Figures, Totals
from cloud.orders.sales_tables import MerchantDay, SalesDay

WEEKDAYS = 7
MACHINES = 100
"""The best, told one by one."""


@dataclass(frozen=True)
class Sums(Totals):
    """What the database adds up by itself."""

    cups: int = 0
    failed: int = 0
    taken: int = 0
    returned: int = 0


@dataclass(frozen=True)
class Sold:
    """All that the charts of one period show."""

    whole: Figures
    by_day: dict[date, Sums]
    by_machine: Sequence[tuple[str, str, Sums]]
    """Its number, its place; the best first."""
    by_drink: Sequence[DrinkSales]
    week: list[list[int]] = field(default_factory=list)
    """Cups by weekday (Monday first) and hour."""


def read_sold(session: Session, scope: Scope, period: Period, device_uuid: str = "") -> Sold:
    """What was sold from the first day to the last, each machine's days in its own zone."""
    days = _days(scope, device_uuid)
    whole, week = Figures(), [[0] * HOURS for _ in range(WEEKDAYS)]
    for day, parts in session.execute(select(days.day, days.parts).where(wanted(days, scope, period, device_uuid))):
        whole.add_parts(parts)
        hours = week[day.weekday()]
        for hour, cups in enumerate(parts["hours"]):
            if cups:
                hours[hour] += cups
    by_day = read_sums(session, scope, period, device_uuid)
    whole.taken, whole.returned = (sum(getattr(one, name) for one in by_day.values()) for name in ("taken", "returned"))
    drinks = sorted(whole.drinks.values(), key=lambda one: (-one.cups, one.name))
    return Sold(whole, by_day, _best_machines(session, scope, period, device_uuid), drinks, week)


def read_sums(session: Session, scope: Scope, period: Period, device_uuid: str = "") -> dict[date, Sums]:
    """Each day's sums of a period: all that the one before is compared by."""
    days = _days(scope, device_uuid)
    asked = select(days.day, *_sums(days)).where(wanted(days, scope, period, device_uuid)).group_by(days.day)
    return {day: Sums(*map(int, sums)) for day, *sums in session.execute(asked)}


def _days(scope: Scope, device_uuid: str) -> type[MerchantDay] | type[SalesDay]:
    """Whole merchants are read as such: a thousand times fewer rows than their machines'."""
    return SalesDay if device_uuid or scope.machines else MerchantDay


def _sums(days: type[MerchantDay] | type[SalesDay]) -> tuple[ColumnElement[int], ...]:
    return tuple(func.sum(column) for column in (days.cups, days.failed, days.taken, days.returned))


def _best_machines(session: Session, scope: Scope, period: Period, device_uuid: str) -> Sequence[tuple[str, str, Sums]]:
    kept = func.sum(SalesDay.taken) - func.sum(SalesDay.returned)
    asked = select(SalesDay.device_uuid, *_sums(SalesDay)).where(wanted(SalesDay, scope, period, device_uuid))
    best = asked.group_by(SalesDay.device_uuid).order_by(kept.desc(), SalesDay.device_uuid).limit(MACHINES)
    found = session.execute(best).all()
    places = _places(session, [name for name, *_ in found])
    return [(name, places.get(name, ""), Sums(*map(int, sums))) for name, *sums in found]


def _places(session: Session, names: list[str]) -> dict[str, str]:
    asked = select(Device.device_uuid, Device.location).where(Device.device_uuid.in_(names))
    return dict(session.execute(asked).all()) if names else {}
