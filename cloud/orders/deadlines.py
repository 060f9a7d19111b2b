"""Notices every order that has waited too long where it is. `making` says what a missed deadline means."""

import logging
from datetime import datetime, timedelta

from sqlalchemy import func, select

from cloud.db import Database
from cloud.orders import making
from cloud.orders.models import Order
from cloud.orders.rules import Rules

log = logging.getLogger("cloud.orders.deadlines")

LOOK_AT_LEAST_S = 1.0
BATCH = 200


class Deadlines:
    """The loop over `due_at` and `return_after`; many workers may run it, each order is judged under its lock."""

    def __init__(self, database: Database, rules: Rules) -> None:
        self._database = database
        self._rules = rules

    def step(self, now: datetime) -> datetime:
        """Move what is due; when to look again."""
        for order_id in self._due(now):
            self._database.write(making.deadline_passed, order_id, self._rules, now)
        for order_id in self._graces_over(now):
            self._database.write(making.grace_over, order_id, now)
        return min(now + timedelta(seconds=LOOK_AT_LEAST_S), self._next() or now + timedelta(seconds=LOOK_AT_LEAST_S))

    def _due(self, now: datetime) -> list[str]:
        with self._database.read() as session:
            found = select(Order.id).where(Order.due_at <= now).order_by(Order.due_at).limit(BATCH)
            return list(session.scalars(found))

    def _graces_over(self, now: datetime) -> list[str]:
        with self._database.read() as session:
            found = select(Order.id).where(Order.return_after <= now).order_by(Order.return_after).limit(BATCH)
            return list(session.scalars(found))

    def _next(self) -> datetime | None:
        with self._database.read() as session:
            soonest = [
                session.scalar(select(func.min(Order.due_at))),
                session.scalar(select(func.min(Order.return_after))),
            ]
        return min((moment for moment in soonest if moment is not None), default=None)
