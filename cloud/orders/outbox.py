"""What must be done elsewhere, promised in the same commit as the change that wants it: claim, act outside, settle.

A row is claimed with a lease and done at least once: its `key` makes the repeat harmless. The work is done elsewhere.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from sqlalchemy import (
    CursorResult,
    Index,
    Integer,
    LargeBinary,
    String,
    and_,
    bindparam,
    func,
    inspect,
    or_,
    select,
    text,
    update,
)
from sqlalchemy.orm import Mapped, Session, mapped_column

from cloud.db import Base, UtcDateTime, after_commit, ring


class Lane(StrEnum):
    """Who takes the row: the courier at the broker, or the cashier at the provider."""

    MQTT = "mqtt"
    PROVIDER = "provider"


class Task(StrEnum):
    """What is to be done."""

    MAKE = "make"
    QUERY = "query"
    CREATE = "create"
    CAPTURE = "capture"
    CANCEL = "cancel"
    REFUND = "refund"


LANE_OF = {task: Lane.MQTT if task in {Task.MAKE, Task.QUERY} else Lane.PROVIDER for task in Task}
RETURNS = frozenset({Task.CANCEL, Task.REFUND})
"""Tasks that give money back."""
WITHDRAWN = "withdrawn"
"""Verdict of a promise taken back before anybody could have kept it."""


class OutboxRow(Base):
    """One promise. Unsettled until its outcome is known for certain; `verdict` says which."""

    __tablename__ = "outbox"
    __table_args__ = (
        Index(
            "ix_outbox_due",
            "lane",
            "due_at",
            postgresql_where=text("settled_at IS NULL"),
            sqlite_where=text("settled_at IS NULL"),
        ),
    )

    id: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=True)
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
    """Attempts that certainly did nothing; when it equals `attempts`, nothing was ever done."""
    first_tried_at: Mapped[datetime | None] = mapped_column(default=None)
    attempts: Mapped[int] = mapped_column(Integer, default=0)
    claimed_by: Mapped[str] = mapped_column(String(64), default="")
    claimed_until: Mapped[datetime | None] = mapped_column(default=None)
    settled_at: Mapped[datetime | None] = mapped_column(default=None)
    verdict: Mapped[str] = mapped_column(String(64), default="")
    last_error: Mapped[str] = mapped_column(String(255), default="")


_now = bindparam("now", type_=UtcDateTime())
_open = and_(OutboxRow.lane == bindparam("of_lane", type_=String()), OutboxRow.settled_at.is_(None))
_DUE = (
    select(OutboxRow.id)
    .where(_open, OutboxRow.due_at <= _now, or_(OutboxRow.claimed_until.is_(None), OutboxRow.claimed_until <= _now))
    .order_by(OutboxRow.due_at)
    .limit(bindparam("limit", type_=Integer()))
    .with_for_update(skip_locked=True)
    .cte("due")  # taken out once and for all: PostgreSQL could run a subquery again and again
)
_CLAIM = (
    update(OutboxRow)
    .where(OutboxRow.id.in_(select(_DUE.c.id)))
    .values(
        claimed_by=bindparam("owner", type_=String()),
        claimed_until=bindparam("until", type_=UtcDateTime()),
        attempts=OutboxRow.attempts + 1,
        first_tried_at=func.coalesce(OutboxRow.first_tried_at, _now),
    )
    .returning(OutboxRow)
    .execution_options(synchronize_session=False)
)
_wanted_at = func.coalesce(OutboxRow.claimed_until, OutboxRow.due_at)
_NEXT_DUE = select(_wanted_at).where(_open).order_by(_wanted_at).limit(1)


@dataclass(frozen=True)
class Claim:
    """Whose lease, until when."""

    owner: str
    lease_s: float
    limit: int = 50


@dataclass(frozen=True)
class AtHand:
    """A lane's worker in this very process: it is given a new row in the commit that writes it, already claimed."""

    claim: Claim
    is_ready: Callable[[], bool]
    prepare: Callable[[Session, OutboxRow], Callable[[], None]]
    """Looks at what the row is about, in the writing transaction; what it gives back is called after the commit."""


def know_at_hand(known: dict[str, Any], lane: Lane, worker: AtHand | None) -> None:
    """Let the sessions that find `known` in their `info` give this lane's rows to `worker`, or to nobody."""
    known[topic(lane)] = worker


def topic(lane: Lane) -> str:
    """What the bell rings when a row of this lane is written."""
    return f"outbox:{lane.value}"


