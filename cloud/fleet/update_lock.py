"""The lock an update of a machine's agent holds: nothing new is sold of it meanwhile. A lease, so that none lasts.

Orders respect it through `availability`; whoever takes it has looked that none is live.
"""

from datetime import datetime, timedelta

from sqlalchemy import select, update

from cloud.database.due import due, latest
from cloud.database.transaction import Transaction
from cloud.fleet.models import Device

LEASE = timedelta(minutes=15)
"""Fetching, a moment without an order, two starts on trial. Past it the machine's own word says whether it sells."""


def take(tx: Transaction, device: Device, now: datetime) -> None:
    """The caller holds the machine's row."""
    device.updating_until = now + LEASE
    tx.session.flush()


def release(tx: Transaction, device_uuid: str) -> None:
    """Sell again, as far as the machine itself does."""
    tx.session.execute(update(Device).where(Device.device_uuid == device_uuid).values(updating_until=None))


def expire(tx: Transaction, now: datetime) -> list[str]:
    """Release what was held too long, or by a clock that was set back since; which machines that were."""
    over = select(Device).where(due(Device.updating_until, now, latest(now, LEASE)))
    found = tx.session.scalars(over.with_for_update(skip_locked=True)).all()
    for device in found:
        device.updating_until = None
    return [device.device_uuid for device in found]
