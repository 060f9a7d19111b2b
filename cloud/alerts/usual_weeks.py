"""Keeps each machine's usual week, once a day: what it sold in each hour of its last eight weeks."""

from collections import Counter
from collections.abc import Iterable
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from sqlalchemy import delete, insert, select

from cloud.alerts import turns
from cloud.alerts.missed_cups import LEAST_DAYS, WEEKS, hour_of_week
from cloud.alerts.models import UsualHour
from cloud.database.database import Database
from cloud.database.transaction import Transaction
from cloud.fleet.models import Device
from cloud.fleet.zones import zone
from cloud.orders.models import Order
from cloud.orders.states import Status

A_DAY, SOON = timedelta(days=1), timedelta(minutes=10)


class UsualWeeks:
    """The loop that keeps them."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def step(self, now: datetime) -> datetime:
        """All machines, when a day has passed. Raises what the database raises."""
        if self._database.transact(turns.take, "usual_weeks", A_DAY, now):
            with self._database.read() as session:
                devices = session.scalars(select(Device)).all()
            for device in devices:
                self._database.transact(refresh, device, now)
        return now + SOON


def refresh(tx: Transaction, device: Device, now: datetime) -> None:
    """This machine's week anew. One with a history too short has none."""
    since = now - timedelta(weeks=WEEKS)
    asked = select(Order.created_at).where(
        Order.device_uuid == device.device_uuid, Order.created_at > since, Order.is_test.is_(False),
        Order.status == Status.SUCCESSFUL.value,
    )  # fmt: skip
    sold = list(tx.session.scalars(asked))
    tx.session.execute(delete(UsualHour).where(UsualHour.device_uuid == device.device_uuid))
    week = usual_week(sold, zone(device.zone), now)
    if week:
        of = {"device_uuid": device.device_uuid, "zone": device.zone}
        rows = [{**of, "hour": hour, "cups": cups} for hour, cups in week.items()]
        tx.session.execute(insert(UsualHour), rows)


def usual_week(sold: Iterable[datetime], local: ZoneInfo, now: datetime) -> dict[int, float]:
    """Cups in each hour of the week that had any, on average; empty when the history is too short."""
    sold = list(sold)
    if not sold or now - min(sold) < timedelta(days=LEAST_DAYS):
        return {}
    weeks = min(float(WEEKS), (now - min(sold)) / timedelta(weeks=1))
    counted = Counter(hour_of_week(at.astimezone(local)) for at in sold)
    return {hour: number / weeks for hour, number in sorted(counted.items())}
