"""The fleet as cards: what `scope` lets a person see, the worst first."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Row, and_, func, select
from sqlalchemy.orm import Session

from cloud.access.person import Scope
from cloud.console.machines.condition import Standing, standing
from cloud.console.shell.machines import named_like
from cloud.fleet.models import Device, DeviceLive, Drink, Merchant
from cloud.fleet.presence_history import current_spells
from cloud.fleet.zones import day_at
from cloud.orders.sales_tables import SalesDay

PAGE = 60
MOST = 5_000
"""Machines looked at for one page, the first by their number; the search looks through all of them."""

DIGITS = 2
"""Of a severity in an address."""
_Stand = tuple[Device, DeviceLive | None, str, Standing]
"""A machine, what it last said, its owner's name, and how it stands."""


@dataclass(frozen=True)
class Card:
    """One machine in the list."""

    device_uuid: str
    location: str
    merchant: str
    standing: Standing
    zone: str
    closed_drinks: int
    cups: int
    """Sold today, as far as it is rolled up."""
    noise: float
    """Damaged frames of its serial line, 0 to 1."""


@dataclass(frozen=True)
class Fleet:
    """A page of cards, and how many there are of each state among those looked at."""

    cards: Sequence[Card]
    counts: dict[str, int]
    total: int
    looked_at: int
    next: str = ""

    @property
    def is_cut(self) -> bool:
        """Whether there are more than were looked at."""
        return self.total > self.looked_at


def read_fleet(session: Session, scope: Scope, wanted: str, state: str, after: str, now: datetime) -> Fleet:
    """Machines whose name or place contains `wanted`, those in `state` only where one is named."""
    names = named_like(session, scope, wanted) if wanted else None
    total = _count(session, scope) if names is None else len(names)
    rows = _rows(session, scope, names)
    spells = current_spells(session, [device.device_uuid for device, _, _ in rows])
    stands = [
        (device, live, owner, standing(device, live, spells.get(device.device_uuid))) for device, live, owner in rows
    ]
    counts: dict[str, int] = {}
    for _, _, _, how in stands:
        counts[how.state] = counts.get(how.state, 0) + 1
    chosen = [one for one in stands if not state or one[3].state == state or (state == "trouble" and one[3].is_trouble)]
    chosen.sort(key=_place)
    begins = _read_place(after)
    rest = [one for one in chosen if _place(one) > begins]
    page = rest[:PAGE]
    more = "{}.{}".format(*_place(page[-1])) if len(rest) > PAGE else ""
    return Fleet(_cards(session, page, now), counts, total, len(rows), more)


def _place(one: _Stand) -> tuple[int, str]:
    """Where it stands in the list. It moves with its trouble, so a page begins after a place, not after a machine."""
    return one[3].severity, one[0].device_uuid


def _read_place(text: str) -> tuple[int, str]:
    """What an address names; before all machines for nothing, or for what is no place."""
    severity, _, device_uuid = text.partition(".")
    return (int(severity), device_uuid) if severity.isdecimal() and len(severity) <= DIGITS else (-1, "")


def _cards(session: Session, page: Sequence[_Stand], now: datetime) -> list[Card]:
    names = [device.device_uuid for device, _, _, _ in page]
    closed = dict(
        session.execute(
            select(Drink.device_uuid, func.count())
            .where(Drink.device_uuid.in_(names), Drink.closed_since.is_not(None))
            .group_by(Drink.device_uuid)
        ).all()
    )
    days = {day_at(now, device.zone) for device, _, _, _ in page}
    sold = {
        (device, day): cups
        for device, day, cups in session.execute(
            select(SalesDay.device_uuid, SalesDay.day, SalesDay.cups).where(
                and_(SalesDay.device_uuid.in_(names), SalesDay.day.in_(days))
            )
        )
    }
    return [
        Card(
            device.device_uuid, device.location, owner, how, device.zone, closed.get(device.device_uuid, 0),
            sold.get((device.device_uuid, day_at(now, device.zone)), 0), live.frame_error_ratio if live else 0.0,
        )
        for device, live, owner, how in page
    ]  # fmt: skip


def _count(session: Session, scope: Scope) -> int:
    inside = scope.where(Device.merchant_id, Device.device_uuid)
    return session.scalar(select(func.count()).select_from(Device).where(inside)) or 0


def _rows(session: Session, scope: Scope, names: Sequence[str] | None) -> Sequence[Row[Device, DeviceLive | None, str]]:
    asked = (
        select(Device, DeviceLive, Merchant.name)
        .join(Merchant, Merchant.id == Device.merchant_id)
        .outerjoin(DeviceLive, DeviceLive.device_uuid == Device.device_uuid)
        .where(scope.where(Device.merchant_id, Device.device_uuid))
    )
    if names is not None:
        asked = asked.where(Device.device_uuid.in_(names[:MOST]))
    return session.execute(asked.order_by(Device.device_uuid).limit(MOST)).all()
