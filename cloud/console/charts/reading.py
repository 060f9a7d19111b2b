"""Figures of a period from the days that are rolled up: together, by day, machine, drink, hour of the week."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date

from sqlalchemy import ColumnElement, and_, func, select, true
from sqlalchemy.orm import Session

from cloud.access.person import Scope
from cloud.console.charts.period import Period
from cloud.fleet.models import Device
from cloud.orders.sales_days import SalesDay
from cloud.orders.sales_figures import HOURS, DrinkSales, Figures

WEEKDAYS = 7


@dataclass(frozen=True)
class Sums:
    """What the database adds up by itself."""

    cups: int = 0
    failed: int = 0
    taken: int = 0
    returned: int = 0

    @property
    def kept(self) -> int:
        return self.taken - self.returned

    @property
    def failure_rate(self) -> float:
        ended = self.cups + self.failed
        return self.failed / ended if ended else 0.0


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
    wanted = _wanted(scope, period, device_uuid)
    whole, week = Figures(), [[0] * HOURS for _ in range(WEEKDAYS)]
    for day, parts in session.execute(select(SalesDay.day, SalesDay.parts).where(wanted)):
        whole.add_parts(parts)
        hours = week[day.weekday()]
        for hour, cups in enumerate(parts["hours"]):
            if cups:
                hours[hour] += cups
    by_day = read_sums(session, scope, period, device_uuid)
    whole.taken, whole.returned = (sum(getattr(one, name) for one in by_day.values()) for name in ("taken", "returned"))
    added = session.execute(select(SalesDay.device_uuid, *_SUMS).where(wanted).group_by(SalesDay.device_uuid)).all()
    places = _places(session, [name for name, *_ in added])
    machines = [(name, places.get(name, ""), Sums(*map(int, sums))) for name, *sums in added]
    machines.sort(key=lambda one: (-one[2].kept, one[0]))
    drinks = sorted(_by_name(whole.drinks.values()), key=lambda one: (-one.cups, one.name))
    return Sold(whole, by_day, machines, drinks, week)


def read_sums(session: Session, scope: Scope, period: Period, device_uuid: str = "") -> dict[date, Sums]:
    """Each day's sums of a period: all that the one before is compared by."""
    asked = select(SalesDay.day, *_SUMS).where(_wanted(scope, period, device_uuid)).group_by(SalesDay.day)
    return {day: Sums(*map(int, sums)) for day, *sums in session.execute(asked)}


_SUMS = tuple(func.sum(column) for column in (SalesDay.cups, SalesDay.failed, SalesDay.taken, SalesDay.returned))


def _wanted(scope: Scope, period: Period, device_uuid: str) -> ColumnElement[bool]:
    of_period = and_(SalesDay.day >= period.first, SalesDay.day <= period.last)
    of_machine = SalesDay.device_uuid == device_uuid if device_uuid else true()
    return and_(of_period, of_machine, scope.where(SalesDay.merchant_id, SalesDay.device_uuid))


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
