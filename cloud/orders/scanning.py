"""A scanned QR becomes an order, or the order it already is. Prices come from our own catalogue only."""

import logging
from dataclasses import dataclass
from datetime import datetime
from enum import Enum

from sqlalchemy.orm import Session

from cloud.fleet.models import Credential, Device, Drink, Merchant
from cloud.orders.models import Order, OrderChange
from cloud.orders.rules import Rules, seconds
from cloud.orders.states import Status

log = logging.getLogger("cloud.orders")


class Why(Enum):
    """Why a scan cannot become an order."""

    UNKNOWN_DEVICE = "unknown_device"
    UNKNOWN_DRINK = "unknown_drink"
    NOT_SOLD = "not_sold"
    CLOSED = "closed"
    NO_PAYMENT = "no_payment"
    CONTRACT_OVER = "contract_over"
    OTHER_ORDER = "other_order"


class NotForSale(Exception):
    """The scan cannot become an order; `why` picks the sentence and the HTTP status."""

    def __init__(self, why: Why) -> None:
        super().__init__(why.value)
        self.why = why


@dataclass(frozen=True)
class Scan:
    """What the QR says. Only ids are used from it: name and price are looked up."""

    order_id: str
    device_uuid: str
    drink_no: str
    size: int


def open_order(session: Session, scan: Scan, language: str, rules: Rules, now: datetime) -> Order:
    """The order of this scan, new or known. Raises `NotForSale`."""
    known = session.get(Order, scan.order_id)
    if known is not None:
        if (known.device_uuid, known.drink_no, known.size) != (scan.device_uuid, scan.drink_no, scan.size):
            raise NotForSale(Why.OTHER_ORDER)
        return known
    device, drink, price = _on_sale(session, scan, now)
    order = Order(
        id=scan.order_id, device_uuid=device.device_uuid, merchant_id=device.merchant_id, drink_no=drink.drink_no,
        drink_name=drink.name, size=scan.size, price=price, is_test=device.status == "test",
        payment_scenario=device.payment_scenario, status=Status.CREATED.value, created_at=now,
        expires_at=now + seconds(rules.order_expiration_s), due_at=now + seconds(rules.order_expiration_s),
        language=language,
    )  # fmt: skip
    session.add(order)
    session.flush()
    session.add(
        OrderChange(
            order_id=order.id, version=1, at=now, actor="buyer", event="scanned",
            status_before="", status_after=order.status,
        )
    )  # fmt: skip
    log.info("order scanned", extra={"order_id": order.id, "device": order.device_uuid, "kopecks": order.price})
    return order


def _on_sale(session: Session, scan: Scan, now: datetime) -> tuple[Device, Drink, int]:
    device = session.get(Device, scan.device_uuid)
    if device is None:
        raise NotForSale(Why.UNKNOWN_DEVICE)
    if device.status == "closed":
        raise NotForSale(Why.CLOSED)
    merchant = session.get(Merchant, device.merchant_id)
    if merchant is None or (merchant.valid_until is not None and merchant.valid_until < now.date()):
        raise NotForSale(Why.CONTRACT_OVER)
    if session.get(Credential, (device.merchant_id, device.payment_scenario)) is None:
        raise NotForSale(Why.NO_PAYMENT)
    drink = session.get(Drink, (scan.device_uuid, scan.drink_no))
    if drink is None:
        raise NotForSale(Why.UNKNOWN_DRINK)
    price = drink.price(scan.size)
    if price is None:
        raise NotForSale(Why.NOT_SOLD)
    return device, drink, price
