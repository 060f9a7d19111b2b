"""What must be done elsewhere, promised in the same commit as the change that wants it: claim, act outside, settle.

A row is claimed with a lease and done at least once: its `key` makes the repeat harmless. The work is done elsewhere.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from sqlalchemy import (
    Index,
    Integer,
    LargeBinary,
    String,
    Update,
    and_,
    bindparam,
    case,
    func,
    insert,
    null,
    or_,
    select,
    text,
    update,
)
from sqlalchemy.orm import Mapped, Session, mapped_column

from cloud.commits import after_commit, ring
from cloud.db import Base, UtcDateTime
from cloud.rows import fresh, plain, table_of


class Lane(StrEnum):
    """Who takes the row: the courier at the broker or at the Tmetr API, or the cashier at the provider."""

    MQTT = "mqtt"
    TMETR = "tmetr"
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
"""The lane of a task for which nobody names another."""
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


_table = table_of(OutboxRow)
_c = _table.c
_now = bindparam("now", type_=UtcDateTime())
_open = and_(_c.lane == bindparam("of_lane", type_=String()), _c.settled_at.is_(None))
_DUE = (
    select(_c.id)
    .where(_open, _c.due_at <= _now, or_(_c.claimed_until.is_(None), _c.claimed_until <= _now))
    .order_by(_c.due_at)
    .limit(bindparam("limit", type_=Integer()))
    .with_for_update(skip_locked=True)
    .cte("due")  # taken out once and for all: PostgreSQL could run a subquery again and again
)
_CLAIM = (
    update(_table)
    .where(_c.id.in_(select(_DUE.c.id)))
    .values(
        claimed_by=bindparam("owner", type_=String()),
        claimed_until=bindparam("until", type_=UtcDateTime()),
        attempts=_c.attempts + 1,
        first_tried_at=func.coalesce(_c.first_tried_at, _now),
    )
    .returning(*_c)
)
_wanted_at = func.coalesce(_c.claimed_until, _c.due_at)
_NEXT_DUE = select(_wanted_at).where(_open).order_by(_wanted_at).limit(1)
_ADD = insert(_table).returning(_c.id)
_NEW = tuple(c.key for c in _c if c is not _c.id)
_MINE = and_(_c.id == bindparam("row"), _c.claimed_by == bindparam("owner"), _c.settled_at.is_(None))
_LET_GO = update(_table).where(_MINE).values(claimed_by="", claimed_until=None)
_SETTLE = _LET_GO.values(settled_at=_now, verdict=bindparam("how"), last_error="")
_PUT_OFF = _LET_GO.values(due_at=bindparam("at", type_=UtcDateTime()), last_error=bindparam("why"))
_TAKEN = ("claimed_by", "claimed_until", "attempts", "first_tried_at")
_NOT_BEGUN = and_(_c.settled_at.is_(None), _c.attempts == _c.undone)
_OF_TASKS = and_(_c.order_id == bindparam("of_order"), _c.task.in_(bindparam("tasks", expanding=True)))
_WITHDRAW = update(_table).where(_NOT_BEGUN, _OF_TASKS).values(settled_at=_now, verdict=WITHDRAWN)
_WITHDRAW_ONE = _WITHDRAW.where(_c.subject == bindparam("of", type_=String()))
_OF_ORDER = select(_table).where(_OF_TASKS).order_by(_c.id)


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
    prepare: Callable[[Session, OutboxRow], Callable[[], None] | None]
    """Looks at what the row is about, in the transaction about to write it, and may write the call into it.

    What it gives back is called after the commit; None leaves the row to whoever looks for it.
    """


def know_at_hand(known: dict[str, Any], lane: Lane, worker: AtHand | None) -> None:
    """Let the sessions that find `known` in their `info` give this lane's rows to `worker`, or to nobody."""
    known[topic(lane)] = worker


def topic(lane: Lane) -> str:
    """What the bell rings when a row of this lane is written."""
    return f"outbox:{lane.value}"


def add(
    session: Session, task: Task, key: str, order_id: str, subject: str, now: datetime, amount: int = 0,
    due_at: datetime | None = None, lane: Lane | None = None,
) -> OutboxRow:  # fmt: skip
    """Promise one act, in the caller's transaction; due at once unless told otherwise. The key must be new."""
    lane = lane or LANE_OF[task]
    row = fresh(
        OutboxRow, lane=lane.value, task=task.value, key=key, order_id=order_id, subject=subject, amount=amount,
        created_at=now, due_at=due_at or now,
    )  # fmt: skip
    at_hand: AtHand | None = session.info.get(topic(lane))
    begin = at_hand.prepare(session, row) if at_hand is not None and row.due_at <= now else None
    if at_hand is not None and begin is not None:
        _mark_taken(row, at_hand.claim, now)
        after_commit(session, begin)
    else:
        ring(session, topic(lane))
    row.id = session.connection().execute(_ADD, {name: row.__dict__[name] for name in _NEW}).scalar_one()
    return row


