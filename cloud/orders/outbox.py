"""What must be done elsewhere, written in the same commit as the change that wants it: claim, act outside, settle.

A row is claimed with a lease and done at least once: its `key` makes the repeat harmless. The work is done elsewhere.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import (
    Executable,
    Index,
    Integer,
    LargeBinary,
    Select,
    String,
    and_,
    bindparam,
    func,
    or_,
    select,
    text,
    update,
)
from sqlalchemy.orm import Mapped, Session, mapped_column

from cloud.database.base import SERIAL, Base, UtcDateTime
from cloud.database.due import due, is_due, latest
from cloud.database.plain_rows import fresh, plain, table_of
from cloud.database.transaction import Transaction
from cloud.orders.tasks import LANE_OF, Lane, Task

OF_NO_ORDER = "order_id = ''"
"""Tasks that are kept with no order: jobs, messages. An index's condition; queries repeat it word for word."""


class OutboxRow(Base):
    """One task. Unsettled until its outcome is known for certain; `verdict` says which."""

    __tablename__ = "outbox"
    __table_args__ = (
        Index(
            "ix_outbox_due",
            "lane",
            "due_at",
            postgresql_where=text("settled_at IS NULL"),
            sqlite_where=text("settled_at IS NULL"),
        ),
        Index("ix_outbox_of_no_order", "id", postgresql_where=text(OF_NO_ORDER), sqlite_where=text(OF_NO_ORDER)),
    )

    id: Mapped[int] = mapped_column(SERIAL, primary_key=True, autoincrement=True)
    lane: Mapped[str] = mapped_column(String(16))
    task: Mapped[str] = mapped_column(String(16))
    key: Mapped[str] = mapped_column(String(64), unique=True)
    """Names the act: the idempotence key at the provider, the duplicate guard here."""
    order_id: Mapped[str] = mapped_column(String(255), index=True)
    subject: Mapped[str] = mapped_column(String(64), index=True)
    """The make command, or our payment id."""
    amount: Mapped[int] = mapped_column(Integer, default=0)
    call_path: Mapped[str] = mapped_column(String(255), default="")
    call_body: Mapped[bytes | None] = mapped_column(LargeBinary, default=None)
    """The provider call as first sent: the same bytes go again after an unknown outcome."""
    reference: Mapped[str] = mapped_column(String(64), default="")
    """The provider's id of a refund that is under way."""
    created_at: Mapped[datetime]
    due_at: Mapped[datetime]
    undone: Mapped[int] = mapped_column(Integer, default=0)
    """Attempts that certainly did nothing (`tasks.may_be_done`)."""
    first_tried_at: Mapped[datetime | None] = mapped_column(default=None)
    attempts: Mapped[int] = mapped_column(Integer, default=0)
    claimed_by: Mapped[str] = mapped_column(String(64), default="")
    claimed_until: Mapped[datetime | None] = mapped_column(default=None)
    settled_at: Mapped[datetime | None] = mapped_column(default=None)
    verdict: Mapped[str] = mapped_column(String(64), default="")
    last_error: Mapped[str] = mapped_column(String(255), default="")


LONGEST_WAIT = {
    Lane.MQTT: timedelta(minutes=10),
    Lane.TMETR: timedelta(minutes=10),
    Lane.PROVIDER: timedelta(hours=1, minutes=5),
    Lane.NOTIFY: timedelta(hours=25),
    Lane.JOBS: timedelta(minutes=10),
}
"""No row of the lane is ever put off for longer."""
LONGEST_LEASE = timedelta(minutes=2)
SET_BACK = timedelta(seconds=5)
"""What is dated further ahead than this was written before the clock was set back."""
_table = table_of(OutboxRow)
_c = _table.c
NOW = bindparam("now", type_=UtcDateTime())
IS_OPEN = and_(_c.lane == bindparam("of_lane", type_=String()), _c.settled_at.is_(None))
IS_DUE = due(_c.due_at, NOW, bindparam("waits_no_longer", type_=UtcDateTime()))
IS_FREE = or_(_c.claimed_until.is_(None), due(_c.claimed_until, NOW, bindparam("held_no_longer", type_=UtcDateTime())))
"""The same as `is_free`, of an open row; `moments` gives these three their values."""
WANTED_AT = func.coalesce(_c.claimed_until, _c.due_at)
"""When a row wants to be taken: its lease counts while it is held."""
MAY_BE_DONE = _c.attempts > _c.undone
"""The same as `tasks.may_be_done`."""
_of_before_the_set_back = and_(_c.task == Task.MAKE.value, _c.created_at > bindparam("born_by", type_=UtcDateTime()))
"""A drink whose command is not born yet by the clock as it is now: it must not wait until it seems to be in time."""
_NEXT_DUE = select(WANTED_AT).where(IS_OPEN).order_by(WANTED_AT).limit(1)
_RENEW = (
    update(_table)
    .where(_c.key.in_(bindparam("keys", expanding=True)), _c.claimed_by == bindparam("owner"), _c.settled_at.is_(None))
    .values(claimed_until=bindparam("until", type_=UtcDateTime()))
)
_OF_TASKS = and_(_c.order_id == bindparam("of_order"), _c.task.in_(bindparam("tasks", expanding=True)))
_OF_ORDER = select(_table).where(_OF_TASKS).order_by(_c.id)


@dataclass(frozen=True)
class Lease:
    """Whose lease, until when."""

    owner: str
    lease_s: float
    limit: int = 50
    """Rows that one claim takes at most."""

    def until(self, now: datetime) -> datetime:
        return now + timedelta(seconds=self.lease_s)


