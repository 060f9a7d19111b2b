"""What is wrong with machines now, read from what they said and sold."""

from collections.abc import Collection, Iterable
from datetime import datetime, timedelta

from sqlalchemy import and_, func, select
from sqlalchemy.orm import Session, aliased

from cloud.alerts.incident import LIVE, Condition
from cloud.alerts.kinds import Kind
from cloud.alerts.missed_cups import LEAST_DAYS, UsualWeek, is_silent
from cloud.alerts.models import IncidentRow, UsualHour
from cloud.fleet.closing import BREAKER
from cloud.fleet.machine_events import MachineEvent
from cloud.fleet.models import Device, Drink
from cloud.fleet.presence_history import Presence, PresenceSpell, current_spells, spells_of
from cloud.fleet.zones import zone
from cloud.orders.models import Order
from cloud.orders.states import DRINK_ENDED, Status, values_of
from protocol.reasons import AgentCode, EventKind

LATELY = timedelta(minutes=15)
"""A drink that was not made is a trouble for so long after the last one."""
A_DAY = timedelta(days=1)
LEAST_ORDERS, TOO_MANY_FAILED = 10, 0.2
"""Of so many paid drinks a day at least, this share was not made."""
LONG_AWAY = timedelta(hours=1)
"""After an absence of so long, silence is counted from its end."""
_ON_SALE = Device.status == "active"
_TOLD_SILENT = and_(IncidentRow.kind == Kind.NO_SALES.value, IncidentRow.state.in_([each.value for each in LIVE]))


def absent_or_faulted(session: Session, now: datetime) -> list[Condition]:
    """Machines that are away, cannot make anything, or whose agent cannot write down what it does."""
    asked = (
        select(Device, PresenceSpell.state, PresenceSpell.reason, PresenceSpell.since)
        .join(PresenceSpell, and_(PresenceSpell.device_uuid == Device.device_uuid, PresenceSpell.until.is_(None)))
        .where(_ON_SALE, PresenceSpell.state != Presence.ONLINE.value)
    )
    return [
        _of(device, _kind(state, reason), since, **({"reason": reason} if reason else {}))
        for device, state, reason, since in session.execute(asked)
    ]


def _kind(state: str, reason: str) -> Kind:
    if state == Presence.OFFLINE:
        return Kind.OFFLINE
    return Kind.AGENT_TROUBLE if reason == AgentCode.STORAGE else Kind.FAULT


def closed_by_the_breaker(session: Session, now: datetime) -> list[Condition]:
    """Machines, or drinks of them, that were taken out of sale because they failed twice running."""
    found: dict[str, tuple[Device, datetime, list[str], str]] = {}
    whole = select(Device).where(Device.closed_by == BREAKER)
    for device in session.scalars(whole):
        if device.closed_since is not None:
            found[device.device_uuid] = (device, device.closed_since, [], device.closed_why)
    drinks = select(Device, Drink).join(Drink, Drink.device_uuid == Device.device_uuid)
    for device, drink in session.execute(drinks.where(Drink.closed_by == BREAKER).order_by(Drink.closed_since)):
        if drink.closed_since is not None:
            _, since, names, why = found.get(device.device_uuid, (device, drink.closed_since, [], drink.closed_why))
            found[device.device_uuid] = (device, since, [*names, drink.name], why)
    return [
        _of(device, Kind.CLOSED_ITSELF, since, what=", ".join(names) or "*", reason=why)
        for device, since, names, why in found.values()
    ]


def wrong_clocks(session: Session, now: datetime) -> list[Condition]:
    """Machines whose agent last said that its clock is wrong."""
    later = aliased(MachineEvent)
    righted = (
        select(later.id)
        .where(later.device_uuid == MachineEvent.device_uuid, later.id > MachineEvent.id)
        .where(later.what.in_((EventKind.CLOCK_RIGHT.value, EventKind.CLOCK_WRONG.value)))
    )
    asked = (
        select(Device, MachineEvent.received_at)
        .join(MachineEvent, MachineEvent.device_uuid == Device.device_uuid)
        .where(_ON_SALE, MachineEvent.what == EventKind.CLOCK_WRONG.value, ~righted.exists())
    )
    return [_of(device, Kind.CLOCK_WRONG, since) for device, since in session.execute(asked)]


def drinks_not_made(session: Session, now: datetime) -> list[Condition]:
    """Machines that failed to make a paid drink lately."""
    asked = (
        select(Device, func.min(Order.finished_at), func.count(), func.max(Order.reason), func.max(Order.id))
        .join(Order, Order.device_uuid == Device.device_uuid)
        .where(
            _ON_SALE, Order.status == Status.MAKE_FAILED.value, Order.is_test.is_(False),
            Order.created_at > now - A_DAY, Order.finished_at > now - LATELY,
        )
        .group_by(*Device.__table__.c)
    )  # fmt: skip
    return [
        _of(device, Kind.MAKE_FAILED, since, drinks=number, reason=reason, order=order)
        for device, since, number, reason, order in session.execute(asked)
        if since is not None
    ]