def claim(session: Session, lane: Lane, now: datetime, by: Claim) -> Sequence[OutboxRow]:
    """Take due rows nobody holds. Their lease ends by itself should the taker die."""
    until = now + timedelta(seconds=by.lease_s)
    wanted = {"of_lane": lane.value, "now": now, "limit": by.limit, "owner": by.owner, "until": until}
    taken = [plain(OutboxRow, row) for row in session.connection().execute(_CLAIM, wanted)]
    return sorted(taken, key=lambda row: (row.due_at, row.id))  # an UPDATE keeps no order


def take(session: Session, row: OutboxRow, by: Claim, now: datetime) -> None:
    """Claim a row in the transaction that wrote it."""
    _mark_taken(row, by, now)
    note(session, row.id, **{name: getattr(row, name) for name in _TAKEN})


def _mark_taken(row: OutboxRow, by: Claim, now: datetime) -> None:
    row.claimed_by, row.claimed_until = by.owner, now + timedelta(seconds=by.lease_s)
    row.attempts, row.first_tried_at = 1, now


def free_all(session: Session) -> None:
    """End every lease: nobody who held one is alive."""
    held = and_(_c.settled_at.is_(None), _c.claimed_until.is_not(None))
    session.execute(update(_table).where(held).values(claimed_by="", claimed_until=None))


def settle(session: Session, row_id: int, owner: str, verdict: str, now: datetime) -> bool:
    """The act's outcome is known. False when the lease was lost: someone else may have settled it."""
    return _changed(session, _SETTLE, {"row": row_id, "owner": owner, "now": now, "how": verdict[:64]}) == 1


def put_off(session: Session, row_id: int, owner: str, due_at: datetime, error: str) -> bool:
    """Not known yet, or not possible now: again at `due_at`."""
    return _changed(session, _PUT_OFF, {"row": row_id, "owner": owner, "at": due_at, "why": error[:255]}) == 1


def nothing_done(session: Session, row_id: int) -> None:
    """The attempt under way has certainly done nothing. Before the first that may have, no key has an age."""
    never_begun = _c.undone + 1 >= _c.attempts
    values = {"undone": _c.undone + 1, "first_tried_at": case((never_begun, null()), else_=_c.first_tried_at)}
    session.execute(update(_table).where(_c.id == row_id).values(values))


def note(session: Session, row_id: int, **facts: object) -> None:
    """Write down what a later attempt must know: the call as it is sent, or the provider's id of a refund."""
    session.execute(update(_table).where(_c.id == row_id).values(facts))


def amend(session: Session, row: OutboxRow, amount: int, due_at: datetime) -> None:
    """A promise nobody has begun to keep: another amount, or sooner."""
    sooner = due_at < row.due_at
    if sooner or amount != row.amount:
        values = {"amount": amount, "due_at": min(due_at, row.due_at)}
        session.execute(update(_table).where(_c.id == row.id, _c.attempts == 0).values(values))
    if sooner:
        ring(session, topic(Lane(row.lane)))


def withdraw(session: Session, order_id: str, tasks: frozenset[Task], now: datetime, subject: str | None = None) -> int:
    """Take back promises nobody has begun to keep. What may have been done once cannot be taken back.

    Judged by the database at the moment of the change: another worker may have claimed the row since it was read.
    """
    values: dict[str, object] = {"of_order": order_id, "tasks": [task.value for task in tasks], "now": now}
    if subject is None:
        return _changed(session, _WITHDRAW, values)
    return _changed(session, _WITHDRAW_ONE, values | {"of": subject})


def of_order(session: Session, order_id: str, tasks: frozenset[Task]) -> list[OutboxRow]:
    """All rows of these tasks an order ever had, as they are in the database now, oldest first."""
    wanted = {"of_order": order_id, "tasks": [task.value for task in tasks]}
    return [plain(OutboxRow, row) for row in session.connection().execute(_OF_ORDER, wanted)]


def row(session: Session, row_id: int) -> OutboxRow:
    """One row as it is in the database now."""
    return plain(OutboxRow, session.connection().execute(select(_table).where(_c.id == row_id)).one())


def next_due(session: Session, lane: Lane) -> datetime | None:
    """When the earliest open row wants to be taken (its lease counts while it is held)."""
    soonest: datetime | None = session.connection().execute(_NEXT_DUE, {"of_lane": lane.value}).scalar()
    return soonest


def _changed(session: Session, statement: Update, values: dict[str, object]) -> int:
    return session.connection().execute(statement, values).rowcount
