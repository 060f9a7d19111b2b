"""What machines and their agents told of themselves besides drinks: kept for the operator, a while, so many of each.

Decides nothing and moves no order. A device can only add to its own, and never more than `KEPT_EACH`.
"""

import logging
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import JSON, BigInteger, ForeignKey, Index, Select, String, UniqueConstraint, delete, func, select
from sqlalchemy.orm import Mapped, Session, mapped_column

from cloud.database.base import SERIAL, Base
from cloud.database.plain_rows import insert_if_new
from cloud.database.transaction import Transaction
from cloud.fleet.models import Device
from protocol.messages import Event
from protocol.reasons import EventKind

KEPT_EACH = 1_000
"""Of one device; the oldest go first. Months of an ordinary machine, and all that a mad one can ever take."""
KEPT_FOR = timedelta(days=90)
SWEPT_AT_ONCE = 100
"""Too old ones of the whole fleet removed with each new one: more than can come, so nobody else has to sweep."""
OTHER = "other"
log = logging.getLogger("cloud.fleet")


class MachineEvent(Base):
    """One event, as it was told. `id` grows in the order in which the cloud heard of them."""

    __tablename__ = "machine_events"
    __table_args__ = (
        UniqueConstraint("device_uuid", "message_id", name="uq_machine_events_once"),
        Index("ix_machine_events_device", "device_uuid", "id"),
    )

    id: Mapped[int] = mapped_column(SERIAL, primary_key=True, autoincrement=True)
    device_uuid: Mapped[str] = mapped_column(ForeignKey("devices.device_uuid"))
    message_id: Mapped[str] = mapped_column(String(255))
    at: Mapped[datetime]
    """By the device's clock, which may be wrong; `received_at` is by ours."""
    received_at: Mapped[datetime] = mapped_column(index=True)
    what: Mapped[str] = mapped_column(String(64))
    code: Mapped[str] = mapped_column(String(64))
    words: Mapped[str] = mapped_column(String(500))
    evidence: Mapped[dict[str, Any]] = mapped_column(JSON)
    lost: Mapped[int] = mapped_column(BigInteger)
    """How many this device's journal had to drop before it, ever."""


def keep(tx: Transaction, device_uuid: str, said: Event, now: datetime) -> None:
    """Store it unless it is known; of a device that is not in the fleet nothing is kept."""
    if tx.session.get(Device, device_uuid) is None:
        tx.log_after_commit(log.warning, "an event of an unknown device", extra={"device": device_uuid})
        return
    values = {
        "device_uuid": device_uuid,
        "message_id": said.message_id,
        "at": said.at,
        "received_at": now,
        "what": said.what,
        "code": said.code,
        "words": said.words,
        "evidence": dict(said.evidence),
        "lost": said.lost,
    }
    if insert_if_new(tx.connection, MachineEvent, values):
        tx.log_after_commit(log.info, "%s %s %s", said.what, said.code, said.words, extra={"device": device_uuid})
        _forget(tx, device_uuid, now)


def latest(session: Session, device_uuid: str, limit: int) -> Sequence[MachineEvent]:
    """The newest of one device, oldest of them first."""
    asked = select(MachineEvent).where(MachineEvent.device_uuid == device_uuid)
    return session.scalars(asked.order_by(MachineEvent.id.desc()).limit(limit)).all()[::-1]


def counts(session: Session, since: datetime) -> dict[str, int]:
    """How many were heard of since then, by what happened; what we have no word for is `other`."""
    asked = select(MachineEvent.what, func.count()).where(MachineEvent.received_at > since)
    found = dict.fromkeys((*(one.value for one in EventKind), OTHER), 0)
    for what, number in session.execute(asked.group_by(MachineEvent.what)):
        found[what if what in found else OTHER] += number
    return found


def agents_started(session: Session, since: datetime) -> set[str]:
    """Machines whose agent told of a start since then: it ended by itself, or somebody ended it."""
    asked = select(MachineEvent.device_uuid).where(
        MachineEvent.received_at > since, MachineEvent.what == EventKind.AGENT_STARTED.value
    )
    return set(session.scalars(asked.distinct()))


def _forget(tx: Transaction, device_uuid: str, now: datetime) -> None:
    beyond = (
        select(MachineEvent.id)
        .where(MachineEvent.device_uuid == device_uuid)
        .order_by(MachineEvent.id.desc())
        .offset(KEPT_EACH)
        .limit(1)
    )
    last = tx.session.scalar(beyond)
    if last is not None:
        of_device = MachineEvent.device_uuid == device_uuid
        _remove(tx, select(MachineEvent.id).where(of_device, MachineEvent.id <= last))
    _remove(tx, select(MachineEvent.id).where(MachineEvent.received_at < now - KEPT_FOR).limit(SWEPT_AT_ONCE))


def _remove(tx: Transaction, found: Select[int]) -> None:
    """But for those that another transaction removes: what waits for them may hold what that one waits for."""
    free = found.with_for_update(skip_locked=True).cte("free")
    tx.session.execute(delete(MachineEvent).where(MachineEvent.id.in_(select(free.c.id))))
