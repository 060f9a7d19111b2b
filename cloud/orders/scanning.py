"""A scanned QR becomes an order, or the order it already is. Prices are our catalogue's, or Tmetr's."""

import logging
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum

from sqlalchemy.orm import Session

from cloud.fleet.models import Credential, Device, Drink, Merchant
from cloud.fleet.qr_key import SIGNED, QrKeys
from cloud.orders.models import Order, OrderChange
from cloud.orders.qr_signature import QrCode, Signature, judge, signed_text
from cloud.orders.rules import Rules, seconds
from cloud.orders.states import Status

log = logging.getLogger("cloud.orders")

TMETR = "tmetr"
"""The `price_source` of a machine whose catalogue prices only say which sizes are on sale."""


class Why(Enum):
    """Why a scan cannot become an order."""

    UNKNOWN_DEVICE = "unknown_device"
    UNKNOWN_DRINK = "unknown_drink"
    NOT_SOLD = "not_sold"
    NO_PRICE = "no_price"
    CLOSED = "closed"
    NO_PAYMENT = "no_payment"
    CONTRACT_OVER = "contract_over"
    OTHER_ORDER = "other_order"
    QR_UNSIGNED = "qr_unsigned"
    QR_ALTERED = "qr_altered"
    QR_STALE = "qr_stale"


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
    code: QrCode = field(default_factory=QrCode)


def open_order(
    session: Session, scan: Scan, language: str, rules: Rules, now: datetime, keys: QrKeys | None = None,
    told_price: int | None = None,
) -> Order:  # fmt: skip
    """The order of this scan, new or known. Raises `NotForSale`. `keys` are those of the machines' signatures.

    `told_price`: kopecks, what Tmetr says now, for a machine whose prices are Tmetr's; None is not known.
    """
    known = session.get(Order, scan.order_id)
    evidence = _judge_code(session, scan, known is not None, keys, now)
    if known is not None:
        if (known.device_uuid, known.drink_no, known.size) != (scan.device_uuid, scan.drink_no, scan.size):
            raise NotForSale(Why.OTHER_ORDER)
        return known
    device, drink, price = _on_sale(session, scan, told_price, now)
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
            status_before="", status_after=order.status, evidence=evidence,
        )
    )  # fmt: skip
    log.info("order scanned", extra={"order_id": order.id, "device": order.device_uuid, "kopecks": order.price})
    return order


def _judge_code(
    session: Session, scan: Scan, is_known: bool, keys: QrKeys | None, now: datetime
) -> dict[str, str] | None:
    """What the history keeps of the code. Raises `NotForSale` where the machine must sign and this is no such code.

    An order that is there already may be shown by its own code for ever; only a new one needs a fresh one.
    """
    device = session.get(Device, scan.device_uuid)
    if device is None:
        return None
    text = signed_text(scan.device_uuid, scan.drink_no, scan.size, scan.order_id, scan.code.exp)
    accepted = keys.accepted(device.device_uuid, device.qr_key_version) if keys is not None and scan.code.sig else ()
    signature = judge(scan.code, text, accepted, now)
    if device.qr == SIGNED:
        if signature is Signature.NONE:
            raise NotForSale(Why.QR_UNSIGNED)
        if signature is Signature.WRONG:
            raise NotForSale(Why.QR_ALTERED)
        if signature is Signature.STALE and not is_known:
            raise NotForSale(Why.QR_STALE)
    return scan.code.evidence(signature)


def _on_sale(session: Session, scan: Scan, told_price: int | None, now: datetime) -> tuple[Device, Drink, int]:
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
    if device.price_source == TMETR:
        price = told_price
    if price is None:  # never a price of another time in its place (docs/promises.md, mistake 10)
        raise NotForSale(Why.NO_PRICE)
    return device, drink, price
