"""A scan, or a choice in a menu, becomes an order: the refusals in words and statuses, and the limit per address."""

import logging
from collections.abc import Callable
from dataclasses import replace

from flask import redirect, request, url_for
from sqlalchemy import select
from sqlalchemy.exc import IntegrityError, SQLAlchemyError
from werkzeug.wrappers import Response as BaseResponse

from cloud.buyer.capability import NOT_YOURS, Capability
from cloud.buyer.errors import Trouble, asked_language
from cloud.buyer.order_reader import view_device
from cloud.buyer.order_view import DeviceView
from cloud.buyer.qr import can_be_id
from cloud.buyer.services import Services
from cloud.fleet.models import Device, Merchant
from cloud.orders.models import Order
from cloud.orders.qr_signature import Signature
from cloud.orders.scanning import Found, NotForSale, Scan, Why, find_order, is_contract_over, open_order
from cloud.orders.states import Status

log = logging.getLogger("cloud.buyer")

STATUS_OF = {
    Why.UNKNOWN_DEVICE: 404,
    Why.UNKNOWN_DRINK: 404,
    Why.NOT_SOLD: 404,
    Why.NO_PRICE: 503,
    Why.CLOSED: 503,
    Why.DRINK_CLOSED: 503,
    Why.NO_PAYMENT: 503,
    Why.CONTRACT_OVER: 403,
    Why.OTHER_ORDER: 409,
    Why.EXPIRED: 410,
    Why.QR_UNSIGNED: 403,
    Why.QR_ALTERED: 403,
    Why.QR_STALE: 410,
}


def open_or_find(services: Services, scan: Scan, *, may_make: bool = True) -> tuple[str, Capability]:
    """The id of this scan's order, new or known, and what the phone that scanned holds now. Raises `Trouble`.

    A phone whose paid drink waits at this machine is led to that. The id is "" for an order that `may_make` forbids.
    """
    try:
        with services.database.read() as session:
            found = find_order(session, scan, services.clock(), services.qr_keys, _holds(services))
        is_signed = found.signature is Signature.GOOD
        here = services.held().at_machine(scan.device_uuid, services.clock(), is_signed=is_signed)
        if found.is_new and (waiting := waiting_here(services, scan.device_uuid, here)):
            return waiting, here
        if found.is_new and not may_make:
            return "", services.held()
        if found.is_new and not services.allows_order(scan.device_uuid, is_signed=is_signed):
            facts = {"order_id": scan.order_id, "device": scan.device_uuid}
            log.warning("too many new orders from one address or at one machine", extra=facts)
            raise Trouble(429, "too_many", find_device(services, scan.device_uuid))
        price = services.tmetr_price(scan.device_uuid, scan.drink_no, scan.size) if found.is_new else None
        order = _open(services, scan, price)
    except NotForSale as refused:
        log.info("not for sale: %s", refused.why.value, extra={"order_id": scan.order_id, "device": scan.device_uuid})
        device = find_device(services, scan.device_uuid)
        known = scan.order_id if services.find(scan.order_id) is not None else ""
        raise Trouble(STATUS_OF[refused.why], refused.why.value, device, known) from None
    return order.id, _held_after(services, order, found)


def waiting_here(services: Services, device_uuid: str, held: Capability) -> str:
    """The id of a paid drink that waits at this machine for the phone that asks now; "" when there is none.

    `held` is what it holds after this scan. A phone that may only look at such a drink buys one of its own.
    """
    if not held.orders:
        return ""
    waits = select(Order).where(Order.device_uuid == device_uuid, Order.status == Status.MANUAL_MAKE.value)
    with services.database.read() as session:
        theirs = (order.id for order in session.scalars(waits) if services.why_no_pour(order, held) != NOT_YOURS)
        return next(theirs, "")


def _held_after(services: Services, order: Order, found: Found) -> Capability:
    """A code that the machine did not sign proves an order only if it is the one that opened it."""
    held, now = services.held(), services.clock()
    is_signed = found.signature is Signature.GOOD
    if not found.is_late:
        held = held.at_machine(order.device_uuid, now, is_signed=is_signed)
    is_its_own = is_signed or order.opened_by in {None, found.tag}
    return held.holding(order.id, now, is_signed=is_signed) if is_its_own else held


def _holds(services: Services) -> Callable[[str], bool]:
    held = services.held()
    return lambda order_id: held.of_order(order_id) is not None


def find_device(services: Services, device_uuid: str) -> DeviceView | None:
    """The machine, if there is one of this name."""
    if not can_be_id("deviceUuid", device_uuid):
        return None
    with services.database.read() as session:
        device = session.get(Device, device_uuid)
        if device is None:
            return None
        merchant = session.get_one(Merchant, device.merchant_id)
        view = view_device(device, merchant.contact_email)
        return replace(view, has_menu=view.has_menu and not is_contract_over(merchant, services.clock()))


def lead_to(order_id: str, status: int = 303) -> BaseResponse:
    """Lead to the order's page. Without a body the line is free at once: the browser needs no second connection."""
    answer = redirect(url_for("buyer.status_page", order_id=order_id, lang=request.args.get("lang")), status)
    answer.set_data(b"")
    return answer


def device_of(services: Services, order_id: str, device_uuid: str) -> DeviceView | None:
    """Return the machine of this order, or of this name. An error page shows it, and must come without it too."""
    try:
        view = services.find(order_id) if order_id else None
        return view.device if view is not None else find_device(services, device_uuid)
    except (SQLAlchemyError, LookupError) as error:  # what broke the request may break this too; the page comes
        log.error("the machine of an error page is not found: %s", type(error).__name__)
        return None


def _open(services: Services, scan: Scan, tmetr_price: int | None) -> Order:
    how = (
        open_order,
        scan,
        asked_language(),
        services.rules,
        services.clock(),
        services.qr_keys,
        tmetr_price,
        _holds(services),
    )
    try:
        return services.database.transact(*how)
    except IntegrityError:  # the same code scanned twice at the same moment: the other one made it
        return services.database.transact(*how)
