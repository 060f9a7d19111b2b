"""Pages of money: at risk, and reconciliation by day."""

from collections.abc import Callable
from datetime import timedelta

from flask import request
from werkzeug.wrappers import Response as BaseResponse

from cloud.access.acts import Act
from cloud.console.money.reading import find_difference, read_day, read_risks
from cloud.console.money.texts_en import EN
from cloud.console.money.texts_ru import RU
from cloud.console.shell.paging import AFTER
from cloud.console.shell.request_context import Done, RequestContext, address
from cloud.console.shell.section import Kind, Nav, Section
from cloud.database.transaction import Transaction
from cloud.fleet.zones import DEFAULT, day_at
from cloud.payments.reconcile.kinds import NO_MONEY
from cloud.payments.reconcile.kinds import Kind as Difference
from cloud.payments.reconcile.models import State
from cloud.payments.reconcile.store import AlreadyClosed, settle_by_hand, standing

section = Section("money", {"ru": RU, "en": EN}, Nav("money.show", Act.SEE_MONEY, icon="money", order=50))
DIFFERENCE = Kind("difference", "number", find_difference)
_IS_SUM = {kind.value: kind not in NO_MONEY for kind in Difference}


@section.page("/money", Act.SEE_MONEY)
def show(context: RequestContext) -> str:
    """Money that is neither where it belongs nor back: sums, and what waits for a person."""
    unreadable = context.cloud.clients.unreadable()
    with context.read() as session:
        risks = read_risks(session, context.scope, unreadable, context.now)
    return context.render(
        "money/at_risk.html", risks=risks, order_at=_order_at, lasting=_lasting(context), is_sum=_IS_SUM
    )  # fmt: skip


@section.page("/money/days", Act.SEE_MONEY)
def reconciliation(context: RequestContext) -> str:
    """One day of our books against the providers' lists and the machines' counters."""
    yesterday = day_at(context.now, DEFAULT) - timedelta(days=1)
    day = min(context.day(request.args.get("day", "")) or yesterday, yesterday)
    with context.read() as session:
        found = read_day(session, context.scope, day, request.args.get(AFTER, ""))
    return context.render(
        "money/day.html", day=day, found=found, earlier=day - timedelta(days=1),
        later=day + timedelta(days=1) if day < yesterday else None, order_at=_order_at, is_sum=_IS_SUM,
        is_open={State.OPEN.value, State.MENDING.value},
    )  # fmt: skip


@section.act("/money/differences/<number>/settle", Act.SETTLE_DIFFERENCE, DIFFERENCE)
def settle(context: RequestContext, number: str) -> BaseResponse:
    """A person has looked: it will not open again. Then back to the page of the day, if it was done there."""
    day, why = context.day(request.form.get("day", "")), request.form.get("why", "").strip()[:500]
    then = context.go("money.reconciliation", day=day) if day else context.go("money.show")
    if not why:
        context.say("money.why_missing", good=False)
        return then

    def work(tx: Transaction) -> Done[bool]:
        before = standing(tx.session, int(number))
        done = settle_by_hand(tx, int(number), context.author.name, why, context.now)
        tx.session.flush()
        return Done(done, before, standing(tx.session, int(number)))

    try:
        context.perform(Act.SETTLE_DIFFERENCE, context.about(), why, work)
    except AlreadyClosed:
        context.say("money.closed_before", good=False)
    else:
        context.say("money.settled")
    return then


def _lasting(context: RequestContext) -> Callable[[float], str]:
    return lambda seconds: str(context.texts.lasting(timedelta(seconds=seconds)))


def _order_at(order_id: str) -> str:
    return address("orders.show", order_id=order_id)
