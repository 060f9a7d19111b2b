"""What a page of sales or money is asked for: of whom, from which day to which."""

from datetime import date

from flask import request

from cloud.books.period import DEFAULT, read_period
from cloud.books.reading import Asked
from cloud.console.shell.machines import zones_in
from cloud.console.shell.request_context import RequestContext
from cloud.fleet.zones import day_at


def asked(context: RequestContext) -> Asked:
    """By address or form: a preset number of days, or two days, and perhaps one machine."""
    form = request.values
    since, until = (context.day(form.get(name, "")) for name in ("since", "until"))
    period = read_period(form.get("days", ""), since, until, _today(context))
    return Asked(context.scope, period, form.get("machine", "").strip()[:64])


def preset() -> str:
    """Which preset the address means; nothing where it names days."""
    return request.args.get("days", "" if request.args.get("since") else DEFAULT)


def _today(context: RequestContext) -> date:
    """The latest day that it is anywhere among the machines: what they sell now belongs to it, each in its own time."""
    with context.read() as session:
        zones = zones_in(session, context.scope, context.now)
    return max((day_at(context.now, zone) for zone in zones), default=day_at(context.now, context.texts.zone.key))
