"""Notices every order that has waited too long where it is. `making` says what a missed deadline means."""

import logging
from collections.abc import Callable
from datetime import datetime, timedelta

from sqlalchemy import and_, func, select

from cloud.db import Database
from cloud.orders import making
from cloud.orders.models import Order, Payment
from cloud.orders.money import PaymentState
from cloud.orders.rules import Rules

log = logging.getLogger("cloud.orders.deadlines")

LOOK_AT_LEAST_S = 1.0
BATCH = 200
CLOSING = timedelta(days=1)
"""So long before the provider lets a hold go, it is decided about (yookassa.md: an expired hold is cancelled there)."""


class Deadlines:
    """The loop over `due_at` and `return_after`; many workers may run it, each order is judged under its lock."""

    def __init__(self, database: Database, rules: Rules) -> None:
        self._database = database
        self._rules = rules

    def step(self, now: datetime) -> datetime:
        """Move what is due; when to look again."""
        later = now + timedelta(seconds=LOOK_AT_LEAST_S)
        judged = [
            self._judge(order_id, making.deadline_passed, order_id, self._rules, now) for order_id in self._due(now)
        ]
        judged += [
            self._judge(order_id, making.grace_over, order_id, self._rules, now) for order_id in self._graces_over(now)
        ]
        judged += [self._judge(order_id, making.hold_closes, order_id, now) for order_id in self._holds_closing(now)]
        return min(later, self._next() or later) if all(judged) else later

    def _judge(self, order_id: str, rule: Callable[..., None], *facts: object) -> bool:
        try:
            self._database.write(rule, *facts)
        except Exception:  # one order that cannot be judged must not keep all others waiting; it stays due
            log.exception("a missed deadline could not be judged", extra={"order_id": order_id})
            return False
        return True

    def _due(self, now: datetime) -> list[str]:
        with self._database.read() as session:
            found = select(Order.id).where(Order.due_at <= now).order_by(Order.due_at).limit(BATCH)
            return list(session.scalars(found))

    def _graces_over(self, now: datetime) -> list[str]:
        with self._database.read() as session:
            found = select(Order.id).where(Order.return_after <= now).order_by(Order.return_after).limit(BATCH)
            return list(session.scalars(found))

    def _holds_closing(self, now: datetime) -> list[str]:
        """Of the few orders that wait for a person."""
        closing = and_(Payment.state == PaymentState.HELD.value, Payment.hold_expires_at <= now + CLOSING)
        found = select(Order.id).where(Order.waits_for_person, Payment.order_id == Order.id, closing).limit(BATCH)
        with self._database.read() as session:
            return list(session.scalars(found))

    def _next(self) -> datetime | None:
        with self._database.read() as session:
            soonest = [
                session.scalar(select(func.min(Order.due_at))),
                session.scalar(select(func.min(Order.return_after))),
            ]
        return min((moment for moment in soonest if moment is not None), default=None)
