"""After a paid drink has failed: closes its machine, or the drink, when `breaker` says so; as that transaction ends."""

from contextlib import suppress
from datetime import datetime, timedelta
from functools import partial

from sqlalchemy import and_, bindparam, or_, select

from cloud.database.plain_rows import table_of
from cloud.fleet import closing
from cloud.fleet.availability import standing_faults
from cloud.fleet.models import Control, Device, DeviceLive, Drink
from cloud.orders.breaker import LOOK_BACK, Ended, what_closes
from cloud.orders.locked_order import LockedOrder
from cloud.orders.models import Order
from cloud.orders.states import DRINK_ENDED, Status, values_of

LOOK_BACK_FOR = timedelta(days=7)
_device, _live, _drink, _order = (table_of(kind) for kind in (Device, DeviceLive, Drink, Order))

_MACHINE = (
    select(_device.c.closed_since, _live.c.state)
    .outerjoin_from(_device, _live, _live.c.device_uuid == _device.c.device_uuid)
    .where(_device.c.device_uuid == bindparam("device"))
    .with_for_update(of=_device, key_share=True)
)
"""Held, as `closing.lock` holds it: of two failures at once the second sees the first."""

_of_device = and_(_order.c.device_uuid == bindparam("device"), _order.c.created_at > bindparam("since"))
_is_over = _order.c.status.in_(values_of(DRINK_ENDED))
_is_sale = and_(_order.c.finished_at.is_not(None), _order.c.is_test.is_(False))
_since_opened = [
    or_(thing.c.opened_at.is_(None), _order.c.finished_at > thing.c.opened_at) for thing in (_device, _drink)
]
_its_drink = and_(_drink.c.device_uuid == _order.c.device_uuid, _drink.c.drink_no == _order.c.drink_no)
_ENDED = (
    select(_order.c.drink_no, _order.c.reason)
    .join_from(_order, _device, _device.c.device_uuid == _order.c.device_uuid)
    .outerjoin(_drink, _its_drink)
    .where(_of_device, _is_over, _is_sale, *_since_opened)
    # The order itself comes first: several may end within one moment.
    .order_by((_order.c.id == bindparam("order")).desc(), _order.c.finished_at.desc(), _order.c.id)
    .limit(LOOK_BACK)
)
"""What a machine's orders came to since it, and each drink, was opened last; newest first."""


def close_what_fails(locked: LockedOrder, now: datetime) -> None:
    """The order has just become `make_failed`. A test device, and one whose outcomes nobody observes, never close."""
    if not locked.order.is_test and locked.control == Control.AGENT:
        locked.tx.at_the_end(closing.place_of(locked.order.device_uuid), partial(_judge, locked, now))


def _judge(locked: LockedOrder, now: datetime) -> None:
    tx, order = locked.tx, locked.order
    if order.status != Status.MAKE_FAILED:
        return
    tx.write()  # what ends with it is looked at as well
    machine = tx.connection.execute(_MACHINE, {"device": order.device_uuid}).first()
    if machine is None or machine.closed_since is not None:
        return
    wanted = {"device": order.device_uuid, "order": order.id, "since": now - LOOK_BACK_FOR}
    ended = [Ended(*row) for row in tx.connection.execute(_ENDED, wanted)]
    found = what_closes(ended, standing_faults(machine.state))
    if found is None:
        return
    with suppress(closing.NoSuchThing):  # a drink that is off the menu is not sold anyway
        closing.close(tx, order.device_uuid, found.drink_no, closing.BREAKER, found.why, now)
