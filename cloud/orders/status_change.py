"""The one place that changes an order's status, and writes its history, in the caller's transaction."""

import logging
from datetime import datetime
from typing import Any

from sqlalchemy import select

from cloud.database.plain_rows import fresh
from cloud.orders.locked_order import LockedOrder
from cloud.orders.models import OrderChange
from cloud.orders.stage_times import count_stages
from cloud.orders.states import FAILURES, FINAL, Event, Status, next_state

log = logging.getLogger("cloud.orders")


def apply_event(locked: LockedOrder, event: Event, actor: str, now: datetime, reason: str = "",
         evidence: dict[str, Any] | None = None) -> bool:  # fmt: skip
    """Apply `event`; true when it meant something to the order. What it did not mean is noted in the history too."""
    order = locked.order
    before = Status(order.status)
    after = next_state(before, event)
    if after is not None:
        order.status = after.value
        order.reason = reason if after in FAILURES else ""
        order.finished_at = now if after in FINAL else None
        order.due_at = None
    mark_changed(locked)
    _write(locked, event.value, actor, now, before.value, reason, evidence)
    says = f"{before.value} -> {order.status}" if order.status != before else f"stays {before.value}: {event.value}"
    facts = {"order_id": order.id, "device": order.device_uuid, "event": event.value, "actor": actor, "reason": reason}
    locked.tx.log_after_commit(log.info, "order %s", says, extra=facts)
    if before not in FINAL and after in FINAL and order.paid_at is not None:
        count_stages(locked.tx, order, locked.commands)
    return after is not None


def begin_history(locked: LockedOrder, event: str, actor: str, now: datetime, reason: str = "",
         evidence: dict[str, Any] | None = None) -> None:  # fmt: skip
    """The first line in the history of an order just created."""
    _write(locked, event, actor, now, "", reason, evidence)


def add_note(locked: LockedOrder, event: str, actor: str, now: datetime, reason: str = "",
         evidence: dict[str, Any] | None = None) -> None:  # fmt: skip
    """A line in the history of what leaves the status as it is."""
    mark_changed(locked)
    _write(locked, event, actor, now, locked.order.status, reason, evidence)


def lines_of(locked: LockedOrder, actor: str, most: int) -> int:
    """How many lines of its history are about what this one did or said; no more than `most` are looked at."""
    theirs = select(OrderChange.id).where(OrderChange.order_id == locked.order.id, OrderChange.actor == actor)
    return len(locked.tx.session.scalars(theirs.limit(most)).all())


def _write(locked: LockedOrder, event: str, actor: str, now: datetime, before: str, reason: str,
         evidence: dict[str, Any] | None) -> None:  # fmt: skip
    order = locked.order
    locked.add(
        fresh(
            OrderChange, order_id=order.id, version=order.version, at=now, actor=actor, event=event,
            status_before=before, status_after=order.status, reason=reason, evidence=evidence,
        )
    )  # fmt: skip


def mark_changed(locked: LockedOrder) -> None:
    """Something the buyer can see has changed."""
    locked.order.version += 1
    locked.tx.notify(order_topic(locked.order.id))


def order_topic(order_id: str) -> str:
    """The topic that wakes those that wait for changes of the order."""
    return f"order:{order_id}"
