"""Which calls to providers are due, counted by shop and priority, and the claim of so many of one kind.

A return that waits for a decision is not due, whatever the clock says. An opening that nobody asked for lately waits
its turn behind everything else: its buyer has heard "try again" long ago, and what is left is only to learn what became
of it.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Row, String, and_, bindparam, case, func, literal, select
from sqlalchemy.orm import Session

from cloud.database.base import UtcDateTime
from cloud.database.plain_rows import table_of
from cloud.database.transaction import Transaction
from cloud.orders import outbox
from cloud.orders.models import Payment
from cloud.orders.outbox import IS_DUE, IS_FREE, IS_OPEN, NOW, WANTED_AT, Lease, OutboxRow
from cloud.orders.tasks import Lane, Task
from cloud.orders.waiting_return import AWAITS_DECISION
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
_is_due = and_(IS_OPEN, IS_DUE, IS_FREE, ~AWAITS_DECISION)
_is_stale = and_(
    _row.c.task == Task.CREATE.value, _row.c.created_at < bindparam("asked_since", type_=UtcDateTime())
)  # fmt: skip
_kind = case((_is_stale, literal(STALE)), else_=_row.c.task)
_of_payment = _payment.c.id == _row.c.subject
_SHOP = (_payment.c.merchant_id, _payment.c.scenario, _payment.c.account_id)
_DUE = select(*_SHOP, _kind.label("kind"), _row.c.due_at).join(_payment, _of_payment).where(_is_due).subquery()
_KINDS = (_DUE.c.merchant_id, _DUE.c.scenario, _DUE.c.account_id, _DUE.c.kind)
_WAITING = select(*_KINDS, func.count(), func.min(_DUE.c.due_at)).group_by(*_KINDS)
_LATER = select(func.min(WANTED_AT)).where(IS_OPEN, WANTED_AT > NOW)
_CLAIM = outbox.claim_first(
    select(_row.c.id)
    .join(_payment, _of_payment)
    .where(_is_due, *(column == bindparam(f"of_{column.key}", type_=String()) for column in _SHOP))
    .where(_kind == bindparam("of_kind", type_=String()))
)


def waiting(session: Session, now: datetime) -> tuple[Sequence[Waiting], datetime | None]:
    """What is due, and when the next call becomes due that is not."""
    connection, asked = session.connection(), outbox.moments(Lane.PROVIDER, now)
    asked["asked_since"] = now - ASKED_LATELY
    groups = [_group(row) for row in connection.execute(_WAITING, asked)]
    later: datetime | None = connection.execute(_LATER, asked).scalar()
    return groups, later


def _group(row: Row[Any]) -> Waiting:
    merchant_id, scenario, account_id, kind, count, since = tuple(row)
    return Waiting(merchant_id, scenario, account_id, PRIORITIES[kind], count, since, kind)


def claim(tx: Transaction, of: Waiting, now: datetime, by: Lease) -> Sequence[OutboxRow]:
    """Take due calls of one kind that nobody holds, the longest waiting first."""
    return outbox.claim_by(
        tx, _CLAIM, Lane.PROVIDER, now, by, asked_since=now - ASKED_LATELY, of_merchant_id=of.merchant_id,
        of_scenario=of.scenario, of_account_id=of.account_id, of_kind=of.kind,
    )  # fmt: skip
