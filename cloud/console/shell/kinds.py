"""Kinds of things that several sections have pages about. A section's own kinds stand in the section."""

from sqlalchemy import select
from sqlalchemy.orm import Session

from cloud.access.journal import Subject
from cloud.console.shell.section import Kind
from cloud.fleet.models import Device, Merchant
from cloud.orders import archived_books
from cloud.orders.models import Order


def _device(session: Session, device_uuid: str) -> Subject | None:
    owner = session.scalar(select(Device.merchant_id).where(Device.device_uuid == device_uuid))
    return None if owner is None else Subject("device", device_uuid, owner, device_uuid)


def _order(session: Session, order_id: str) -> Subject | None:
    found = session.execute(select(Order.merchant_id, Order.device_uuid).where(Order.id == order_id)).first()
    if found is not None:
        return Subject("order", order_id, found.merchant_id, found.device_uuid)
    order = archived_books.find(session, order_id)
    return None if order is None else Subject("order", order_id, order.merchant_id, order.device_uuid)


def _merchant(session: Session, merchant_id: str) -> Subject | None:
    known = session.scalar(select(Merchant.id).where(Merchant.id == merchant_id))
    return None if known is None else Subject("merchant", merchant_id, merchant_id)


DEVICE = Kind("device", "device_uuid", _device)
ORDER = Kind("order", "order_id", _order)
MERCHANT = Kind("merchant", "merchant_id", _merchant)
