"""Pages of money: at risk, reconciliation by day, and the ledger for the bookkeeper."""

from collections.abc import Callable
from datetime import date, timedelta

from flask import Response, request
from werkzeug.wrappers import Response as BaseResponse

from cloud.access.acts import Act
from cloud.console.charts.csv_file import Cell, Roubles, as_csv
from cloud.console.charts.period import read_period
from cloud.console.charts.routes import as_file
from cloud.console.money.reading import find_difference, read_day, read_ledger, read_risks
from cloud.console.money.texts_en import EN
from cloud.console.money.texts_ru import RU
from cloud.console.shell.desk import Desk, Done, address
from cloud.console.shell.room import Kind, Nav, Room
from cloud.database.transaction import Transaction
from cloud.fleet.zones import DEFAULT, day_at, span, zone
from cloud.payments.reconcile.kinds import NO_MONEY
from cloud.payments.reconcile.kinds import Kind as Difference
from cloud.payments.reconcile.models import State
from cloud.payments.reconcile.store import settle_by_hand

room = Room("money", {"ru": RU, "en": EN}, Nav("money.show", Act.SEE_MONEY, icon="money", order=50))
DIFFERENCE = Kind("difference", "number", find_difference)
COLUMNS = ("at", "merchant", "order", "payment", "provider", "kind", "amount", "method", "machine", "drink")


@room.page("/money", Act.SEE_MONEY)
def show(desk: Desk) -> str:
    """Money that is neither where it belongs nor back: sums, and what waits for a person."""
    unreadable = desk.cloud.clients.unreadable()
    with desk.read() as session:
        risks = read_risks(session, desk.scope, unreadable, desk.now)
    return desk.render("money/at_risk.html", risks=risks, order_at=_order_at, lasting=_lasting(desk))


@room.page("/money/days", Act.SEE_MONEY)
def reconciliation(desk: Desk) -> str:
    """One day of our books against the providers' lists and the machines' counters."""
    yesterday = day_at(desk.now, DEFAULT) - timedelta(days=1)
    day = _day(request.args.get("day", ""), yesterday)
    with desk.read() as session:
        found = read_day(session, desk.scope, day)
    is_sum = {kind.value: kind not in NO_MONEY for kind in Difference}
    return desk.render(
        "money/day.html", day=day, found=found, earlier=day - timedelta(days=1),
        later=day + timedelta(days=1) if day < yesterday else None, order_at=_order_at, is_sum=is_sum,
        is_open={State.OPEN.value, State.MENDING.value},
    )  # fmt: skip


@room.act("/money/differences/<number>/settle", Act.SETTLE_DIFFERENCE, DIFFERENCE)
def settle(desk: Desk, number: str) -> BaseResponse:
    """A person has looked: it will not open again."""
    why = request.form.get("why", "").strip()[:500]
    if not why:
        desk.say("money.why_missing", good=False)
        return desk.go("money.show")

    def work(tx: Transaction) -> Done[bool]:
        return Done(settle_by_hand(tx, int(number), desk.author.name, why, desk.now), {"open": True}, {"open": False})

    desk.perform(Act.SETTLE_DIFFERENCE, desk.about(), why, work)
    desk.say("money.settled")
    return desk.go("money.show")


@room.page("/money/ledger.csv", Act.EXPORT)
def ledger(desk: Desk) -> Response:
    """Each movement of money of a period: taken, and returned."""
    asked = request.args
    period = read_period(
        asked.get("days", ""), asked.get("since", ""), asked.get("until", ""), day_at(desk.now, DEFAULT)
    )
    begin, end = span(period.first, DEFAULT)[0], span(period.last, DEFAULT)[1]
    there = zone(DEFAULT)
    with desk.read() as session:
        lines: list[list[Cell]] = [
            [
                f"{movement.at.astimezone(there):%Y-%m-%d %H:%M:%S}", order.merchant_id, order.id, payment.id,
                payment.provider_payment_id, str(desk.texts(f"money.kind.{movement.kind}")),
                Roubles(-movement.amount if movement.kind == "refunded" else movement.amount), payment.method,
                order.device_uuid, order.drink_name,
            ]
            for movement, payment, order in read_ledger(session, desk.scope, begin, end)
        ]  # fmt: skip
    head = [str(desk.texts(f"money.column.{name}")) for name in COLUMNS]
    return as_file(as_csv(head, lines), f"ledger-{period.first}-{period.last}.csv")


def _lasting(desk: Desk) -> Callable[[float], str]:
    return lambda seconds: str(desk.texts.lasting(timedelta(seconds=seconds)))


def _order_at(order_id: str) -> str:
    return address("orders.show", order_id=order_id)


def _day(text: str, usual: date) -> date:
    try:
        return min(date.fromisoformat(text), usual)
    except ValueError:
        return usual
