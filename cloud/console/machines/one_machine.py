"""Everything about one machine: how it stands, what it can make, its counters, and one stream of what happened."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, TypeVar

from sqlalchemy import Select, select, text
from sqlalchemy.orm import Session

from cloud.access.models import NOTES, JournalRow
from cloud.console.machines.condition import Standing, needs_resume, standing
from cloud.console.shell.paging import Column, Key, newest_first
from cloud.courier.device_jobs import OPEN, DeviceJob, latest_update, live_order
from cloud.courier.device_jobs import latest as latest_jobs
from cloud.fleet.availability import obstacle
from cloud.fleet.machine_events import MachineEvent
from cloud.fleet.models import Device, DeviceLive, Drink, Merchant
from cloud.fleet.presence_history import PresenceSpell, current_spells
from cloud.orders.models import Order
from cloud.orders.states import Status

T = TypeVar("T")
STREAM = 40
"""Things in one page of the stream."""
_SIZES = (0, 1, 2)
_PRESENCE = {"offline": "bad", "faulted": "warn", "online": "good"}
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
    id: str
    """Of its row, among its kind."""
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
    older: str = ""
    """Where the stream's next page begins; "" at its end."""


def read_machine(session: Session, device_uuid: str, after: Key | None, now: datetime) -> Machine:
    """The machine as it is now, and what happened at it, newest first. Raises `NoResultFound`."""
    device = session.get_one(Device, device_uuid)
    live = session.get(DeviceLive, device_uuid)
    spell = current_spells(session, [device_uuid]).get(device_uuid)
    stream, older = _stream(session, device_uuid, after)
    jobs = latest_jobs(session, device_uuid, 1)
    shown = jobs[0] if jobs and (jobs[0].state in OPEN or _is_recent(jobs[0], now)) else None
    return Machine(
        device, session.get_one(Merchant, device.merchant_id).name, standing(device, live, spell),
        _drinks(session, device, live), (live.state or {}) if live is not None else {}, live, needs_resume(live),
        live_order(session, device_uuid), shown, latest_update(session, device_uuid), stream,
        older,
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


def _stream(session: Session, device_uuid: str, after: Key | None) -> tuple[list[Happening], str]:
    """One page of all kinds together, newest first, and the next page's key; "" at the end.

    What is of one moment stands by kind, then by id: a page may end between any two.
    """
    found = [
        *_orders(session, device_uuid, after),
        *_events(session, device_uuid, after),
        *_jobs(session, device_uuid, after),
        *_notes(session, device_uuid, after),
        *_spells(session, device_uuid, after),
    ]
    found.sort(key=lambda one: (one.at, one.kind), reverse=True)  # of one kind they stay as they came: by id
    page = found[:STREAM]
    return page, str(Key(page[-1].at, f"{page[-1].kind}:{page[-1].id}")) if len(found) > STREAM else ""


def _below(session: Session, kind: str, query: Select[T], at: Column, row: Column, after: Key | None) -> list[T]:
    """The rows of one kind that stand below `after`: a page and one more."""
    last_kind, _, last_id = after.id.partition(":") if after is not None else ("", "", "")
    of_kind = None
    if after is not None and kind == last_kind:
        of_kind = Key(after.at, last_id)
    elif after is not None:
        query = query.where(at <= after.at if kind < last_kind else at < after.at)
    keyed = query.add_columns(at.label("at"), row.label("id"))
    rows, _ = newest_first(session, keyed, at, row, of_kind, STREAM + 1)
    return [found[0] for found in rows]


def _orders(session: Session, device_uuid: str, after: Key | None) -> list[Happening]:
    asked = select(Order).where(Order.device_uuid == device_uuid, Order.paid_at.is_not(None))
    return [
        Happening(order.created_at, "order", order.id, order.status, _OVER.get(order.status, ""), order.reason,
                  order_id=order.id, price=order.price, drink=order.drink_name)
        for order in _below(session, "order", asked, Order.created_at, Order.id, after)
    ]  # fmt: skip


def _events(session: Session, device_uuid: str, after: Key | None) -> list[Happening]:
    asked = select(MachineEvent).where(MachineEvent.device_uuid == device_uuid)
    return [
        Happening(event.received_at, "event", str(event.id), event.what, code=event.code, words=event.words,
                  by=str(event.evidence.get("by", "")), drink=str(event.evidence.get("drink", "")))
        for event in _below(session, "event", asked, MachineEvent.received_at, MachineEvent.id, after)
    ]  # fmt: skip


def _jobs(session: Session, device_uuid: str, after: Key | None) -> list[Happening]:
    asked = select(DeviceJob).where(DeviceJob.device_uuid == device_uuid)
    return [
        Happening(job.asked_at, "job", job.id, job.kind, look_of(job), job.code, job.state, job.asked_by,
                  drink=str(job.wanted.get("drink_no", "")))
        for job in _below(session, "job", asked, DeviceJob.asked_at, DeviceJob.id, after)
    ]  # fmt: skip


def _notes(session: Session, device_uuid: str, after: Key | None) -> list[Happening]:
    asked = select(JournalRow).where(text(NOTES), JournalRow.device_uuid == device_uuid)
    return [
        Happening(row.at, "note", str(row.id), "note", words=row.why, by=row.who_name)
        for row in _below(session, "note", asked, JournalRow.at, JournalRow.id, after)
    ]


def _spells(session: Session, device_uuid: str, after: Key | None) -> list[Happening]:
    asked = select(PresenceSpell).where(PresenceSpell.device_uuid == device_uuid)
    return [
        Happening(spell.since, "spell", str(spell.id), spell.state, _PRESENCE[spell.state], spell.reason,
                  until=spell.until)
        for spell in _below(session, "spell", asked, PresenceSpell.since, PresenceSpell.id, after)
    ]  # fmt: skip


def look_of(job: DeviceJob) -> str:
    """A job's colour."""
    return {"done": "good", "waiting": "", "sent": "", "started": ""}.get(job.state, "bad")
