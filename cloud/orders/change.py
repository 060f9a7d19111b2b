"""The one place that writes an order's status, and the history row that goes with it, in the caller's transaction."""

import logging
from datetime import datetime
from typing import Any

from sqlalchemy.orm import Session

from cloud.db import hold, ring
from cloud.orders.models import Order, OrderChange
from cloud.orders.states import FINAL, Event, Status, next_state

log = logging.getLogger("cloud.orders")


class UnknownOrder(LookupError):
    """No order has this id."""


def locked(session: Session, order_id: str) -> Order:
    """The order, held against other workers until this transaction ends. Raises `UnknownOrder`."""
    order = hold(session, Order, order_id)
    if order is None:
        raise UnknownOrder(order_id)
    return order


def move(session: Session, order: Order, event: Event, actor: str, now: datetime, reason: str = "",
         evidence: dict[str, Any] | None = None) -> bool:  # fmt: skip
    """Apply `event`; true when it meant something to the order. What it did not mean is noted in the history too."""
    before = Status(order.status)
    after = next_state(before, event)
    if after is not None:
        order.status = after.value
        order.reason = reason if after in {Status.FAILED, Status.MAKE_FAILED} else ""
        order.finished_at = now if after in FINAL else None
        order.due_at = None
    touch(session, order)
    session.add(
        OrderChange(
            order_id=order.id, version=order.version, at=now, actor=actor, event=event.value,
            status_before=before.value, status_after=order.status, reason=reason, evidence=evidence,
        )
    )  # fmt: skip
    says = f"{before.value} -> {order.status}" if order.status != before else f"stays {before.value}: {event.value}"
    facts = {"order_id": order.id, "device": order.device_uuid, "event": event.value, "actor": actor, "reason": reason}
    log.info("order %s", says, extra=facts)
    return after is not None


def touch(session: Session, order: Order) -> None:
    """Something the buyer can see has changed."""
    order.version += 1
    ring(session, order_topic(order.id))


def order_topic(order_id: str) -> str:
    """What the bell rings when an order changes."""
    return f"order:{order_id}"
