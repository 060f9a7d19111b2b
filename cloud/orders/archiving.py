"""Which orders may rest in the archive, and the loop that puts them there, a few at a time, the oldest first.

Only what has ended in every way: no money at risk, nothing to do or to ask, no person waiting for an answer, nothing
that was not rolled up. What is left out is looked at again with the next round.
"""

import logging
from collections.abc import Collection, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import Select, func, or_, select, text, tuple_

from cloud.database.database import Database
from cloud.database.transaction import Transaction
from cloud.orders.archive import ArchivedOrder, bring_back, put_away
from cloud.orders.at_risk import endangered
from cloud.orders.claims import UNRESOLVED, Claim
from cloud.orders.commissions import Commission
from cloud.orders.models import MakeCommand, Movement, Order, OrderChange, Payment
from cloud.orders.order_counts import MARK
from cloud.orders.outbox import OutboxRow
from cloud.orders.paying import FINAL_STATES
from cloud.orders.receipts import TOLD_FOR, UNREGISTERED, Receipt
from cloud.orders.return_requests import IS_OPEN, ReturnRequest
from cloud.orders.sales_days import mark_of
from cloud.orders.sales_tables import SalesMark
from cloud.orders.states import FINAL, values_of

log = logging.getLogger("cloud.orders.archive")

BATCH = 50
"""Orders looked at in one transaction: on SQLite everybody else waits for it."""
SOON, LATER = timedelta(seconds=0.5), timedelta(hours=1)
STAYS_FOR = timedelta(days=1)
"""What somebody looked for in the archive."""
LONGEST = timedelta(days=36_500)
"""A rest longer than this is never over; there is no date so long ago."""
_FIRST = (datetime(1970, 1, 1, tzinfo=UTC), "")
Place = tuple[datetime, str]
"""How far the orders have been looked at, by their creation."""


class Archiving:
    """One per worker; several share the orders, as nobody waits for one that is held. `after`: of an order's rest."""

    def __init__(self, database: Database, after: timedelta) -> None:
        self._database = database
        self._after = after
        self._place = _FIRST
        self._twins = set[str]()

    def step(self, now: datetime) -> datetime:
        """Look at some; when to go on."""
        place, archived, twins = self._database.transact(archive_some, self._place, self._after, now)
        if archived:
            log.info("%d orders rest in the archive", archived)
        for order_id in sorted(twins - self._twins):
            log.warning("another order of this number rests in the archive: it stays out", extra={"order_id": order_id})
        self._twins |= twins
        self._place = place or _FIRST
        return now + (LATER if place is None else SOON)


def bring_back_next(tx: Transaction, place: str, now: datetime) -> tuple[str | None, int]:
    """Empty the archive by its next `BATCH` orders: how far that went, None at the end; how many came back."""
    resting = select(ArchivedOrder.order_id).where(ArchivedOrder.order_id > place).order_by(ArchivedOrder.order_id)
    order_ids = tx.session.scalars(resting.limit(BATCH)).all()
    return (order_ids[-1], len(bring_back(tx, order_ids, now))) if order_ids else (None, 0)


def archive_some(tx: Transaction, place: Place, after: timedelta, now: datetime) -> tuple[Place | None, int, set[str]]:
    """Look at the next `BATCH` orders of that age: how far that went, None at the end; how many rest from now on.

    The third are those that `put_away` left out.
    """
    session, until = tx.session, now - min(after, LONGEST)
    by_age = tuple_(Order.created_at, Order.id)
    next_ones = select(Order.created_at, Order.id).where(Order.created_at < until, by_age > place)
    looked_at = session.execute(next_ones.order_by(Order.created_at, Order.id).limit(BATCH)).all()
    order_ids = _held(tx, [row.id for row in looked_at], now)
    resting = order_ids - _kept(tx, order_ids, until, now) if order_ids else set()
    twins = put_away(tx, sorted(resting), now) if resting else set()
    is_over = len(looked_at) < BATCH
    return None if is_over else (looked_at[-1].created_at, looked_at[-1].id), len(resting - twins), twins


def _held(tx: Transaction, order_ids: Collection[str], now: datetime) -> set[str]:
    """Those of them that have ended, locked, with their payments: a webhook moves these without their order."""
    has_ended = (Order.status.in_(values_of(FINAL)), Order.due_at.is_(None))
    nobody_waits = (Order.return_after.is_(None), Order.waits_for_person.is_(False))
    stays = Order.brought_back_at > now - STAYS_FOR
    ended = select(Order.id).where(
        Order.id.in_(order_ids), *has_ended, *nobody_waits, or_(Order.brought_back_at.is_(None), ~stays)
    )
    held = set(tx.session.scalars(ended.order_by(Order.id).with_for_update(skip_locked=True)))
    tx.session.execute(select(Payment.id).where(Payment.order_id.in_(held)).order_by(Payment.id).with_for_update())
    return held


def _kept(tx: Transaction, order_ids: Collection[str], until: datetime, now: datetime) -> set[str]:
    """Those of them that something still happens to, or that somebody may point at."""
    found = select(SalesMark).order_by(SalesMark.name).with_for_update(read=True)
    marks = {mark.name: mark.number for mark in tx.session.scalars(found)}  # so a roll-up finds an order in one place
    kept = endangered(tx.session, order_ids, now)
    for busy in (*_busy(until, now), *_not_rolled_up(marks), *_newest()):
        column = busy.selected_columns[0]
        kept.update(tx.session.scalars(busy.where(column.in_(order_ids))))
    return kept


def _busy(until: datetime, now: datetime) -> Iterator[Select[Any]]:
    is_open = Payment.state.not_in([state.value for state in FINAL_STATES])
    is_asked = or_(Payment.next_check_at.is_not(None), Payment.told_at.is_not(None))
    yield select(Payment.order_id).where(or_(is_open, is_asked))
    yield select(MakeCommand.order_id).where(MakeCommand.live)
    yield select(OutboxRow.order_id).where(OutboxRow.settled_at.is_(None))
    yield select(Receipt.order_id).where(Receipt.next_check_at.is_not(None))
    yield select(Receipt.order_id).where(text(UNREGISTERED), Receipt.since > now - TOLD_FOR)
    yield select(Claim.order_id).where(text(UNRESOLVED))
    yield select(ReturnRequest.order_id).where(text(IS_OPEN))
    yield select(OrderChange.order_id).where(OrderChange.at >= until)
    yield select(Movement.order_id).where(Movement.at >= until)


def _not_rolled_up(marks: dict[str, int]) -> Iterator[Select[Any]]:
    for name in (mark_of(OrderChange), MARK):
        yield select(OrderChange.order_id).where(OrderChange.id > marks.get(name, 0))
    yield select(Movement.order_id).where(Movement.id > marks.get(mark_of(Movement), 0))
    told = select(Payment.order_id).join(Commission, Commission.payment_id == Payment.id)
    yield told.where(Commission.id > marks.get(mark_of(Commission), 0))


def _newest() -> Iterator[Select[Any]]:
    """People know these by their numbers, and SQLite gives the last one again once its row is gone."""
    for kind in (Claim, ReturnRequest):
        yield select(kind.order_id).where(kind.id == select(func.max(kind.id)).scalar_subquery())
