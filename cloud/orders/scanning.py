"""A scanned QR becomes an order, or the order it already is. Prices are our catalogue's, or Tmetr's."""

import logging
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import Enum

from sqlalchemy.orm import Session

from cloud.database.plain_rows import fresh
from cloud.database.transaction import Transaction
from cloud.fleet.availability import closed_code
from cloud.fleet.models import Credential, Device, Drink, Merchant
from cloud.fleet.qr_key import SIGNED, QrKeys
from cloud.fleet.zones import day_at
from cloud.orders import archived_books
from cloud.orders.forgetting import ForgottenOrder
from cloud.orders.locked_order import LockedOrders, lock_order
from cloud.orders.models import Order
from cloud.orders.order_ids import (
    Opened,
    ScanResult,
    is_kept_for_free_drinks,
    may_have_opened,
    resolve_taken_id,
    substitute_id,
    tag_of,
)
from cloud.orders.order_limits import OrderLimits, seconds
from cloud.orders.qr_signature import QrCode, Signature, judge, signed_text
from cloud.orders.states import Status
from cloud.orders.status_change import add_note, begin_history

log = logging.getLogger("cloud.orders")

MOST_IDS = 4
"""A scan's id, and substitutes for it; the scan is refused when all are taken."""
TMETR = "tmetr"
"""The `price_source` of a machine whose catalogue prices only say which sizes are on sale."""


class Why(Enum):
    """Why a scan cannot become an order."""

    UNKNOWN_DEVICE = "unknown_device"
    UNKNOWN_DRINK = "unknown_drink"
    NOT_SOLD = "not_sold"
    NO_PRICE = "no_price"
    CLOSED = "closed"
    DRINK_CLOSED = "drink_closed"
    NO_PAYMENT = "no_payment"
    CONTRACT_OVER = "contract_over"
    OTHER_ORDER = "other_order"
    EXPIRED = "expired"
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


def _no_phone(_order_id: str) -> bool:
    """Nothing is known of the phone that scans."""
    return False


@dataclass(frozen=True)
class Found:
    """Where a scan leads: to an order id, which may be a substitute for the code's."""

    scan: Scan
    signature: Signature
    tag: str
    is_late: bool
    """Signed too long ago for a machine that must sign: it may have been scanned anywhere."""
    order: Order | None
    """None: it is to be made."""
    is_taken_over: bool = False

    @property
    def is_new(self) -> bool:
        """Whether an order is made, or made anew, for it."""
        return self.order is None or self.is_taken_over


def find_order(
    session: Session, scan: Scan, now: datetime, keys: QrKeys | None = None, holds: Callable[[str], bool] = _no_phone
) -> Found:
    """The order a scan leads to (`order_ids.py`). Raises `NotForSale`. `keys` are those of the machines' signatures.

    `holds`: whether the phone that scans has scanned this order before.
    """
    signature, is_late = judge_code(session, scan, keys, now)
    tag = tag_of(scan.code, is_signed=signature is Signature.GOOD or is_late)
    for _ in range(MOST_IDS):
        known = _known(session, scan.order_id)
        if known is None:
            found = _of_unknown_id(session, scan, signature, tag, is_late=is_late)
            if found is not None:
                return found
        else:
            same = (known.drink_no, known.size) == (scan.drink_no, scan.size)
            is_here = known.device_uuid == scan.device_uuid
            opened = Opened(known.opened_by, Status(known.status), known.paid_at is not None, is_here)
            verdict = resolve_taken_id(opened, tag, same_drink=same, is_holder=holds(known.id))
            if verdict is ScanResult.TAKEN_OVER and is_late:
                raise NotForSale(Why.QR_STALE)
            if verdict in {ScanResult.SAME, ScanResult.TAKEN_OVER}:
                return Found(scan, signature, tag, is_late, known, verdict is ScanResult.TAKEN_OVER)
            if verdict is ScanResult.CONFLICT:
                raise NotForSale(Why.OTHER_ORDER)
        order_id = substitute_id(scan.order_id, scan.device_uuid, scan.drink_no, scan.size, tag)
        scan = replace(scan, order_id=order_id)
    raise NotForSale(Why.OTHER_ORDER)


def _known(session: Session, order_id: str) -> Order | None:
    """The order of an id, also one that rests in the archive: its id is taken."""
    return session.get(Order, order_id) or archived_books.find(session, order_id)


def _of_unknown_id(session: Session, scan: Scan, signature: Signature, tag: str, *, is_late: bool) -> Found | None:
    """An order to be made under an id that no order has; None where the id is not to be used. Raises `NotForSale`."""
    if is_late:
        raise NotForSale(Why.QR_STALE)
    gone = session.get(ForgottenOrder, scan.order_id)
    if gone is None:
        return None if is_kept_for_free_drinks(scan.order_id) else Found(scan, signature, tag, is_late, None)
    may_have_been_here = gone.device_uuid in {None, scan.device_uuid}
    if may_have_been_here and may_have_opened(gone.opened_by, tag, signature):
        raise NotForSale(Why.EXPIRED)
    return None


def open_order(
    tx: Transaction, scan: Scan, language: str, rules: OrderLimits, now: datetime, keys: QrKeys | None = None,
    tmetr_price: int | None = None, holds: Callable[[str], bool] = _no_phone,
) -> Order:  # fmt: skip
    """The order of this scan, new or known. Raises `NotForSale`.

    `tmetr_price`: kopecks, what Tmetr says now, for a machine whose prices are Tmetr's; None is not known.
    """
    found = find_order(tx.session, scan, now, keys, holds)
    if found.order is not None and not found.is_taken_over:
        return found.order
    on_sale = _on_sale(tx.session, found.scan, tmetr_price, now)
    if found.order is not None:
        return _take_over(tx, found, on_sale, rules, now)
    return _create(tx, found, on_sale, language, rules, now)


