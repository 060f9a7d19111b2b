"""Machines to choose one from: all of a scope while a list holds them; else the first of them, and any by its name."""

from collections.abc import Sequence
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