def add(
    session: Session, task: Task, key: str, order_id: str, subject: str, now: datetime, amount: int = 0,
    due_at: datetime | None = None,
) -> OutboxRow:  # fmt: skip
    """Promise one act, in the caller's transaction; due at once unless told otherwise. The key must be new."""
    lane = LANE_OF[task]
    row = OutboxRow(
        lane=lane.value, task=task.value, key=key, order_id=order_id, subject=subject,
        amount=amount, created_at=now, due_at=due_at or now,
    )  # fmt: skip
    at_hand: AtHand | None = session.info.get(topic(lane))
    given = at_hand is not None and row.due_at <= now and at_hand.is_ready()
    if at_hand is not None and given:
        take(row, at_hand.claim, now)
    session.add(row)
    session.flush()
    if at_hand is not None and given:
        _give(session, row, at_hand.prepare(session, row))
    else:
        ring(session, topic(lane))
    return row


def claim(session: Session, lane: Lane, now: datetime, by: Claim) -> Sequence[OutboxRow]:
    """Take due rows nobody holds. Their lease ends by itself should the taker die."""
    until = now + timedelta(seconds=by.lease_s)
    wanted = {"of_lane": lane.value, "now": now, "limit": by.limit, "owner": by.owner, "until": until}
    taken = session.scalars(_CLAIM, wanted)
    return sorted(taken, key=lambda row: (row.due_at, row.id))  # an UPDATE keeps no order


def take(row: OutboxRow, by: Claim, now: datetime) -> None:
    """Claim a row in the transaction that writes it."""
    row.claimed_by, row.claimed_until = by.owner, now + timedelta(seconds=by.lease_s)
    row.attempts, row.first_tried_at = 1, now


def free_all(session: Session) -> None:
    """End every lease: nobody who held one is alive."""
    held = and_(OutboxRow.settled_at.is_(None), OutboxRow.claimed_until.is_not(None))
    session.execute(update(OutboxRow).where(held).values(claimed_by="", claimed_until=None))


def settle(session: Session, row_id: int, owner: str, verdict: str, now: datetime) -> bool:
    """The act's outcome is known. False when the lease was lost: someone else may have settled it."""
    return _release(session, row_id, owner, {"settled_at": now, "verdict": verdict[:64], "last_error": ""})


def put_off(session: Session, row_id: int, owner: str, due_at: datetime, error: str) -> bool:
    """Not known yet, or not possible now: again at `due_at`."""
    return _release(session, row_id, owner, {"due_at": due_at, "last_error": error[:255]})


def withdraw(session: Session, order_id: str, tasks: frozenset[Task], now: datetime, subject: str | None = None) -> int:
    """Take back promises nobody has begun to keep. What may have been done once cannot be taken back.

    Judged by the database at the moment of the change: another worker may have claimed the row since it was read.
    """
    wanted = and_(
        OutboxRow.order_id == order_id,
        OutboxRow.task.in_([task.value for task in tasks]),
        OutboxRow.settled_at.is_(None),
        OutboxRow.attempts == OutboxRow.undone,
        OutboxRow.subject == subject if subject is not None else text("1=1"),
    )
    taking_back = update(OutboxRow).where(wanted).values(settled_at=now, verdict=WITHDRAWN)
    done: CursorResult[Any] = session.execute(  # type: ignore[assignment]  # an UPDATE gives a CursorResult
        taking_back.execution_options(synchronize_session=False)
    )
    return done.rowcount


def of_order(session: Session, order_id: str, tasks: frozenset[Task]) -> Sequence[OutboxRow]:
    """All rows of these tasks an order ever had, as they are in the database now, oldest first."""
    wanted = OutboxRow.task.in_([task.value for task in tasks])
    rows = select(OutboxRow).where(OutboxRow.order_id == order_id, wanted).order_by(OutboxRow.id)
    return session.scalars(rows.execution_options(populate_existing=True)).all()


def next_due(session: Session, lane: Lane) -> datetime | None:
    """When the earliest open row wants to be taken (its lease counts while it is held)."""
    return session.scalar(_NEXT_DUE, {"of_lane": lane.value})


def _give(session: Session, row: OutboxRow, begin: Callable[[], None]) -> None:
    def give() -> None:
        if not inspect(row).transient:  # a savepoint taken back took the row with it
            begin()

    after_commit(session, give)


def _release(session: Session, row_id: int, owner: str, values: dict[str, object]) -> bool:
    mine = and_(OutboxRow.id == row_id, OutboxRow.claimed_by == owner, OutboxRow.settled_at.is_(None))
    done: CursorResult[Any] = session.execute(  # type: ignore[assignment]  # an UPDATE gives a CursorResult
        update(OutboxRow).where(mine).values(claimed_by="", claimed_until=None, **values)
    )
    return done.rowcount == 1
