"""What the first page shows, read for one person's scope."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import and_, case, func, or_, select, text
from sqlalchemy.orm import Session

from cloud.access.person import Scope
from cloud.alerts.incident import LIVE, Incident
from cloud.alerts.kinds import Severity
from cloud.alerts.models import IncidentRow
from cloud.alerts.store import IS_KNOWN, incident_of
from cloud.console.machines.condition import Standing, standing
from cloud.console.shell.machines import zones_in
from cloud.fleet import zones
from cloud.fleet.accounts import Account
from cloud.fleet.closing import BREAKER
from cloud.fleet.models import Device, DeviceLive
from cloud.fleet.presence_history import Presence, PresenceSpell, current_spells
from cloud.orders.at_risk import WAITS_FOR_PERSON, Risk, each_at_risk
from cloud.orders.models import TAKEN_IN_PART, Order, Payment
from cloud.orders.return_requests import ReturnRequest, waits_for_approval
from cloud.orders.sales_tables import MerchantDay, SalesDay
from cloud.orders.states import Status
from cloud.payments.reconcile.differences import open_differences

WEEKS = 4
"""Today is compared with the same weekday of so many weeks."""
POURED_WITHIN = timedelta(days=1)
"""Of its scan a cup of today's figures; later ones are in the books alone, and nobody reads two weeks for them."""
MOST_LISTED = 12
_LEFT = Order.price - Order.given_back
_BALANCE = (
    select(func.coalesce(func.sum(Payment.captured - Payment.refunded), 0))
    .where(Payment.order_id == Order.id)
    .correlate(Order)
    .scalar_subquery()
)
_IS_LESS = or_(Order.goodwill, Order.id.in_(select(Payment.order_id).where(text(TAKEN_IN_PART))))
"""Of few: no other order's payments are looked at, as often as the page renews itself."""
_KEPT = case((~_IS_LESS, _LEFT), (_BALANCE < _LEFT, _BALANCE), else_=_LEFT)
"""Kopecks of a poured order: its price without what a person gave back; never more than is left of money that came."""
_SEVERITIES = tuple(Severity)[::-1]


@dataclass(frozen=True)
class Waiting:
    """Money that only a person can move."""

    payments: int
    """Differences among them: each is about one."""
    kopecks: int
    since: datetime | None
    requests: int
    """Returns asked for above a limit that nobody has decided yet."""


@dataclass(frozen=True)
class Silent:
    """A machine that does not sell, though it should."""

    device_uuid: str
    place: str
    standing: Standing


@dataclass(frozen=True)
class NotSelling:
    """How many of a fleet's machines do not sell, and the first of them."""

    machines: int
    closed: int
    """In their settings, and not among the others: nobody is surprised."""
    silent: int
    by_hand: int
    """Of the silent: a person has closed them, and may open them."""
    listed: tuple[Silent, ...]


@dataclass(frozen=True)
class Today:
    """Cups and kopecks of this day until now, each machine's in its own zone.

    `usual_cups` of the same weekday, None while there is no such day.
    """

    cups: int
    kopecks: int
    usual_cups: float | None


def waiting(session: Session, scope: Scope, now: datetime, unreadable: Collection[Account]) -> Waiting:
    """Money of this scope that waits for a person, what only reconciliation sees included."""
    every = each_at_risk(session, now, unreadable=unreadable)
    mine: list[Risk] = [one for one in every if scope.covers(one.merchant_id, one.device_uuid)]
    mine += [one for one in open_differences(session, every) if scope.covers(one.merchant_id)]
    risks = [one for one in mine if one.action in WAITS_FOR_PERSON]
    asked = (
        select(func.count())
        .join(Order, Order.id == ReturnRequest.order_id)
        .where(waits_for_approval(now), scope.where(Order.merchant_id, Order.device_uuid))
    )
    requests = session.scalar(asked.select_from(ReturnRequest)) or 0
    since = min((one.since for one in risks), default=None)
    return Waiting(len(risks), sum(one.kopecks for one in risks), since, requests)


