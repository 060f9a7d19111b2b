"""The page of charts, and the same figures as a file."""

from collections.abc import Callable
from datetime import date
from typing import NamedTuple

from flask import Response, request
from sqlalchemy import select
from sqlalchemy.orm import Session

from cloud.access.acts import Act
from cloud.access.person import Scope
from cloud.console.charts.csv_file import Cell, Roubles, as_csv
from cloud.console.charts.drawing import Chart, bars, shades
from cloud.console.charts.period import DEFAULT, PRESETS, Period, read_period
from cloud.console.charts.reading import Sums, read_days, read_sold, read_sums
from cloud.console.charts.texts_en import EN
from cloud.console.charts.texts_ru import RU
from cloud.console.shell.desk import Desk
from cloud.console.shell.room import Nav, Room
from cloud.fleet.models import Device, Merchant
from cloud.fleet.zones import DEFAULT as MOSCOW
from cloud.fleet.zones import day_at
from cloud.orders.sales_figures import Figures

room = Room("charts", {"ru": RU, "en": EN}, Nav("charts.show", Act.SEE_CHARTS, icon="charts", order=60))
LABELS = 8
"""So many days stand under a chart, at most."""
MACHINES = 200


class Compared(NamedTuple):
    """One figure of the period against the one before: `change` as a share, None where there is nothing to compare."""

    change: float | None

    @classmethod
    def of(cls, now: float, before: float) -> "Compared":
        return cls((now - before) / before if before else None)


@room.page("/charts", Act.SEE_CHARTS)
def show(desk: Desk) -> str:
    """Sales of a period against the one before."""
    period, machine = _asked(desk)
    with desk.read() as session:
        sold = read_sold(session, desk.scope, period, machine)
        earlier = read_sums(session, desk.scope, period.before, machine)
        machines = _machines(session, desk.scope)
    return desk.render(
        "charts/show.html", period=period, machine=machine, machines=machines, sold=sold,
        before=Sums(sum(one.cups for one in earlier.values()), 0, sum(one.kept for one in earlier.values())),
        preset=request.args.get("days", "" if request.args.get("since") else DEFAULT), presets=list(PRESETS),
        cups=_chart(desk, period, sold.by_day, earlier, lambda one: one.cups),
        sums=_chart(desk, period, sold.by_day, earlier, lambda one: one.kept / 100),
        failures=_chart(desk, period, sold.by_day, earlier, lambda one: one.failed), week=shades(sold.week),
        compared=Compared.of,
    )  # fmt: skip


@room.page("/charts/days.csv", Act.EXPORT)
def days(desk: Desk) -> Response:
    """A line for each machine and day."""
    period, machine = _asked(desk)
    with desk.read() as session:
        lines = [line_of(*one) for one in read_days(session, desk.scope, period, machine)]
    head = [str(desk.texts(f"charts.column.{name}")) for name in COLUMNS]
    return as_file(as_csv(head, lines), f"sales-{period.first}-{period.last}.csv")


COLUMNS = ("day", "machine", "place", "cups", "failed", "taken", "returned", "kept", "p50", "p95")


def as_file(text: str, name: str) -> Response:
    """A download."""
    response = Response(text.encode(), mimetype="text/csv; charset=utf-8")
    response.headers["Content-Disposition"] = f'attachment; filename="{name}"'
    return response


def line_of(day: date, machine: str, place: str, one: Figures) -> list[Cell]:
    """One line of the file, by `COLUMNS`."""
    sums = (Roubles(one.taken), Roubles(one.returned), Roubles(one.kept))
    return [day.isoformat(), machine, place, one.cups, one.failed, *sums, one.waited(0.5), one.waited(0.95)]


def _asked(desk: Desk) -> tuple[Period, str]:
    asked = request.args
    today = day_at(desk.now, _zone(desk))
    period = read_period(asked.get("days", ""), asked.get("since", ""), asked.get("until", ""), today)
    return period, asked.get("machine", "")[:64]


def _zone(desk: Desk) -> str:
    """In whose time today is: the merchant's, where there is but one."""
    with desk.read() as session:
        zones = set(session.scalars(select(Merchant.zone).where(desk.scope.where(Merchant.id))))
    return zones.pop() if len(zones) == 1 else MOSCOW


def _machines(session: Session, scope: Scope) -> list[tuple[str, str]]:
    asked = select(Device.device_uuid, Device.location).where(scope.where(Device.merchant_id, Device.device_uuid))
    found = session.execute(asked.order_by(Device.location, Device.device_uuid).limit(MACHINES))
    return [(name, place or name) for name, place in found]


def _chart(
    desk: Desk, period: Period, sold: dict[date, Sums], before: dict[date, Sums], value: Callable[[Sums], float]
) -> Chart:
    nothing = Sums()
    dates = list(period.days())
    every = max(1, -(-len(dates) // LABELS))
    now = [value(sold.get(day, nothing)) for day in dates]
    then = [value(before.get(day, nothing)) for day in period.before.days()]
    told = [_day(desk, day) for day in dates]
    titles = [f"{name}: {number:g}" for name, number in zip(told, now, strict=True)]
    return bars(now, then, titles, [name if place % every == 0 else "" for place, name in enumerate(told)])


def _day(desk: Desk, day: date) -> str:
    return f"{day.day:02}.{day.month:02}" if desk.texts.language == "ru" else f"{day:%d %b}"
