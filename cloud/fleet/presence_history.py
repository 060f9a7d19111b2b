"""Since when each machine is online, faulted or offline: one spell after the other, written only at a change.

Moves no order. A spell is by our clock: it begins when the cloud heard of it.
"""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import NamedTuple

from sqlalchemy import (
    Connection,
    ForeignKey,
    Index,
    Select,
    String,
    case,
    delete,
    func,
    insert,
    or_,
    select,
    text,
    update,
)
from sqlalchemy.orm import Mapped, Session, mapped_column

from cloud.database.base import SERIAL, Base
from cloud.database.transaction import Transaction
from cloud.fleet.availability import standing_obstacle
from cloud.fleet.models import DeviceLive

KEPT_EACH = 1_000
"""Of one device; the oldest go first: all that one with a loose plug can ever take."""
KEPT_FOR = timedelta(days=90)
"""After its end."""
SWEPT_AT_ONCE = 100
"""Too old ones of the whole fleet removed with each new one: more than can come, so nobody else has to sweep."""


class Presence(StrEnum):
    """What a spell is one of."""

    ONLINE = "online"
    FAULTED = "faulted"
    """Its agent is there, and the machine can make nothing until something changes; the spell's reason says why."""
    OFFLINE = "offline"


class Condition(NamedTuple):
    """How a machine is; `reason` is a code, "" where there is nothing to explain."""

    state: Presence
    reason: str


class PresenceSpell(Base):
    """One stretch of time in one condition; `until` is empty while it lasts."""

    __tablename__ = "presence_spells"
    __table_args__ = (
        Index("ix_presence_spells_device", "device_uuid", "since"),
        Index(
            "uq_presence_spells_current", "device_uuid", unique=True,
            postgresql_where=text("until IS NULL"), sqlite_where=text("until IS NULL"),
        ),
        Index("ix_presence_spells_until", "until"),
    )  # fmt: skip

    id: Mapped[int] = mapped_column(SERIAL, primary_key=True, autoincrement=True)
    device_uuid: Mapped[str] = mapped_column(ForeignKey("devices.device_uuid"))
    state: Mapped[str] = mapped_column(String(16))
    reason: Mapped[str] = mapped_column(String(64))
    since: Mapped[datetime]
    until: Mapped[datetime | None] = mapped_column(default=None)


@dataclass(frozen=True)
class Spell:
    """A spell, for whoever shows it."""

    device_uuid: str
    state: Presence
    reason: str
    since: datetime
    until: datetime | None


def condition_of(live: DeviceLive) -> Condition:
    """How this machine is, by its last words."""
    if not live.online:
        return Condition(Presence.OFFLINE, "")
    reason = standing_obstacle(live)[:64]
    return Condition(Presence.FAULTED if reason else Presence.ONLINE, reason)


def note(tx: Transaction, lives: Iterable[DeviceLive], now: datetime) -> None:
    """After they were changed: end the spells that are over and begin the next. The caller holds these rows locked."""
    conditions = {live.device_uuid: condition_of(live) for live in lives}
    current = current_spells(tx.session, conditions)
    begun = {
        device: is_now
        for device, is_now in conditions.items()
        if device not in current or is_now != (current[device].state, current[device].reason)
    }
    if not begun:
        return
    ending = update(PresenceSpell).where(PresenceSpell.device_uuid.in_(begun), PresenceSpell.until.is_(None))
    ends = case((PresenceSpell.since > now, PresenceSpell.since), else_=now)  # the clock may have been set back
    tx.session.execute(ending.values(until=ends))
    tx.session.execute(
        insert(PresenceSpell),
        [
            {"device_uuid": device, "state": is_now.state.value, "reason": is_now.reason, "since": now}
            for device, is_now in begun.items()
        ],
    )
    _forget(tx, begun, now)


def current_spells(reader: Session | Connection, device_uuids: Collection[str]) -> dict[str, Spell]:
    """The present spell of each of these machines; one that never was online has none."""
    asked = _SPELLS.where(PresenceSpell.device_uuid.in_(device_uuids), PresenceSpell.until.is_(None))
    return {spell.device_uuid: spell for spell in _read(reader, asked)}


def spells_of(reader: Session | Connection, device_uuid: str, since: datetime) -> list[Spell]:
    """All of one machine that had not ended by `since`, oldest first; the last is the present one."""
    lasted = or_(PresenceSpell.until.is_(None), PresenceSpell.until > since)
    asked = _SPELLS.where(PresenceSpell.device_uuid == device_uuid, lasted)
    return _read(reader, asked.order_by(PresenceSpell.id))


_SPELLS = select(
    PresenceSpell.device_uuid, PresenceSpell.state, PresenceSpell.reason, PresenceSpell.since, PresenceSpell.until
)


def _read(reader: Session | Connection, asked: Select[str, str, str, datetime, datetime | None]) -> list[Spell]:
    return [
        Spell(device, Presence(state), reason, since, until)
        for device, state, reason, since, until in reader.execute(asked)
    ]


def _forget(tx: Transaction, device_uuids: Collection[str], now: datetime) -> None:
    newest_first = func.row_number().over(partition_by=PresenceSpell.device_uuid, order_by=PresenceSpell.id.desc())
    ranked = (
        select(PresenceSpell.id, newest_first.label("rank"))
        .where(PresenceSpell.device_uuid.in_(device_uuids))
        .subquery()
    )
    old = select(PresenceSpell.id).where(PresenceSpell.until < now - KEPT_FOR).limit(SWEPT_AT_ONCE)
    for over in (select(ranked.c.id).where(ranked.c.rank > KEPT_EACH), old):
        tx.session.execute(delete(PresenceSpell).where(PresenceSpell.id.in_(over)))
