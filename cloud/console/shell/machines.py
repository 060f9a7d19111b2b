"""Machines of a scope: to choose one from (the first of them, and any by its name), and the zones they stand in."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.orm import Session

from cloud.access.person import Scope
from cloud.fleet.models import Device

MOST = 200


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


def zones_in(session: Session, scope: Scope) -> list[str]:
    """In whose time anything can have happened there."""
    mine = scope.where(Device.merchant_id, Device.device_uuid)
    return list(session.scalars(select(Device.zone).where(mine).distinct().order_by(Device.zone)))


def zones_of(session: Session, device_uuids: Collection[str]) -> dict[str, str]:
    """Where each of these stands; what is no machine is left out."""
    found = select(Device.device_uuid, Device.zone).where(Device.device_uuid.in_(set(device_uuids)))
    return {row.device_uuid: row.zone for row in session.execute(found)}