def record_phone_return(tx: Transaction, order_id: str, now: datetime) -> None:
    """Record that a phone that scanned the order came back: from now on only such a one says where its receipt goes."""
    order = lock_order(tx, order_id).order
    order.claimed_at = order.claimed_at or now


def _take_over(
    tx: Transaction, found: Found, on_sale: tuple[Device, Drink, int], rules: OrderLimits, now: datetime
) -> Order:
    """Change an order, opened by somebody who guessed the id and paid by nobody yet, to what the machine signed."""
    locked = lock_order(tx, found.scan.order_id)
    order, (device, drink, price) = locked.order, on_sale
    if order.status != Status.CREATED:
        raise NotForSale(Why.OTHER_ORDER)
    before = {"drink_no": order.drink_no, "size": order.size, "device": order.device_uuid}
    order.device_uuid, order.merchant_id = device.device_uuid, device.merchant_id
    order.drink_no, order.drink_name, order.size, order.price = drink.drink_no, drink.name, found.scan.size, price
    order.is_test, order.payment_scenario = device.status == "test", device.payment_scenario
    order.expires_at = order.due_at = now + seconds(rules.order_expiration_s)
    order.opened_by, order.claimed_at = found.tag, None
    add_note(
        locked, "taken_over", "buyer", now, evidence={**found.scan.code.evidence(found.signature), "before": before}
    )
    tx.log_after_commit(log.info, "order taken over", extra=_facts(order))
    return order


def _create(
    tx: Transaction, found: Found, on_sale: tuple[Device, Drink, int], language: str, rules: OrderLimits, now: datetime
) -> Order:
    (device, drink, price), scan = on_sale, found.scan
    order = fresh(
        Order, id=scan.order_id, device_uuid=device.device_uuid, merchant_id=device.merchant_id,
        drink_no=drink.drink_no, drink_name=drink.name, size=scan.size, price=price, is_test=device.status == "test",
        payment_scenario=device.payment_scenario, status=Status.CREATED.value, created_at=now,
        expires_at=now + seconds(rules.order_expiration_s), due_at=now + seconds(rules.order_expiration_s),
        language=language, opened_by=found.tag,
    )  # fmt: skip
    locked = tx.part(LockedOrders).create(order, device.control)
    begin_history(locked, "scanned", "buyer", now, evidence=scan.code.evidence(found.signature))
    tx.log_after_commit(log.info, "order scanned", extra=_facts(order))
    return order


def _facts(order: Order) -> dict[str, object]:
    return {"order_id": order.id, "device": order.device_uuid, "kopecks": order.price}


def judge_code(session: Session, scan: Scan, keys: QrKeys | None, now: datetime) -> tuple[Signature, bool]:
    """What the code's signature is worth, and whether it comes too late to open an order: only where it must be signed.

    Elsewhere a code that is over counts as one without a signature: machines' clocks are not ours. An order that is
    there already is shown by its own code for ever. Raises `NotForSale` where the machine must sign and this is no such
    code.
    """
    device = session.get(Device, scan.device_uuid)
    if device is None:
        return Signature.NONE, False
    text = signed_text(scan.device_uuid, scan.drink_no, scan.size, scan.order_id, scan.code.exp)
    accepted = keys.accepted(device.device_uuid, device.qr_key_version) if keys is not None and scan.code.sig else ()
    signature = judge(scan.code, text, accepted, now)
    if device.qr == SIGNED:
        if signature is Signature.NONE:
            raise NotForSale(Why.QR_UNSIGNED)
        if signature is Signature.WRONG:
            raise NotForSale(Why.QR_ALTERED)
    return signature, device.qr == SIGNED and signature is Signature.STALE


def is_contract_over(merchant: Merchant, now: datetime) -> bool:
    """Has the contract's last day, as the merchant counts days, passed?"""
    return merchant.valid_until is not None and merchant.valid_until < day_at(now, merchant.zone)


def _on_sale(session: Session, scan: Scan, tmetr_price: int | None, now: datetime) -> tuple[Device, Drink, int]:
    device = session.get(Device, scan.device_uuid)
    if device is None:
        raise NotForSale(Why.UNKNOWN_DEVICE)
    if closed_code(device, ""):
        raise NotForSale(Why.CLOSED)
    merchant = session.get(Merchant, device.merchant_id)
    if merchant is None or is_contract_over(merchant, now):
        raise NotForSale(Why.CONTRACT_OVER)
    if session.get(Credential, (device.merchant_id, device.payment_scenario)) is None:
        raise NotForSale(Why.NO_PAYMENT)
    drink = session.get(Drink, (scan.device_uuid, scan.drink_no))
    if drink is None:
        raise NotForSale(Why.UNKNOWN_DRINK)
    if closed_code(device, drink):
        raise NotForSale(Why.DRINK_CLOSED)
    price = drink.price(scan.size)
    if price is None:
        raise NotForSale(Why.NOT_SOLD)
    if device.price_source == TMETR:
        price = tmetr_price
    if price is None:  # never a price of another time in its place (docs/promises.md, mistake 10)
        raise NotForSale(Why.NO_PRICE)
    return device, drink, price