def topic(lane: Lane) -> str:
    """The topic that wakes the lane's worker when a row of this lane is written."""
    return f"outbox:{lane.value}"


def claim_first(found: Select[tuple[int]]) -> Executable:
    """The claim of the longest due of the rows found, by id: a statement for `claim_by`."""
    first = (
        found.order_by(_c.due_at)
        .limit(bindparam("limit", type_=Integer()))
        .with_for_update(of=_table, skip_locked=True)
        .cte("due")  # taken out once and for all: PostgreSQL could run a subquery again and again
    )
    values = {
        "claimed_by": bindparam("owner", type_=String()), "claimed_until": bindparam("until", type_=UtcDateTime()),
        "attempts": _c.attempts + 1, "first_tried_at": func.coalesce(_c.first_tried_at, NOW),
    }  # fmt: skip
    return update(_table).where(_c.id.in_(select(first.c.id))).values(values).returning(*_c)


def claim_row(row: OutboxRow, by: Lease, now: datetime) -> None:
    """The same of one row, in a transaction that holds its order."""
    row.claimed_by, row.claimed_until = by.owner, by.until(now)
    row.attempts, row.first_tried_at = row.attempts + 1, row.first_tried_at or now


_CLAIM = claim_first(select(_c.id).where(IS_OPEN, or_(IS_DUE, _of_before_the_set_back), IS_FREE))


def claim(tx: Transaction, lane: Lane, now: datetime, by: Lease) -> Sequence[OutboxRow]:
    """Take due rows nobody holds. Their lease ends by itself should the taker die."""
    return claim_by(tx, _CLAIM, lane, now, by, born_by=now + SET_BACK)


def claim_by(
    tx: Transaction, statement: Executable, lane: Lane, now: datetime, by: Lease, **more: object
) -> Sequence[OutboxRow]:
    """The same by a statement of `claim_first` that asks for more."""
    wanted = moments(lane, now) | {"limit": by.limit, "owner": by.owner, "until": by.until(now)} | more
    taken = [plain(OutboxRow, row) for row in tx.connection.execute(statement, wanted)]
    return sorted(taken, key=lambda row: (row.due_at, row.id))  # an UPDATE keeps no order


def moments(lane: Lane, now: datetime) -> dict[str, Any]:
    """What `IS_OPEN`, `IS_DUE` and `IS_FREE` are asked with."""
    return {
        "of_lane": lane.value, "now": now, "waits_no_longer": latest(now, LONGEST_WAIT[lane]),
        "held_no_longer": latest(now, LONGEST_LEASE),
    }  # fmt: skip


def free_all(tx: Transaction) -> None:
    """End every lease: no process that held one is alive."""
    held = and_(_c.settled_at.is_(None), _c.claimed_until.is_not(None))
    tx.session.execute(update(_table).where(held).values(claimed_by="", claimed_until=None))


def renew(tx: Transaction, keys: Sequence[str], owner: str, until: datetime) -> None:
    """Hold these longer, as far as they are still held by `owner`."""
    tx.connection.execute(_RENEW, {"keys": keys, "owner": owner, "until": until})


def is_free(row: OutboxRow, now: datetime) -> bool:
    """Open and not held, or held under a lease that has run out."""
    held = row.claimed_until is not None and not is_due(row.claimed_until, now, LONGEST_LEASE)
    return row.settled_at is None and not held


def add_unordered(tx: Transaction, task: Task, key: str, subject: str, now: datetime) -> None:
    """Write down one act that belongs to no order; due at once. Acts of an order: `order_tasks.add_task`."""
    lane = LANE_OF[task]
    tx.rows.add(
        fresh(
            OutboxRow, lane=lane.value, task=task.value, key=key, order_id="", subject=subject, created_at=now,
            due_at=now,
        )
    )  # fmt: skip
    tx.notify(topic(lane))


def settle_unordered(tx: Transaction, key: str, verdict: str, now: datetime) -> None:
    """Settle a task of no order that need not be done (again), whichever worker holds it. A repeat changes nothing."""
    done = {"claimed_by": "", "claimed_until": None, "settled_at": now, "verdict": verdict[:64], "last_error": ""}
    tx.execute(update(_table).where(_c.key == key, _c.settled_at.is_(None)).values(done))


def reschedule_unordered(tx: Transaction, row: OutboxRow, owner: str, due_at: datetime, why: str) -> None:
    """Have a task of no order tried again at `due_at`, as far as it is still ours."""
    mine = and_(_c.key == row.key, _c.claimed_by == owner, _c.settled_at.is_(None))
    later = {"claimed_by": "", "claimed_until": None, "due_at": due_at, "last_error": why[:255]}
    tx.execute(update(_table).where(mine).values(later))


def write_down(tx: Transaction, row: OutboxRow) -> None:
    """Keep the call as it is about to be sent: a later attempt sends the same bytes."""
    call = {"call_path": row.call_path, "call_body": row.call_body}
    tx.connection.execute(update(_table).where(_c.key == row.key).values(call))


def of_order(session: Session, order_id: str, tasks: frozenset[Task]) -> list[OutboxRow]:
    """All rows of these tasks an order ever had, as they are in the database now, oldest first."""
    wanted = {"of_order": order_id, "tasks": [task.value for task in tasks]}
    return [plain(OutboxRow, row) for row in session.connection().execute(_OF_ORDER, wanted)]


def next_due(session: Session, lane: Lane) -> datetime | None:
    """When the earliest open row wants to be taken (its lease counts while it is held)."""
    soonest: datetime | None = session.connection().execute(_NEXT_DUE, {"of_lane": lane.value}).scalar()
    return soonest
