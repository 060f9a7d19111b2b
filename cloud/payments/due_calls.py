"""Which calls to providers are due, counted by shop and priority, and the claim of so many of one kind.

A return whose order is undecided is not due, whatever the clock says. An opening that nobody has asked for lately waits
its turn behind everything else: its buyer has heard "try again" long ago, and what is left is only to learn what became
of it.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Integer, Row, String, and_, bindparam, case, func, literal, or_, select, update
from sqlalchemy.orm import Session

from cloud.database.base import UtcDateTime
from cloud.database.due import due
from cloud.database.plain_rows import plain, table_of
from cloud.database.transaction import Transaction
from cloud.orders.models import Payment
from cloud.orders.outbox import LONGEST_LEASE, LONGEST_WAIT, Claim, OutboxRow
from cloud.orders.tasks import Lane, Task
from cloud.orders.undecided import AWAITS_DECISION
from cloud.payments.admission import Waiting
from cloud.payments.budget import Priority

ASKED_LATELY = timedelta(seconds=30)
STALE = "stale"
"""An opening whose buyer has given up, as a kind of its own."""

PRIORITIES = {
    Task.CREATE.value: Priority.CREATE, Task.CAPTURE.value: Priority.CAPTURE, Task.CANCEL.value: Priority.RETURN,
    Task.REFUND.value: Priority.RETURN, STALE: Priority.POLL,
}  # fmt: skip

_row, _payment = table_of(OutboxRow), table_of(Payment)
_now = bindparam("now", type_=UtcDateTime())
_open = and_(_row.c.lane == Lane.PROVIDER.value, _row.c.settled_at.is_(None))
_is_due = and_(
    _open,
    due(_row.c.due_at, _now, bindparam("waits_no_longer", type_=UtcDateTime())),
    or_(
        _row.c.claimed_until.is_(None),
        due(_row.c.claimed_until, _now, bindparam("held_no_longer", type_=UtcDateTime())),
    ),
    ~AWAITS_DECISION,
)
_is_stale = and_(
    _row.c.task == Task.CREATE.value, _row.c.created_at < bindparam("asked_since", type_=UtcDateTime())
)  # fmt: skip
_kind = case((_is_stale, literal(STALE)), else_=_row.c.task)
_of_payment = _payment.c.id == _row.c.subject
_SHOP = (_payment.c.merchant_id, _payment.c.scenario, _payment.c.account_id)
_DUE = select(*_SHOP, _kind.label("kind"), _row.c.due_at).join(_payment, _of_payment).where(_is_due).subquery()
_KINDS = (_DUE.c.merchant_id, _DUE.c.scenario, _DUE.c.account_id, _DUE.c.kind)
_WAITING = select(*_KINDS, func.count(), func.min(_DUE.c.due_at)).group_by(*_KINDS)
_wanted_at = func.coalesce(_row.c.claimed_until, _row.c.due_at)
_LATER = select(func.min(_wanted_at)).where(_open, _wanted_at > _now)
_FIRST = (
    select(_row.c.id)
    .join(_payment, _of_payment)
    .where(_is_due, *(column == bindparam(f"of_{column.key}", type_=String()) for column in _SHOP))
    .where(_kind == bindparam("of_kind", type_=String()))
    .order_by(_row.c.due_at)
    .limit(bindparam("limit", type_=Integer()))
    .with_for_update(of=_row, skip_locked=True)
    .cte("due")  # taken out once and for all: PostgreSQL could run a subquery again and again
)
_CLAIM = (
    update(_row)
    .where(_row.c.id.in_(select(_FIRST.c.id)))
    .values(
        claimed_by=bindparam("owner", type_=String()),
        claimed_until=bindparam("until", type_=UtcDateTime()),
        attempts=_row.c.attempts + 1,
        first_tried_at=func.coalesce(_row.c.first_tried_at, _now),
    )
    .returning(*_row.c)
)


def waiting(session: Session, now: datetime) -> tuple[Sequence[Waiting], datetime | None]:
    """What is due, and when the next call becomes due that is not."""
    connection, asked = session.connection(), _moments(now)
    groups = [_group(row) for row in connection.execute(_WAITING, asked)]
    later: datetime | None = connection.execute(_LATER, {"now": now}).scalar()
    return groups, later


def _group(row: Row[Any]) -> Waiting:
    merchant_id, scenario, account_id, kind, count, since = tuple(row)
    return Waiting(merchant_id, scenario, account_id, PRIORITIES[kind], count, since, kind)


def claim(tx: Transaction, of: Waiting, now: datetime, by: Claim) -> Sequence[OutboxRow]:
    """Take due calls of one kind that nobody holds, the longest waiting first."""
    wanted = _moments(now) | {
        "limit": by.limit, "owner": by.owner, "until": now + timedelta(seconds=by.lease_s),
        "of_merchant_id": of.merchant_id, "of_scenario": of.scenario, "of_account_id": of.account_id,
        "of_kind": of.kind,
    }  # fmt: skip
    taken = [plain(OutboxRow, row) for row in tx.connection.execute(_CLAIM, wanted)]
    return sorted(taken, key=lambda row: (row.due_at, row.id))


def _moments(now: datetime) -> dict[str, Any]:
    return {
        "now": now, "asked_since": now - ASKED_LATELY, "waits_no_longer": now + LONGEST_WAIT[Lane.PROVIDER],
        "held_no_longer": now + LONGEST_LEASE,
    }  # fmt: skip
