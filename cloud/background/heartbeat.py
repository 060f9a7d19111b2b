"""Each worker's sign of life in the database, and the question `/ready` asks of it: is someone doing the work?"""

from collections.abc import Sequence
from datetime import datetime, timedelta

from sqlalchemy import Boolean, String, delete, select
from sqlalchemy.orm import Mapped, Session, mapped_column

from cloud.database.base import Base
from cloud.database.database import Database
from cloud.database.transaction import Transaction

EVERY_S = 5.0
SQLITE_EVERY_S = 30.0
"""There each beat is some pages of the disk, and an idle cloud sleeps."""
MISSED_AFTER = 2.5
"""Beats."""
FORGOTTEN_AFTER_S = 24 * 3600.0


class WorkerLife(Base):
    """One worker process, while it lives."""

    __tablename__ = "workers"

    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    seen_at: Mapped[datetime]
    broker_connected: Mapped[bool] = mapped_column(Boolean, default=False)


def beat(tx: Transaction, worker: str, broker_connected: bool, now: datetime) -> datetime:
    """This worker is alive now; when it must say so again."""
    tx.session.merge(WorkerLife(id=worker, seen_at=now, broker_connected=broker_connected))
    tx.session.execute(delete(WorkerLife).where(WorkerLife.seen_at < now - timedelta(seconds=FORGOTTEN_AFTER_S)))
    return now + every(tx.session)


def leave(tx: Transaction, worker: str) -> None:
    """This worker ends in order: nobody need wait to miss it."""
    tx.session.execute(delete(WorkerLife).where(WorkerLife.id == worker))


def every(session: Session) -> timedelta:
    """How often a worker gives a sign of life."""
    is_sqlite = session.get_bind().dialect.name == "sqlite"
    return timedelta(seconds=SQLITE_EVERY_S if is_sqlite else EVERY_S)


def alive(session: Session, now: datetime) -> Sequence[WorkerLife]:
    """Workers that have given it lately."""
    return session.scalars(select(WorkerLife).where(WorkerLife.seen_at > now - MISSED_AFTER * every(session))).all()


def carrier_seen(database: Database, now: datetime, *, by_broker: bool) -> datetime | None:
    """When somebody who could carry a command last gave it; None when nobody could.

    Machines without an agent need no broker for it.
    """
    with database.read() as session:
        carriers = [worker for worker in alive(session, now) if worker.broker_connected or not by_broker]
    return max((worker.seen_at for worker in carriers), default=None)


def missing(database: Database, now: datetime) -> list[str]:
    """What keeps the service from working, in words; empty when all is there. Raises what the database raises."""
    if database.is_read_only():
        return ["the database is read-only"]
    with database.read() as session:
        workers = alive(session, now)
    if not workers:
        return ["no worker is alive"]
    return [] if any(worker.broker_connected for worker in workers) else ["no worker reaches the broker"]
