"""Each worker's sign of life in the database, and the question `/ready` asks of it: is someone doing the work?"""

from collections.abc import Sequence
from datetime import datetime, timedelta

from sqlalchemy import Boolean, Float, String, delete, select, true
from sqlalchemy.orm import Mapped, Session, mapped_column

from cloud.database.base import Base
from cloud.database.database import Database
from cloud.database.due import due
from cloud.database.transaction import Transaction

EVERY_S = 5.0
SQLITE_EVERY_S = 30.0
"""There each beat is some pages of the disk, and an idle cloud sleeps."""
MISSED_AFTER = 2.5
"""Beats."""
FORGOTTEN_AFTER_S = 24 * 3600.0
FAR_BEHIND_S = 10.0
"""What machines said waits so long to be read: a buyer who pays now would not be told in time how it went."""
UNREAD_S = 1.0
"""What waits no longer is being read this moment."""
LONGEST_TROUBLE = 200


class WorkerLife(Base):
    """One worker process, while it lives."""

    __tablename__ = "workers"

    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    seen_at: Mapped[datetime]
    broker_connected: Mapped[bool] = mapped_column(Boolean, default=False)
    hears_devices: Mapped[bool] = mapped_column(Boolean, default=True, server_default=true())
    """Subscribed to what they say; without shared subscriptions one worker of many is."""
    lag_s: Mapped[float] = mapped_column(Float, default=0.0, server_default="0")
    """For how long the oldest message of theirs has been waiting for it."""
    broker_trouble: Mapped[str] = mapped_column(String(LONGEST_TROUBLE), default="", server_default="")


def beat(
    tx: Transaction, worker: str, broker_connected: bool, now: datetime, *, hears_devices: bool = True,
    lag_s: float = 0.0, trouble: str = "",
) -> datetime:  # fmt: skip
    """This worker is alive now, and stands so with the broker; when it must say so again."""
    life = WorkerLife(
        id=worker, seen_at=now, broker_connected=broker_connected, hears_devices=hears_devices, lag_s=lag_s,
        broker_trouble=trouble[:LONGEST_TROUBLE],
    )  # fmt: skip
    tx.session.get(WorkerLife, worker, with_for_update=True)  # nobody forgets it meanwhile
    tx.session.merge(life)
    over = due(WorkerLife.seen_at, now - timedelta(seconds=FORGOTTEN_AFTER_S), now + every(tx.session))
    forgotten = select(WorkerLife.id).where(over).with_for_update(skip_locked=True)
    tx.session.execute(delete(WorkerLife).where(WorkerLife.id.in_(forgotten)))
    return now + every(tx.session)


def leave(tx: Transaction, worker: str) -> None:
    """This worker ends in order: nobody need wait to miss it."""
    tx.session.execute(delete(WorkerLife).where(WorkerLife.id == worker))


def every(session: Session) -> timedelta:
    """How often a worker gives a sign of life."""
    is_sqlite = session.get_bind().dialect.name == "sqlite"
    return timedelta(seconds=SQLITE_EVERY_S if is_sqlite else EVERY_S)


def alive(session: Session, now: datetime) -> Sequence[WorkerLife]:
    """Workers that have given it lately; one given far ahead of `now` is of before the clock was set back."""
    beat_every = every(session)
    missed = due(WorkerLife.seen_at, now - MISSED_AFTER * beat_every, now + beat_every)
    return session.scalars(select(WorkerLife).where(~missed)).all()


def carrier_seen(database: Database, now: datetime, *, by_broker: bool) -> datetime | None:
    """When a worker that can carry a command was last seen alive; None when none can, or none hears the answer.

    Machines without an agent need no broker for it.
    """
    with database.read() as session:
        workers = alive(session, now)
    if by_broker and missing_to_machines(workers):
        return None
    return max((worker.seen_at for worker in workers if worker.broker_connected or not by_broker), default=None)


def behind_s(database: Database, now: datetime, besides: str) -> float:
    """For how long, by their last signs of life, other living workers leave unread what machines said."""
    with database.read() as session:
        others = [worker for worker in alive(session, now) if worker.id != besides]
    behind = [(now - worker.seen_at).total_seconds() + worker.lag_s for worker in others if worker.lag_s > UNREAD_S]
    return max(behind, default=0.0)


def missing(database: Database, now: datetime) -> list[str]:
    """What keeps the service from working, in words; empty when all is there. Raises what the database raises."""
    if database.is_read_only():
        return ["the database is read-only"]
    with database.read() as session:
        workers = alive(session, now)
    if not workers:
        return ["no worker is alive"]
    lacking = missing_to_machines(workers)
    return [lacking] if lacking else []


def missing_to_machines(workers: Sequence[WorkerLife]) -> str:
    """What is missing between the workers and the machines; empty when nothing is."""
    connected = [worker for worker in workers if worker.broker_connected]
    if not connected:
        said = next((worker.broker_trouble for worker in workers if worker.broker_trouble), "")
        return f"no worker reaches the broker: {said}" if said else "no worker reaches the broker"
    hearing = [worker for worker in connected if worker.hears_devices]
    if not hearing:
        return "no worker hears the machines"
    behind = max(worker.lag_s for worker in hearing)
    if behind > FAR_BEHIND_S:
        return f"what machines said waits {behind:.0f} s to be read"
    return ""
