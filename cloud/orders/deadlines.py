"""Notices every order that has waited too long where it is. `making` says what a missed deadline means.

After all workers were away a device's word may be on its way to us: for a moment nothing is decided without it.
"""

import logging
from collections.abc import Callable
from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, and_, exists, func, or_, select, true

from cloud.db import Database
from cloud.due import due
from cloud.orders import making
from cloud.orders.models import MakeCommand, Order, Payment
from cloud.orders.money import PaymentState
from cloud.orders.rules import Rules
from cloud.orders.states import Status

log = logging.getLogger("cloud.orders.deadlines")

LOOK_AT_LEAST_S = 1.0
BATCH = 200
CLOSING = timedelta(days=1)
"""So long before the provider lets a hold go, it is decided about (docs/yookassa.md 2.2)."""
DEVICES_REPEAT_WITHIN = timedelta(seconds=12)
"""After our first connection: an agent says again after 10 s what nobody has confirmed."""
DEAF_AT_MOST = timedelta(seconds=60)
"""After our start: a broker that stays away stops no deadline."""


class Deadlines:
    """The loop over `due_at` and `return_after`; many workers may run it, each order is judged under its lock.

    `is_listening` tells whether devices can reach this process; without it they always could.
    """

    def __init__(self, database: Database, rules: Rules, is_listening: Callable[[], bool] | None = None) -> None:
        self._database = database
        self._rules = rules
        self._silence = None if is_listening is None else _Silence(is_listening)

    def step(self, now: datetime) -> datetime:
        """Move what is due; when to look again."""
        later = now + timedelta(seconds=LOOK_AT_LEAST_S)
        heard_since = self._heard_since(now)
        judged = [
            self._judge(order_id, making.deadline_passed, order_id, self._rules, now)
            for order_id in self._due(now, heard_since)
        ]
        judged += [
            self._judge(order_id, making.grace_over, order_id, self._rules, now)
            for order_id in self._graces_over(now, heard_since)
        ]
        judged += [self._judge(order_id, making.hold_closes, order_id, now) for order_id in self._holds_closing(now)]
        return min(later, self._next() or later) if all(judged) and heard_since is None else later

    def _heard_since(self, now: datetime) -> datetime | None:
        """Of commands issued before it a word may be on its way to us; None when none can be any more."""
        if self._silence is not None and self._silence.is_over(now):
            self._silence = None
        return None if self._silence is None else self._silence.until or now

    def _judge(self, order_id: str, rule: Callable[..., None], *facts: object) -> bool:
        try:
            self._database.write(rule, *facts)
        except Exception:  # one order that cannot be judged must not keep all others waiting; it stays due
            log.exception("a missed deadline could not be judged", extra={"order_id": order_id})
            return False
        return True

    def _due(self, now: datetime, heard_since: datetime | None) -> list[str]:
        by_itself = or_(Order.status != Status.MAKE_PENDING.value, _may_be_judged(heard_since))
        with self._database.read() as session:
            is_due = due(Order.due_at, now, now + self._rules.longest_wait)
            found = select(Order.id).where(is_due, by_itself).order_by(Order.due_at).limit(BATCH)
            return list(session.scalars(found))

    def _graces_over(self, now: datetime, heard_since: datetime | None) -> list[str]:
        is_due = due(Order.return_after, now, now + self._rules.uncertain_grace)
        found = select(Order.id).where(is_due, _may_be_judged(heard_since))
        with self._database.read() as session:
            return list(session.scalars(found.order_by(Order.return_after).limit(BATCH)))

    def _holds_closing(self, now: datetime) -> list[str]:
        """Of the few orders that wait for a person."""
        closing = and_(Payment.state == PaymentState.HELD.value, Payment.hold_expires_at <= now + CLOSING)
        of_a_person = Payment.order_id.in_(select(Order.id).where(Order.waits_for_person))
        with self._database.read() as session:
            return list(session.scalars(select(Payment.order_id).where(of_a_person, closing).limit(BATCH)))

    def _next(self) -> datetime | None:
        with self._database.read() as session:
            soonest = [
                session.scalar(select(func.min(Order.due_at))),
                session.scalar(select(func.min(Order.return_after))),
            ]
        return min((moment for moment in soonest if moment is not None), default=None)


class _Silence:
    """From our start until devices have repeated what they said while nobody listened."""

    def __init__(self, is_listening: Callable[[], bool]) -> None:
        self._is_listening = is_listening
        self._over_at: datetime | None = None
        self.until: datetime | None = None
        """When devices could reach us first."""

    def is_over(self, now: datetime) -> bool:
        """Asked at each step."""
        if self._over_at is None or self._over_at > now + DEAF_AT_MOST:  # the clock may have been set back
            self._over_at = now + DEAF_AT_MOST
        if self.until is None and self._is_listening():
            self.until = now
            self._over_at = min(self._over_at, now + DEVICES_REPEAT_WITHIN)
        return now >= self._over_at


def _may_be_judged(heard_since: datetime | None) -> ColumnElement[bool]:
    """Whatever was said of the order's commands has been heard, for all we know."""
    if heard_since is None:
        return true()
    return ~exists().where(MakeCommand.order_id == Order.id, MakeCommand.issued_at <= heard_since)
