"""A scan, or a choice in a menu, becomes an order: the refusals in words and statuses, and the limit per address."""

import logging

from sqlalchemy.exc import IntegrityError

from cloud.buyer.errors import Trouble, asked_language
from cloud.buyer.presenting import DeviceView, view_device
from cloud.buyer.qr import can_be_id
from cloud.buyer.room import Room
from cloud.fleet.models import Device
from cloud.orders.scanning import NotForSale, Scan, Why, open_order

log = logging.getLogger("cloud.buyer")

STATUS_OF = {
    Why.UNKNOWN_DEVICE: 404,
    Why.UNKNOWN_DRINK: 404,
    Why.NOT_SOLD: 404,
    Why.CLOSED: 503,
    Why.NO_PAYMENT: 503,
    Why.CONTRACT_OVER: 403,
    Why.OTHER_ORDER: 409,
}


def open_or_find(room: Room, scan: Scan) -> str:
    """The id of this scan's order, new or known. Raises `Trouble`."""
    known = room.find(scan.order_id)
    if known is None and not room.new_orders.allows(room.visitor(), room.clock()):
        log.warning("too many new orders from one address", extra={"device": scan.device_uuid})
        raise Trouble(429, "too_many", find_device(room, scan.device_uuid))
    try:
        return _open(room, scan)
    except NotForSale as refused:
        log.info("not for sale: %s", refused.why.value, extra={"order_id": scan.order_id, "device": scan.device_uuid})
        device = find_device(room, scan.device_uuid)
        raise Trouble(STATUS_OF[refused.why], refused.why.value, device, scan.order_id if known else "") from None


def find_device(room: Room, device_uuid: str) -> DeviceView | None:
    """The machine, if there is one of this name."""
    if not can_be_id("deviceUuid", device_uuid):
        return None
    with room.database.read() as session:
        device = session.get(Device, device_uuid)
        return view_device(device) if device is not None else None


def _open(room: Room, scan: Scan) -> str:
    language = asked_language()
    try:
        return room.database.write(open_order, scan, language, room.rules, room.clock()).id
    except IntegrityError:  # the same code scanned twice at the same moment: the other one made it
        return room.database.write(open_order, scan, language, room.rules, room.clock()).id
