"""After a paid drink has failed: closes its machine, or the drink, when `breaker` says so; in that very transaction."""

from contextlib import suppress
from datetime import datetime, timedelta

from sqlalchemy import and_, or_, select

from cloud.database.transaction import Transaction
from cloud.fleet import closing
from cloud.fleet.availability import standing_faults
from cloud.fleet.models import Closable, DeviceLive, Drink
from cloud.orders.breaker import LOOK_BACK, Ended, what_closes
from cloud.orders.locked_order import LockedOrder
from cloud.orders.models import Order
from cloud.orders.states import Status

LOOK_BACK_FOR = timedelta(days=7)
_ENDED = (Status.SUCCESSFUL.value, Status.MAKE_FAILED.value)


def close_what_fails(locked: LockedOrder, now: datetime) -> None:
    """The order has just become `make_failed`. A test device, and one whose outcomes nobody observes, never close."""
    tx, order = locked.tx, locked.order
    if order.is_test or order.status != Status.MAKE_FAILED or locked.control != "agent":
        return
    try:
        device = closing.lock(tx, order.device_uuid)
    except closing.NoSuchThing:
        return
    if device.closed_since is not None:
        return
    standing = standing_faults(tx.session.get(DeviceLive, order.device_uuid))
    found = what_closes(_ended(tx, order, device, now), standing)
    if found is None:
        return
    with suppress(closing.NoSuchThing):  # a drink that is off the menu is not sold anyway
        closing.close(tx, order.device_uuid, found.drink_no, closing.BREAKER, found.why, now)


def _ended(tx: Transaction, order: Order, device: Closable, now: datetime) -> list[Ended]:
    """What this machine's orders came to since it, and each drink, was opened last; newest first."""
    of_device = and_(Order.device_uuid == order.device_uuid, Order.created_at > now - LOOK_BACK_FOR)
    ended = and_(Order.status.in_(_ENDED), Order.finished_at.is_not(None), Order.is_test.is_(False))
    asked = (
        select(Order.drink_no, Order.reason)
        .outerjoin(Drink, and_(Drink.device_uuid == Order.device_uuid, Drink.drink_no == Order.drink_no))
        .where(of_device, ended, or_(Drink.opened_at.is_(None), Order.finished_at > Drink.opened_at))
    )
    if device.opened_at is not None:
        asked = asked.where(Order.finished_at > device.opened_at)
    # The order itself comes first: several may end within one moment.
    newest_first = asked.order_by((Order.id == order.id).desc(), Order.finished_at.desc(), Order.id).limit(LOOK_BACK)
    return [Ended(drink_no, reason) for drink_no, reason in tx.session.execute(newest_first)]
