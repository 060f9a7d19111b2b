"""Machines of a scope: to choose one from (the first of them, and any by its name), and the zones they stand in."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, or_, select, true
from sqlalchemy.orm import Session

from cloud.access.person import Scope
from cloud.fleet.models import Device
from cloud.orders.sales_tables import SalesDay

MOST = 200
WEST_OF_UTC = timedelta(days=1)
"""There it may still be the day before."""


@dataclass(frozen=True)
class Machines:
    """For the macro `machine` of `parts.html`."""

    listed: Sequence[tuple[str, str]]
    """Names with places, by place."""
    has_more: bool


def machines_in(session: Session, scope: Scope) -> Machines:
    """What a person may choose from."""
    found = select(Device.device_uuid, Device.location).where(scope.where(Device.merchant_id, Device.device_uuid))
    rows = session.execute(found.order_by(Device.location, Device.device_uuid).limit(MOST + 1)).all()
    return Machines([(name, place) for name, place in rows[:MOST]], len(rows) > MOST)


def named_like(session: Session, scope: Scope, wanted: str, *, by_place: bool = False) -> list[str]:
    """Names of all whose name or place contains `wanted`, by name unless `by_place`.

    Compared here: not every database knows small Cyrillic.
    """
    sought = wanted.casefold()
    found = select(Device.device_uuid, Device.location).where(scope.where(Device.merchant_id, Device.device_uuid))
    rows = session.execute(found.order_by(*[Device.location] * by_place, Device.device_uuid))
    return [name for name, place in rows if sought in name.casefold() or sought in place.casefold()]


def zones_in(session: Session, scope: Scope, now: datetime) -> list[str]:
    """In whose time anything happens there today: also where a machine sold that is another merchant's since.

    Out of the kept days, up to a minute old: they are a few rows a machine, the orders of a day may be many thousand.
    """
    mine = scope.where(Device.merchant_id, Device.device_uuid)
    sold = scope.where(SalesDay.merchant_id, SalesDay.device_uuid)
    lately = select(SalesDay.device_uuid).where(sold, SalesDay.day >= now.date() - WEST_OF_UTC)
    return _zones(session, or_(mine, Device.device_uuid.in_(lately)))


def zones_of_all(session: Session) -> list[str]:
    """In whose time any order can have been made, whosever it is: machines may go from one merchant to another."""
    return _zones(session, true())


def _zones(session: Session, which: ColumnElement[bool]) -> list[str]:
    return list(session.scalars(select(Device.zone).where(which).distinct().order_by(Device.zone)))


def zones_of(session: Session, device_uuids: Collection[str]) -> dict[str, str]:
    """Where each of these stands; what is no machine is left out."""
    found = select(Device.device_uuid, Device.zone).where(Device.device_uuid.in_(set(device_uuids)))
    return {row.device_uuid: row.zone for row in session.execute(found)}
