"""Notices every order that has waited too long where it is. `making` says what a missed deadline means.

After all workers, or the database, were away a device's word may be on its way to us, or with us and not stored: for a
moment nothing is decided without it.
"""

import logging
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import NamedTuple

from sqlalchemy import (
    BindParameter,
    ColumnElement,
    Executable,
    Select,
    and_,
    bindparam,
    exists,
    func,
    or_,
    select,
    true,
)
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import InstrumentedAttribute

from cloud.background.loops import Clock
from cloud.database.database import Database, Held
from cloud.database.due import due, latest
from cloud.database.transaction import Transaction
from cloud.orders import making
from cloud.orders.locked_order import lock_order
from cloud.orders.models import MakeCommand, Order, Payment
from cloud.orders.money import PaymentState
from cloud.orders.order_limits import OrderLimits
from cloud.orders.states import Status
from protocol.messages import REPEAT_WITHIN_S

log = logging.getLogger("cloud.orders.deadlines")

LOOK_AT_LEAST_S = 1.0
BATCH = 200
HELD_AGAIN = timedelta(seconds=5)
"""An order that somebody else holds (an operator's open transaction) is tried again after this."""
CLOSING = timedelta(days=1)
"""So long before the provider lets a hold go, it is decided about (docs/yookassa.md 2.2)."""
DEVICES_REPEAT_WITHIN = timedelta(seconds=REPEAT_WITHIN_S + 2)
"""So long after nobody could hear or store a word of theirs it has come again: their own pause, and its way to us."""
DEAF_AT_MOST = timedelta(seconds=60)
"""After our start: a broker that stays away stops no deadline."""


class Deadlines:
    """The loop over `due_at` and `return_after`; many workers may run it, each order is judged under its lock.

    `is_listening` tells whether devices can reach this process; without it they always could. `lag_s` tells how old the
    oldest of their words is that was not read yet: what is unread here is no silence of theirs. `clock` tells at which
    moment an order is judged, when it is held; without it that is the step's.
    """

    def __init__(
        self, database: Database, rules: OrderLimits, is_listening: Callable[[], bool] | None = None,
        lag_s: Callable[[], float] = lambda: 0.0, clock: Clock | None = None,
    ) -> None:  # fmt: skip
        self._database = database
        self._rules = rules
        self._lag_s = lag_s
        self._clock = clock
        self._is_listening = is_listening
        self._silence = self._silence_from_now()
        self._held: dict[str, datetime] = {}
        """Orders somebody else holds, and when they are tried again."""

    def step(self, now: datetime) -> datetime:
        """Move what is due; when to look again."""
        later = now + timedelta(seconds=LOOK_AT_LEAST_S)
        heard = _Heard(self._heard_since(now))
        try:
            soonest = self._soonest(now)
        except DBAPIError:
            self._silence = self._silence_from_now()
            raise
        if soonest is None or soonest > now:
            return min(later, soonest or later)
        heard = heard._replace(until=self._heard_until(now))
        self._held = {
            order_id: again_at for order_id, again_at in self._held.items() if now < again_at <= now + HELD_AGAIN
        }
        judged = [self._judge(now, order_id, making.handle_deadline, self._rules) for order_id in self._due(now, heard)]
        judged += [
            self._judge(now, order_id, making.end_grace, self._rules) for order_id in self._graces_over(now, heard)
        ]
        judged += [self._judge(now, order_id, making.settle_closing_hold) for order_id in self._holds_closing(now)]
        if self._held or heard != _Heard() or not all(judged):
            return later
        return min(later, self._soonest(now) or later) if judged else later

    def _silence_from_now(self) -> "_Silence | None":
        return None if self._is_listening is None else _Silence(self._is_listening)

    def _heard_since(self, now: datetime) -> datetime | None:
        """Of commands issued before it a word may be on its way to us; None when none can be any more."""
        if self._silence is not None and self._silence.is_over(now):
            self._silence = None
        return None if self._silence is None else self._silence.until or now

    def _heard_until(self, now: datetime) -> datetime | None:
        """What devices said later may not be read yet; None when all of it is. Unread for too long, it is waited for no
        more."""
        lag = min(timedelta(seconds=self._lag_s()), DEAF_AT_MOST)
        return now - lag if lag else None

    def _judge(self, now: datetime, order_id: str, rule: Callable[..., None], *facts: object) -> bool:
        """One order that cannot be judged must not keep all others waiting; it stays due."""
        try:
            self._database.transact(self._apply, now, order_id, rule, *facts, waits_for_locks=False)
        except Held:
            log.warning("somebody else holds the order, its deadline must wait", extra={"order_id": order_id})
            self._held[order_id] = now + HELD_AGAIN
            return False
        except Exception:
            log.exception("a missed deadline could not be judged", extra={"order_id": order_id})
            return False
        return True

    def _apply(self, tx: Transaction, now: datetime, order_id: str, rule: Callable[..., None], *facts: object) -> None:
        """By the moment it is held: this process may have stood still, and a grace counted from before be over."""
        lock_order(tx, order_id)
        rule(tx, order_id, *facts, now if self._clock is None else self._clock())

    def _due(self, now: datetime, heard: "_Heard") -> list[str]:
        by_itself = or_(Order.status != Status.MAKE_PENDING.value, _may_be_judged(heard, Order.due_at))
        with self._database.read() as session:
            found = select(Order.id).where(self._is_due(now), by_itself, self._is_free(Order.id))
            return list(session.scalars(found.order_by(Order.due_at).limit(BATCH)))

    def _graces_over(self, now: datetime, heard: "_Heard") -> list[str]:
        may_be = _may_be_judged(heard, Order.return_after)
        found = select(Order.id).where(self._is_over(now), may_be, self._is_free(Order.id))
        with self._database.read() as session:
            return list(session.scalars(found.order_by(Order.return_after).limit(BATCH)))

    def _holds_closing(self, now: datetime) -> list[str]:
        """Of the few orders that wait for a person."""
        found = _closing_holds(now + CLOSING).where(self._is_free(Payment.order_id))
        with self._database.read() as session:
            return list(session.scalars(found.limit(BATCH)))

    def _is_free(self, order_id: ColumnElement[str] | InstrumentedAttribute[str]) -> ColumnElement[bool]:
        """Those that were held a moment ago stand in nobody's way."""
        return order_id.not_in(self._held) if self._held else true()

    def _is_due(self, now: datetime) -> ColumnElement[bool]:
        return due(Order.due_at, now, latest(now, self._rules.longest_wait))

    def _is_over(self, now: datetime) -> ColumnElement[bool]:
        return due(Order.return_after, now, latest(now, self._rules.uncertain_grace))

    def _soonest(self, now: datetime) -> datetime | None:
        """All that is asked while nothing is due, each second: one look."""
        rules = self._rules
        values = {
            "now": now, "latest_due": latest(now, rules.longest_wait),
            "latest_return": latest(now, rules.uncertain_grace), "closing": now + CLOSING,
        }  # fmt: skip
        [[*moments, is_overdue]] = self._database.look(_SOONEST, values)
        return now if is_overdue else min((moment for moment in moments if moment is not None), default=None)


