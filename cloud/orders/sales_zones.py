"""In which zone each machine's days are counted. Where a machine's zone was changed, all its days are counted anew.

Code that changes a zone need not know of this: how days were counted is compared with the machine's row. One day at a
time, so that nobody waits for it. A change on the way waits until all days are done: until then sales may be in none.

A zone's rules change without its name, with another release of the time zone database. Each program counts by those it
has, and writes down when it meets others. Where all programs have had the same for an hour, all days are counted anew;
while they differ none are, for none would stay: each day then is by the rules of the program that counted it last.
"""

import logging
from datetime import date, datetime, timedelta

from sqlalchemy import ColumnElement, and_, func, insert, or_, select, update
from sqlalchemy.orm import Session

from cloud.database.due import is_due
from cloud.database.transaction import Transaction
from cloud.fleet.models import Device
from cloud.fleet.zones import rules_of
from cloud.orders.sales_tables import SalesDay, SalesZone

log = logging.getLogger("cloud.orders")

AT_ONCE = 200
"""Machines whose day is counted anew in one transaction."""
APART = timedelta(days=2)
"""More than any two zones' days are."""
AGREED = timedelta(hours=1)
"""Nobody who counts by other rules has been silent for so long: he writes that down twice in this time."""
_DAY = timedelta(days=1)


def follow(tx: Transaction, now: datetime) -> None:
    """Take in new machines, zones that were changed, and rules that were."""
    known = select(SalesZone.device_uuid)
    fresh = select(Device.device_uuid, Device.zone).where(Device.device_uuid.not_in(known))
    tx.session.execute(insert(SalesZone).from_select(["device_uuid", "zone"], fresh))
    _follow_rules(tx, now)
    differ = and_(Device.device_uuid == SalesZone.device_uuid, Device.zone != SalesZone.zone)
    changed = select(Device.device_uuid, Device.zone).join(SalesZone, differ).where(SalesZone.next_day.is_(None))
    zones = dict(tx.session.execute(changed.order_by(Device.device_uuid).limit(AT_ONCE)).all())
    spans = _spans(tx.session, SalesZone.device_uuid.in_(zones))
    for device, name in zones.items():
        its = update(SalesZone).where(SalesZone.device_uuid == device)
        by = {"zone": name, "rules": rules_of(name), "rules_since": None}
        tx.session.execute(its.values(**by, **spans.get(device, {})))


def _follow_rules(tx: Transaction, now: datetime) -> None:
    """Write down that ours are others than those before; once all agree, have all days counted anew."""
    column, met = SalesZone.rules_since, set[str]()
    for name, rules, since in tx.session.execute(select(SalesZone.zone, SalesZone.rules, column).distinct()).all():
        ours = rules_of(name)
        theirs = and_(SalesZone.zone == name, SalesZone.rules == rules, column.is_not_distinct_from(since))
        if not rules:
            tx.session.execute(update(SalesZone).where(theirs).values(rules=ours))
        elif rules == ours and since is not None and is_due(since + AGREED, now, AGREED):
            spans = [{"device_uuid": device, **span} for device, span in _spans(tx.session, theirs).items()]
            tx.session.execute(update(SalesZone).where(theirs).values(rules_since=None))
            if spans:
                tx.session.execute(update(SalesZone), spans)
                tx.log_after_commit(log.info, "days are counted anew by a zone's other rules", extra={"zone": name})
        elif rules != ours and name not in met and (since is None or is_due(since + AGREED / 2, now, AGREED / 2)):
            met.add(name)
            others = and_(SalesZone.zone == name, SalesZone.rules.not_in(("", ours)))
            tx.session.execute(update(SalesZone).where(others).values(rules=ours, rules_since=now))
            _tell_of_others(tx, name, is_again=since is not None)


def _tell_of_others(tx: Transaction, zone: str, *, is_again: bool) -> None:
    """Once, another release has come; again, programs that have different ones work side by side."""
    if is_again:
        tx.log_after_commit(log.warning, "programs know different rules of a zone", extra={"zone": zone})
    else:
        tx.log_after_commit(log.info, "a zone's rules are others than before", extra={"zone": zone})


def _spans(session: Session, whose: ColumnElement[bool]) -> dict[str, dict[str, date]]:
    """From which day on to which these machines' are counted anew, by machine; none where there never was one.

    While programs of different rules counted anew, a sale may have been left in no day between where they began and
    ended. Of an older program it is known only how far it came: what it has left belongs to the day before at the
    earliest.
    """
    sold = (
        select(SalesDay.device_uuid, func.min(SalesDay.day).label("first"), func.max(SalesDay.day).label("last"))
        .where(SalesDay.device_uuid.in_(select(SalesZone.device_uuid).where(whose)))
        .group_by(SalesDay.device_uuid)
        .subquery()
    )
    ways = (SalesZone.first_day, SalesZone.next_day, SalesZone.last_day)
    joined = select(SalesZone.device_uuid, *ways, sold.c.first, sold.c.last).where(whose)
    spans = {}
    for device, begun, next_day, last_day, first, last in session.execute(
        joined.outerjoin(sold, sold.c.device_uuid == SalesZone.device_uuid)
    ):
        begun = begun or (next_day and next_day - _DAY)
        begins = [day for day in (begun, first and first - APART) if day]
        ends = [day for day in (last_day, last and last + APART) if day]
        if begins and ends:
            spans[device] = {"first_day": min(begins), "next_day": min(begins), "last_day": max(ends)}
    return spans


def take_day(tx: Transaction) -> tuple[date, set[str]] | None:
    """The earliest day that is to be counted anew, with its machines: this transaction has to count it."""
    day = tx.session.scalar(select(func.min(SalesZone.next_day)))
    if day is None:
        return None
    found = select(SalesZone.device_uuid).where(SalesZone.next_day == day).order_by(SalesZone.device_uuid)
    devices = set(tx.session.scalars(found.limit(AT_ONCE)))
    theirs = update(SalesZone).where(SalesZone.device_uuid.in_(devices))
    tx.session.execute(theirs.where(SalesZone.last_day > day).values(next_day=day + _DAY))
    tx.session.execute(theirs.where(SalesZone.last_day <= day).values(next_day=None))
    return day, devices


def is_behind(session: Session) -> bool:
    """Whether there are days to be counted anew."""
    is_waiting = or_(SalesZone.next_day.is_not(None), Device.zone != SalesZone.zone)
    asked = select(SalesZone.zone).join(Device, Device.device_uuid == SalesZone.device_uuid).where(is_waiting).limit(1)
    return session.scalar(asked) is not None
