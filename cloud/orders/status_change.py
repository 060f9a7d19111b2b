"""The one place that writes an order's status, and the history row that goes with it, in the caller's transaction."""

import logging
from collections.abc import Callable, Mapping
from datetime import datetime
from functools import partial
from typing import Any

from sqlalchemy.orm import Session

from cloud.database.group_commit import after_commit, ring
from cloud.database.plain_rows import fresh
from cloud.orders.locked_order import Docket
from cloud.orders.models import OrderChange
from cloud.orders.states import FINAL, Event, Status, next_state

log = logging.getLogger("cloud.orders")


def move(docket: Docket, event: Event, actor: str, now: datetime, reason: str = "",
         evidence: dict[str, Any] | None = None) -> bool:  # fmt: skip
    """Apply `event`; true when it meant something to the order. What it did not mean is noted in the history too."""
    order = docket.order
    before = Status(order.status)
    after = next_state(before, event)
    if after is not None:
        order.status = after.value
        order.reason = reason if after in {Status.FAILED, Status.MAKE_FAILED} else ""
        order.finished_at = now if after in FINAL else None
        order.due_at = None
    touch(docket)
    docket.add(
        fresh(
            OrderChange, order_id=order.id, version=order.version, at=now, actor=actor, event=event.value,
            status_before=before.value, status_after=order.status, reason=reason, evidence=evidence,
        )
    )  # fmt: skip
    says = f"{before.value} -> {order.status}" if order.status != before else f"stays {before.value}: {event.value}"
    facts = {"order_id": order.id, "device": order.device_uuid, "event": event.value, "actor": actor, "reason": reason}
    tell(docket.session, log.info, "order %s", says, extra=facts)
    return after is not None


def note(docket: Docket, event: str, actor: str, now: datetime, reason: str = "",
         evidence: dict[str, Any] | None = None) -> None:  # fmt: skip
    """A line in the history of what leaves the status as it is."""
    order = docket.order
    touch(docket)
    docket.add(
        fresh(
            OrderChange, order_id=order.id, version=order.version, at=now, actor=actor, event=event,
            status_before=order.status, status_after=order.status, reason=reason, evidence=evidence,
        )
    )  # fmt: skip


def touch(docket: Docket) -> None:
    """Something the buyer can see has changed."""
    docket.order.version += 1
    ring(docket.session, order_topic(docket.order.id))


def tell(session: Session, say: Callable[..., None], words: str, *parts: object, extra: Mapping[str, object]) -> None:
    """Log what this transaction did, once it is done: work that is undone, or done again, is told of as it ended."""
    after_commit(session, partial(say, words, *parts, extra=extra))


def order_topic(order_id: str) -> str:
    """What the bell rings when an order changes."""
    return f"order:{order_id}"
