"""In which zone each machine's days are counted. Where a machine's zone was changed, all its days are counted anew.

Code that changes a zone need not know of this: how days were counted is compared with the machine's row. One day at a
time, so that nobody waits for it. A change on the way waits until all days are done: until then sales may be in none.
"""

from datetime import date, timedelta

from sqlalchemy import and_, func, insert, or_, select, update
from sqlalchemy.orm import Session

from cloud.database.transaction import Transaction
from cloud.fleet.models import Device
from cloud.orders.sales_tables import SalesDay, SalesZone

AT_ONCE = 200
"""Machines whose day is counted anew in one transaction."""
APART = timedelta(days=2)
"""More than any two zones' days are."""
_DAY = timedelta(days=1)


def follow(tx: Transaction) -> None:
    """Take in new machines, and zones that were changed."""
    known = select(SalesZone.device_uuid)
    fresh = select(Device.device_uuid, Device.zone).where(Device.device_uuid.not_in(known))
    tx.session.execute(insert(SalesZone).from_select(["device_uuid", "zone"], fresh))
    differ = and_(Device.device_uuid == SalesZone.device_uuid, Device.zone != SalesZone.zone)
    changed = select(Device.device_uuid, Device.zone).join(SalesZone, differ).where(SalesZone.next_day.is_(None))
    zones = dict(tx.session.execute(changed.order_by(Device.device_uuid).limit(AT_ONCE)).all())
    sold = select(SalesDay.device_uuid, func.min(SalesDay.day), func.max(SalesDay.day)).group_by(SalesDay.device_uuid)
    days = {
        device: {"next_day": first - APART, "last_day": last + APART}
        for device, first, last in tx.session.execute(sold.where(SalesDay.device_uuid.in_(zones)))
    }
    for device, name in zones.items():
        its = update(SalesZone).where(SalesZone.device_uuid == device)
        tx.session.execute(its.values(zone=name, **days.get(device, {})))


def take_day(tx: Transaction) -> tuple[date, set[str]] | None:
    """The earliest day that is to be counted anew, with its machines: this transaction has to count it."""
    day = tx.session.scalar(select(func.min(SalesZone.next_day)))
    if day is None:
        return None
    found = select(SalesZone.device_uuid).where(SalesZone.next_day == day).order_by(SalesZone.device_uuid)
    devices = set(tx.session.scalars(found.limit(AT_ONCE)))
    theirs = update(SalesZone).where(SalesZone.device_uuid.in_(devices))
    tx.session.execute(theirs.where(SalesZone.last_day > day).values(next_day=day + _DAY))
    tx.session.execute(theirs.where(SalesZone.last_day <= day).values(next_day=None, last_day=None))
    return day, devices


def is_behind(session: Session) -> bool:
    """Whether there are days to be counted anew."""
    is_waiting = or_(SalesZone.next_day.is_not(None), Device.zone != SalesZone.zone)
    asked = select(SalesZone.zone).join(Device, Device.device_uuid == SalesZone.device_uuid).where(is_waiting).limit(1)
    return session.scalar(asked) is not None
