"""The page of charts."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from typing import NamedTuple

from cloud.access.acts import Act
from cloud.books.period import PRESETS, Period
from cloud.console.books.asking import asked, preset
from cloud.console.charts.drawing import Chart, bars, shades
from cloud.console.charts.reading import Sums, read_sold, read_sums
from cloud.console.charts.texts_en import EN
from cloud.console.charts.texts_ru import RU
from cloud.console.shell.machines import machines_in
from cloud.console.shell.request_context import RequestContext
from cloud.console.shell.section import Nav, Section
from cloud.orders.sales_days import is_behind

section = Section("charts", {"ru": RU, "en": EN}, Nav("charts.show", Act.SEE_CHARTS, icon="charts", order=60))
LABELS = 8
"""So many days stand under a chart, at most."""


class Compared(NamedTuple):
    """One figure of the period against the one before: `change` as a share, None where there is nothing to compare.

    Of less than nothing, where more went back than came in, there is no share.
    """

    change: float | None

    @classmethod
    def of(cls, now: float, before: float) -> "Compared":
        return cls((now - before) / before if before > 0 else None)


@section.page("/charts", Act.SEE_CHARTS)
def show(context: RequestContext) -> str:
    """Sales of a period against the one before."""
    wanted = asked(context)
    period, machine = wanted.period, wanted.device_uuid
    with context.read() as session:
        sold = read_sold(session, context.scope, period, machine)
        earlier = read_sums(session, context.scope, period.before, machine)
        machines = machines_in(session, context.scope)
        behind = is_behind(session)
    number, price = lambda n: context.texts.number(round(n)), lambda roubles: context.texts.price(round(100 * roubles))
    return context.render(
        "charts/show.html", period=period, machine=machine, machines=machines, sold=sold,
        before=Sums(sum(one.cups for one in earlier.values()), 0, sum(one.kept for one in earlier.values())),
        preset=preset(), presets=list(PRESETS), behind=behind,
        cups=_days(context, period, sold.by_day, earlier, lambda one: one.cups, number),
        sums=_days(context, period, sold.by_day, earlier, lambda one: one.kept / 100, price),
        failures=_days(context, period, sold.by_day, earlier, lambda one: one.failed, number), week=shades(sold.week),
        compared=Compared.of,
    )  # fmt: skip


@dataclass(frozen=True)
class Days:
    """What one chart shows: a figure of each day, and of the day that stands behind it."""

    days: list[str]
    values: list[float]
    then: list[float]
    words: Callable[[float], str]

    @property
    def chart(self) -> Chart:
        """Drawn here, for a browser that runs no scripts."""
        every = max(1, -(-len(self.days) // LABELS))
        titles = [f"{name}: {self.words(number)}" for name, number in zip(self.days, self.values, strict=True)]
        labels = [name if place % every == 0 else "" for place, name in enumerate(self.days)]
        return bars(self.values, self.then, titles, labels)


def _days(
    context: RequestContext,
    period: Period,
    sold: dict[date, Sums],
    before: dict[date, Sums],
    value: Callable[[Sums], float],
    words: Callable[[float], str],
) -> Days:
    nothing, dates = Sums(), list(period.days())
    return Days(
        [_day(context, day) for day in dates],
        [value(sold.get(day, nothing)) for day in dates],
        [value(before.get(day, nothing)) for day in period.before.days()],
        words,
    )


def _day(context: RequestContext, day: date) -> str:
    return f"{day.day:02}.{day.month:02}" if context.texts.language == "ru" else f"{day:%d %b}"
