"""What a page of sales or money is asked for: of whom, from which day to which."""

from flask import request
from sqlalchemy import select

from cloud.books.period import DEFAULT, read_period
from cloud.books.reading import Asked
from cloud.console.shell.desk import Desk
from cloud.fleet.models import Merchant
from cloud.fleet.zones import DEFAULT as MOSCOW
from cloud.fleet.zones import day_at


def asked(desk: Desk) -> Asked:
    """By address or form: a preset number of days, or two days, and perhaps one machine."""
    said = request.values
    since, until = (desk.day(said.get(name, "")) for name in ("since", "until"))
    today = day_at(desk.now, _zone(desk))
    period = read_period(said.get("days", ""), since, until, today)
    return Asked(desk.scope, period, said.get("machine", "").strip()[:64])


def preset() -> str:
    """Which preset the address means; nothing where it names days."""
    return request.args.get("days", "" if request.args.get("since") else DEFAULT)


def _zone(desk: Desk) -> str:
    """In whose time today is: the merchant's, where there is but one."""
    with desk.read() as session:
        zones = set(session.scalars(select(Merchant.zone).where(desk.scope.where(Merchant.id))))
    return zones.pop() if len(zones) == 1 else MOSCOW
