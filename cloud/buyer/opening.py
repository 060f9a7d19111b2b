"""A scan, or a choice in a menu, becomes an order: the refusals in words and statuses, and the limit per address."""

import logging

from flask import redirect, request, url_for
from sqlalchemy.exc import IntegrityError, SQLAlchemyError
from werkzeug.wrappers import Response as BaseResponse

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
    Why.NO_PRICE: 503,
    Why.CLOSED: 503,
    Why.NO_PAYMENT: 503,
    Why.CONTRACT_OVER: 403,
    Why.OTHER_ORDER: 409,
    Why.QR_UNSIGNED: 403,
    Why.QR_ALTERED: 403,
    Why.QR_STALE: 410,
}


def open_or_find(room: Room, scan: Scan) -> str:
    """The id of this scan's order, new or known. Raises `Trouble`."""
    known = room.find(scan.order_id)
    if known is None and not room.allows_order(scan.device_uuid):
        log.warning("too many new orders from one address or at one machine", extra={"device": scan.device_uuid})
        raise Trouble(429, "too_many", find_device(room, scan.device_uuid))
    try:
        price = room.told_price(scan.device_uuid, scan.drink_no, scan.size) if known is None else None
        return _open(room, scan, price)
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


def lead_to(order_id: str, status: int = 303) -> BaseResponse:
    """To the order's page. Without a body the line is free at once: the browser needs no second connection."""
    answer = redirect(url_for("buyer.status_page", order_id=order_id, lang=request.args.get("lang")), status)
    answer.set_data(b"")
    return answer


def whose(room: Room, order_id: str, device_uuid: str) -> DeviceView | None:
    """The machine of this order, or of this name. A page about an error needs it, and must come without it too."""
    try:
        view = room.find(order_id) if order_id else None
        return view.device if view is not None else find_device(room, device_uuid)
    except (SQLAlchemyError, LookupError) as error:  # what broke the request may break this too; the page comes
        log.error("the machine of an error page is not found: %s", type(error).__name__)
        return None


def _open(room: Room, scan: Scan, told_price: int | None) -> str:
    how = (open_order, scan, asked_language(), room.rules, room.clock(), room.qr_keys, told_price)
    try:
        return room.database.write(*how).id
    except IntegrityError:  # the same code scanned twice at the same moment: the other one made it
        return room.database.write(*how).id