def not_selling(session: Session, scope: Scope) -> NotSelling:
    """Machines of this scope by whether they sell; those that do not, the longest first."""
    mine = scope.where(Device.merchant_id, Device.device_uuid)
    counted = session.execute(select(Device.status, func.count()).where(mine).group_by(Device.status))
    by_status = {row[0]: row[1] for row in counted}
    is_gone = and_(
        func.coalesce(PresenceSpell.state, "") != Presence.ONLINE.value,
        PresenceSpell.id.is_not(None) | DeviceLive.online.is_not(True),
    )
    silent = (
        select(Device, DeviceLive)
        .outerjoin(DeviceLive, DeviceLive.device_uuid == Device.device_uuid)
        .outerjoin(PresenceSpell, and_(PresenceSpell.device_uuid == Device.device_uuid, PresenceSpell.until.is_(None)))
        .where(mine, Device.status == "active", or_(Device.closed_since.is_not(None), is_gone))
    )
    is_by_hand = and_(Device.closed_since.is_not(None), Device.closed_by != BREAKER)
    count, by_hand = session.execute(
        silent.with_only_columns(func.count(), func.coalesce(func.sum(case((is_by_hand, 1), else_=0)), 0))
    ).one()
    longest_first = silent.order_by(func.coalesce(Device.closed_since, PresenceSpell.since), Device.device_uuid)
    rows = session.execute(longest_first.limit(MOST_LISTED)).all()
    spells = current_spells(session, [device.device_uuid for device, _ in rows])
    listed = tuple(
        Silent(device.device_uuid, device.location, standing(device, live, spells.get(device.device_uuid)))
        for device, live in rows
    )
    return NotSelling(by_status.get("active", 0), by_status.get("closed", 0), count, int(by_hand), listed)


def today(session: Session, scope: Scope, now: datetime) -> Today:
    """This day until now where each machine stands, beside what such a weekday brings there until this time."""
    there = {name: now.astimezone(zones.zone(name)) for name in zones_in(session, scope, now)}
    return Today(*_sold(session, scope, there), _usual(session, scope, there)) if there else Today(0, 0, None)


def troubles(session: Session, scope: Scope, now: datetime) -> list[Incident]:
    """Open incidents of this scope, worst first; those that are part of a bigger one are told by it."""
    rows = session.scalars(
        select(IncidentRow).where(
            IncidentRow.state.in_([state.value for state in LIVE]), IncidentRow.group_id == "", IS_KNOWN,
            scope.where(IncidentRow.merchant_id, IncidentRow.subject),
        )
    )  # fmt: skip
    found = [incident_of(row) for row in rows if row.snoozed_until is None or row.snoozed_until <= now]
    return sorted(found, key=lambda one: (_SEVERITIES.index(one.terms.severity), one.since))[:MOST_LISTED]


def places(session: Session, device_uuids: Collection[str]) -> dict[str, str]:
    """Where machines stand: people know them by it."""
    found = select(Device.device_uuid, Device.location).where(Device.device_uuid.in_(device_uuids))
    return {name: location for name, location in session.execute(found) if location}


def _sold(session: Session, scope: Scope, there: Mapping[str, datetime]) -> tuple[int, int]:
    mine = scope.where(Order.merchant_id, Order.device_uuid)
    kopecks = func.coalesce(func.sum(_KEPT), 0)
    poured = (Order.status == Status.SUCCESSFUL.value, Order.is_test.is_(False))
    begins = {name: zones.span(until.date(), name)[0] for name, until in there.items()}
    of_day = [
        and_(Device.zone == name, Order.finished_at >= begins[name], Order.finished_at < until)
        for name, until in there.items()
    ]
    lately = Order.created_at >= min(begins.values()) - POURED_WITHIN
    asked = select(func.count(), kopecks).join(Device, Device.device_uuid == Order.device_uuid)
    row = session.execute(asked.where(mine, *poured, lately, or_(*of_day))).one()
    return int(row[0]), int(row[1])


def _usual(session: Session, scope: Scope, there: Mapping[str, datetime]) -> float | None:
    """Of the kept figures, until the same time of day: every order of four days would be read for it otherwise."""
    is_summed = len(there) == 1 and not scope.machines  # a merchant's sum does not say where its hours were
    days: type[MerchantDay] | type[SalesDay] = MerchantDay if is_summed else SalesDay
    mine = scope.where(days.merchant_id) if is_summed else scope.where(SalesDay.merchant_id, SalesDay.device_uuid)
    first = session.scalar(select(func.min(days.day)).where(mine))
    past = [timedelta(weeks=week) for week in range(1, WEEKS + 1)]
    whole = [ago for ago in past if first is not None and all(first < at.date() - ago for at in there.values())]
    cups = 0.0
    for name, at in there.items():
        asked = select(days.parts["hours"]).where(mine, days.day.in_([at.date() - ago for ago in whole]))
        if not is_summed:
            asked = asked.join(Device, Device.device_uuid == SalesDay.device_uuid).where(Device.zone == name)
        for hours in session.scalars(asked):
            cups += sum(hours[: at.hour]) + hours[at.hour] * at.minute / 60
    return cups / len(whole) if whole else None
