"""Machines' counters against our orders: counts are kept once a day in a quiet moment, and compared between two such.

Free and test drinks and rinsing are never sales (promise 10); a test device is not compared.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, and_, exists, func, or_, select
from sqlalchemy.orm import Session

from cloud.database.plain_rows import insert_if_new
from cloud.database.transaction import Transaction
from cloud.fleet.models import Device, DeviceLive
from cloud.orders import archived_books
from cloud.orders.archive import ArchivedOrder
from cloud.orders.models import MakeCommand, Order
from cloud.payments.reconcile.days import Day
from cloud.payments.reconcile.kinds import Finding, Kind
from cloud.payments.reconcile.models import DeviceCount
from protocol.reasons import MachineState, Result, Spout

QUIET_S = 180.0
"""After a drink, until its machine has surely told its counters anew."""
COUNTERS = ("total", "paid", "free", "test")
TEST = "test"
_MOVING = frozenset({MachineState.BREWING, MachineState.RINSING, MachineState.CLEANING, MachineState.BOOT})


@dataclass(frozen=True)
class Comparison:
    """A merchant's machines, and how many of them told what could be compared."""

    machines: int = 0
    compared: int = 0


def keep_counts(tx: Transaction, now: datetime) -> None:
    """Write down the counters of every machine that is quiet and has none of today yet."""
    today = Day.of(now).date
    lacking = ~exists().where(DeviceCount.device_uuid == DeviceLive.device_uuid, DeviceCount.day == today)
    asked = select(DeviceLive.device_uuid, DeviceLive.state).where(DeviceLive.online.is_(True), lacking)
    told = {device_uuid: counts for device_uuid, state in tx.session.execute(asked) if (counts := _counts(state))}
    if not told:
        return
    lately = or_(MakeCommand.live.is_(True), MakeCommand.finished_at > now - timedelta(seconds=QUIET_S))
    of_a_day = and_(MakeCommand.device_uuid.in_(told), MakeCommand.issued_at > now - timedelta(days=1))
    busy = set(tx.session.scalars(select(MakeCommand.device_uuid).where(of_a_day, lately)))
    for device_uuid in sorted(told.keys() - busy):
        values = {"device_uuid": device_uuid, "day": today, "at": now, **told[device_uuid]}
        insert_if_new(tx.connection, DeviceCount, values)


def compare_cups(tx: Transaction, merchant_id: str, day: Day) -> tuple[list[Finding], Comparison]:
    """What a merchant's machines counted up to the day's end against what their orders say was poured."""
    found: list[Finding] = []
    compared: set[str] = set()
    for before, after in _intervals(tx.session, merchant_id, day):
        after.judged_for = day.date
        if before is None:
            continue
        compared.add(after.device_uuid)
        if finding := _judge(tx, before, after):
            found.append(finding)
    machines = select(func.count()).select_from(Device).where(*_to_compare(merchant_id))
    return found, Comparison(tx.session.scalar(machines) or 0, len(compared))


def _counts(state: dict[str, Any] | None) -> dict[str, int] | None:
    """The counters of a machine at rest; None when it has none, or is at work."""
    told = (state or {}).get("counters")
    if not isinstance(told, dict) or not all(isinstance(told.get(name), int) for name in COUNTERS):
        return None
    at_work = (state or {}).get("busy_order") or (state or {}).get("machine") in _MOVING
    return None if at_work else {name: told[name] for name in COUNTERS}


def _to_compare(merchant_id: str) -> tuple[ColumnElement[bool], ...]:
    return Device.merchant_id == merchant_id, Device.status != TEST


def _intervals(session: Session, merchant_id: str, day: Day) -> Iterator[tuple[DeviceCount | None, DeviceCount]]:
    """Each count up to the day's end that no other day's reconciliation has compared, with the one before it."""
    wanted = (
        select(DeviceCount)
        .join(Device, Device.device_uuid == DeviceCount.device_uuid)
        .where(*_to_compare(merchant_id), DeviceCount.day <= day.next.date)
        .where(or_(DeviceCount.judged_for.is_(None), DeviceCount.judged_for == day.date))
        .order_by(DeviceCount.device_uuid, DeviceCount.day)
    )
    for after in session.scalars(wanted).all():
        earlier = select(DeviceCount).where(
            DeviceCount.device_uuid == after.device_uuid, DeviceCount.day < after.day
        )  # fmt: skip
        yield session.scalars(earlier.order_by(DeviceCount.day.desc()).limit(1)).first(), after


def _judge(tx: Transaction, before: DeviceCount, after: DeviceCount) -> Finding | None:
    subject, device = f"{after.device_uuid}:{after.day}", after.device_uuid
    if any(getattr(after, name) < getattr(before, name) for name in COUNTERS):
        return Finding(Kind.COUNTERS_UNUSABLE, subject, device_uuid=device)
    counted = (after.total - after.free - after.test) - (before.total - before.free - before.test)
    poured, perhaps = _cups(tx.session, before, after)
    if poured <= counted <= poured + perhaps:
        return None
    span = f"{before.at:%Y-%m-%d %H:%M} to {after.at:%Y-%m-%d %H:%M} UTC"
    words = f"{span}: poured {poured}, perhaps {perhaps} more; counted {counted}"
    kind = Kind.CUPS_MORE if counted > poured else Kind.CUPS_FEWER
    return Finding(kind, subject, device_uuid=device, here=poured, there=counted, detail=words)


def _cups(session: Session, before: DeviceCount, after: DeviceCount) -> tuple[int, int]:
    """Cups certainly poured for sale, and those nobody is sure of, of the commands between two counts.

    Counted by when a command was issued: it is poured within minutes, however late that is told. Some of the orders
    may rest in the archive, for a count may be taken long after its day.
    """
    poured = perhaps = 0
    for result, out, is_test, number in _said(session, after.device_uuid, before.at, after.at):
        if result == Result.DONE and not is_test:
            poured += number
        elif result != Result.REJECTED and not (result == Result.FAILED and out == Spout.NONE):
            perhaps += number
    return poured, perhaps


def _said(session: Session, device_uuid: str, begin: datetime, end: datetime) -> Iterator[tuple[str, str, bool, int]]:
    """What a machine said of its commands of a time, where, whether of an order that is no sale, and how often."""
    said = (func.coalesce(MakeCommand.result, ""), MakeCommand.out, Order.is_test)
    living = select(*said, func.count()).join(Order, Order.id == MakeCommand.order_id).group_by(*said)
    between = (MakeCommand.issued_at >= begin, MakeCommand.issued_at < end)
    for row in session.execute(living.where(MakeCommand.device_uuid == device_uuid, *between)):
        yield row[0], row[1], row[2], row[3]
    its = ArchivedOrder.device_uuid == device_uuid
    for command, order in archived_books.commands(session, its, begin, end):
        yield command.result or "", command.out, order.is_test, 1