class _Heard(NamedTuple):
    """What devices said and we may not have heard; nothing, where both are empty."""

    since: datetime | None = None
    """Of commands issued before this: said while nobody listened."""
    until: datetime | None = None
    """After this: arrived here, and waits to be read."""


class _Silence:
    """From our start, or the database's return, until devices have repeated what nobody could hear or store."""

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


def _closing_holds(until: datetime | BindParameter[datetime]) -> Select[str]:
    """One whose end the provider does not name (T-Bank) is not among them: it is let go over there."""
    closing = and_(Payment.state == PaymentState.HELD.value, Payment.hold_expires_at <= until)
    of_a_person = Payment.order_id.in_(select(Order.id).where(Order.waits_for_person))
    return select(Payment.order_id).where(of_a_person, closing)


def _may_be_judged(heard: _Heard, due_at: InstrumentedAttribute[datetime | None]) -> ColumnElement[bool]:
    """Whatever was said of the order's commands until it was due has been heard, for all we know."""
    is_read = true() if heard.until is None else due_at <= heard.until
    if heard.since is None:
        return is_read
    return and_(is_read, ~exists().where(MakeCommand.order_id == Order.id, MakeCommand.issued_at <= heard.since))


def _soonest_question() -> Executable:
    waiting = [select(func.min(at)).scalar_subquery() for at in (Order.due_at, Order.return_after)]
    now = bindparam("now", type_=Order.due_at.type)
    ends = ((Order.due_at, "latest_due"), (Order.return_after, "latest_return"))
    # Each bound a question of its own: with them in one SQLite reads every order there ever was.
    bounds = [bound for at, latest in ends for bound in (at <= now, at > bindparam(latest, type_=at.type))]
    holds = _closing_holds(bindparam("closing", type_=Order.due_at.type))
    return select(*waiting, or_(*(exists().where(bound) for bound in bounds), exists(holds)))


_SOONEST = _soonest_question()
