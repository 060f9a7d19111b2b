"""Everything about one machine: how it stands, what it can make, its counters, and one stream of what happened."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import select, text
from sqlalchemy.orm import Session

from cloud.access.models import NOTES, JournalRow
from cloud.console.machines.condition import Standing, needs_resume, standing
from cloud.courier.device_jobs import OPEN, DeviceJob, latest_update, live_order
from cloud.courier.device_jobs import latest as latest_jobs
from cloud.fleet.availability import obstacle
from cloud.fleet.machine_events import MachineEvent
from cloud.fleet.models import Device, DeviceLive, Drink, Merchant
from cloud.fleet.presence_history import current_spells, spells_of
from cloud.orders.models import Order
from cloud.orders.states import Status

STREAM = 40
"""Things in one page of the stream."""
_SIZES = (0, 1, 2)
_OVER = {Status.SUCCESSFUL.value: "good", Status.MAKE_FAILED.value: "bad"}


@dataclass(frozen=True)
class DrinkLine:
    """One drink: why it cannot be had now, by whom it was closed."""

    drink_no: str
    name: str
    sizes: Sequence[tuple[int, int]]
    """Size and kopecks, of what is sold."""
    why: str
    closed_since: datetime | None
    closed_by: str
    closed_why: str


@dataclass(frozen=True)
class Happening:
    """One entry of the stream. `kind`: order, event, job, spell or note."""

    at: datetime
    kind: str
    what: str
    look: str = ""
    code: str = ""
    words: str = ""
    by: str = ""
    order_id: str = ""
    price: int = 0
    drink: str = ""
    until: datetime | None = None


@dataclass(frozen=True)
class Machine:
    """The page."""

    device: Device
    merchant: str
    standing: Standing
    drinks: Sequence[DrinkLine]
    state: dict[str, Any]
    live: DeviceLive | None
    needs_resume: bool
    live_order: str | None
    job: DeviceJob | None
    """The latest one, while it is open or just ended."""
    update: DeviceJob | None = None
    """The latest update of its agent."""
    stream: Sequence[Happening] = field(default_factory=list)
    before: datetime | None = None
    """Where the stream's next page begins."""


def read_machine(session: Session, device_uuid: str, before: datetime | None, now: datetime) -> Machine:
    """The machine as it is now, and what happened at it, newest first. Raises `NoResultFound`."""
    device = session.get_one(Device, device_uuid)
    live = session.get(DeviceLive, device_uuid)
    spell = current_spells(session, [device_uuid]).get(device_uuid)
    stream = _stream(session, device_uuid, before or now + timedelta(seconds=5))
    jobs = latest_jobs(session, device_uuid, 1)
    shown = jobs[0] if jobs and (jobs[0].state in OPEN or _is_recent(jobs[0], now)) else None
    return Machine(
        device, session.get_one(Merchant, device.merchant_id).name, standing(device, live, spell),
        _drinks(session, device, live), (live.state or {}) if live is not None else {}, live, needs_resume(live),
        live_order(session, device_uuid), shown, latest_update(session, device_uuid), stream,
        stream[-1].at if len(stream) == STREAM else None,
    )  # fmt: skip


def _is_recent(job: DeviceJob, now: datetime) -> bool:
    return job.ended_at is not None and now - job.ended_at < timedelta(minutes=10)


def _drinks(session: Session, device: Device, live: DeviceLive | None) -> list[DrinkLine]:
    asked = select(Drink).where(Drink.device_uuid == device.device_uuid).order_by(Drink.position, Drink.name)
    return [
        DrinkLine(
            drink.drink_no, drink.name, [(size, price) for size in _SIZES if (price := drink.price(size)) is not None],
            obstacle(device, live, drink, patient=True), drink.closed_since, drink.closed_by, drink.closed_why,
        )
        for drink in session.scalars(asked)
    ]  # fmt: skip


def _stream(session: Session, device_uuid: str, before: datetime) -> list[Happening]:
    """Each kind by its own index, newest first; together as many as fit a page."""
    found = [
        *_orders(session, device_uuid, before),
        *_events(session, device_uuid, before),
        *_jobs(session, device_uuid, before),
        *_notes(session, device_uuid, before),
        *_spells(session, device_uuid, before),
    ]
    return sorted(found, key=lambda one: one.at, reverse=True)[:STREAM]


def _orders(session: Session, device_uuid: str, before: datetime) -> list[Happening]:
    asked = select(Order).where(
        Order.device_uuid == device_uuid, Order.created_at < before, Order.paid_at.is_not(None)
    )  # fmt: skip
    found = session.scalars(asked.order_by(Order.created_at.desc(), Order.id.desc()).limit(STREAM))
    return [
        Happening(order.created_at, "order", order.status, _OVER.get(order.status, ""), order.reason,
                  order_id=order.id, price=order.price, drink=order.drink_name)
        for order in found
    ]  # fmt: skip


def _events(session: Session, device_uuid: str, before: datetime) -> list[Happening]:
    asked = select(MachineEvent).where(MachineEvent.device_uuid == device_uuid, MachineEvent.received_at < before)
    return [
        Happening(event.received_at, "event", event.what, code=event.code, words=event.words,
                  by=str(event.evidence.get("by", "")), drink=str(event.evidence.get("drink", "")))
        for event in session.scalars(asked.order_by(MachineEvent.id.desc()).limit(STREAM))
    ]  # fmt: skip


def _jobs(session: Session, device_uuid: str, before: datetime) -> list[Happening]:
    asked = select(DeviceJob).where(DeviceJob.device_uuid == device_uuid, DeviceJob.asked_at < before)
    return [
        Happening(job.asked_at, "job", job.kind, look_of(job), job.code, job.state, job.asked_by,
                  drink=str(job.wanted.get("drink_no", "")))
        for job in session.scalars(asked.order_by(DeviceJob.asked_at.desc()).limit(STREAM))
    ]  # fmt: skip


def _notes(session: Session, device_uuid: str, before: datetime) -> list[Happening]:
    asked = select(JournalRow).where(text(NOTES), JournalRow.device_uuid == device_uuid, JournalRow.at < before)
    return [
        Happening(row.at, "note", "note", words=row.why, by=row.who_name)
        for row in session.scalars(asked.order_by(JournalRow.at.desc()).limit(STREAM))
    ]


def _spells(session: Session, device_uuid: str, before: datetime) -> list[Happening]:
    spells = spells_of(session, device_uuid, before - timedelta(days=7))
    looks = {"offline": "bad", "faulted": "warn", "online": "good"}
    return [
        Happening(spell.since, "spell", spell.state.value, looks[spell.state.value], spell.reason, until=spell.until)
        for spell in spells
        if spell.since < before
    ]


def look_of(job: DeviceJob) -> str:
    """A job's colour."""
    return {"done": "good", "waiting": "", "sent": "", "started": ""}.get(job.state, "bad")