def failure_rates(session: Session, now: datetime) -> list[Condition]:
    """Machines of whose paid drinks too many were not made, over a day."""
    asked = (
        select(Order.device_uuid, Order.status, Order.reason, func.count())
        .where(Order.created_at > now - A_DAY, Order.paid_at.is_not(None), Order.is_test.is_(False))
        .where(Order.status.in_(values_of(DRINK_ENDED)))
        .group_by(Order.device_uuid, Order.status, Order.reason)
    )
    made: dict[str, int] = {}
    failed: dict[str, dict[str, int]] = {}
    for device_uuid, status, reason, number in session.execute(asked):
        if status == Status.SUCCESSFUL:
            made[device_uuid] = made.get(device_uuid, 0) + number
        else:
            failed.setdefault(device_uuid, {})[reason] = number
    return _of_rates(session, made, failed, now)


def _of_rates(
    session: Session, made: dict[str, int], failed: dict[str, dict[str, int]], now: datetime
) -> list[Condition]:
    found = []
    for device in _devices(session, failed):
        reasons = failed[device.device_uuid]
        bad = sum(reasons.values())
        total = bad + made.get(device.device_uuid, 0)
        if total >= LEAST_ORDERS and bad >= TOO_MANY_FAILED * total:
            share, top = round(100 * bad / total), max(reasons, key=lambda reason: reasons[reason])
            found.append(_of(device, Kind.FAILURE_RATE, now - A_DAY, percent=share, drinks=total, reason=top))
    return found


def silent_machines(session: Session, now: datetime) -> list[Condition]:
    """Machines that could sell and sell nothing, though at these hours of their week they usually do.

    One that was told of stays so until it sells, however long ago its last sale and its usual week are.
    """
    usual: dict[str, dict[int, float]] = {}
    counted_in: dict[str, str] = {}
    hours = select(UsualHour.device_uuid, UsualHour.hour, UsualHour.cups, UsualHour.zone)
    for device_uuid, hour, cups, name in session.execute(hours):
        usual.setdefault(device_uuid, {})[hour] = cups
        counted_in[device_uuid] = name
    told = {row.subject: row for row in session.scalars(select(IncidentRow).where(_TOLD_SILENT))}
    sold = _last_sales(session, {*usual, *told}, now)
    found = []
    for device in _ready(_devices(session, {*told, *sold}), session):
        row, last = told.get(device.device_uuid), sold.get(device.device_uuid)
        its_zone = zone(counted_in.get(device.device_uuid) or device.zone)
        week = UsualWeek(usual.get(device.device_uuid, {}), its_zone)
        if row is not None and (last is None or last <= row.since):
            found.append(_of(device, Kind.NO_SALES, row.since, cups_a_day=row.facts["cups_a_day"]))
        elif (
            last is not None and is_silent(week, last, now) and is_silent(week, _able_since(session, device, last), now)
        ):
            found.append(_of(device, Kind.NO_SALES, last, cups_a_day=round(week.cups_a_day)))
    return found


def _ready(devices: Iterable[Device], session: Session) -> list[Device]:
    """Those that are not closed, away or faulted: of these another alert tells, or somebody closed them."""
    may_sell = [device for device in devices if device.closed_since is None]
    spells = current_spells(session, [device.device_uuid for device in may_sell])
    away = {name for name, spell in spells.items() if spell.state is not Presence.ONLINE}
    return [device for device in may_sell if device.device_uuid not in away]


def _able_since(session: Session, device: Device, last_sale: datetime) -> datetime:
    """Since when it could sell again after its last sale: not while it was closed, or away for long."""
    spells = spells_of(session, device.device_uuid, last_sale)
    back = [
        spell.until for spell in spells
        if spell.state is not Presence.ONLINE and spell.until and spell.until - spell.since >= LONG_AWAY
    ]  # fmt: skip
    return max([last_sale, *back, *([device.opened_at] if device.opened_at else [])])


def _last_sales(session: Session, devices: Collection[str], now: datetime) -> dict[str, datetime]:
    if not devices:
        return {}
    since = now - timedelta(days=LEAST_DAYS)
    asked = (
        select(Order.device_uuid, func.max(Order.created_at))
        .where(Order.device_uuid.in_(devices), Order.created_at > since, Order.paid_at.is_not(None))
        .where(Order.is_test.is_(False))
        .group_by(Order.device_uuid)
    )
    return {row[0]: row[1] for row in session.execute(asked)}


def _devices(session: Session, known: Collection[str]) -> list[Device]:
    return list(session.scalars(select(Device).where(Device.device_uuid.in_(list(known)), _ON_SALE))) if known else []


def _of(device: Device, kind: Kind, since: datetime, **facts: object) -> Condition:
    place = {"place": device.location} if device.location else {}
    return Condition(kind, device.merchant_id, device.device_uuid, since, {**place, **facts})
