"""Each worker's sign of life in the database, and the question `/ready` asks of it: is someone doing the work?"""

from datetime import datetime, timedelta

from sqlalchemy import Boolean, String, delete, select
from sqlalchemy.orm import Mapped, Session, mapped_column

from cloud.db import Base, Database

EVERY_S = 2.0
FRESH_S = 15.0
FORGOTTEN_AFTER_S = 24 * 3600.0


class WorkerLife(Base):
    """One worker process, while it lives."""

    __tablename__ = "workers"

    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    seen_at: Mapped[datetime]
    broker_connected: Mapped[bool] = mapped_column(Boolean, default=False)


def beat(session: Session, worker: str, broker_connected: bool, now: datetime) -> None:
    """This worker is alive now."""
    session.merge(WorkerLife(id=worker, seen_at=now, broker_connected=broker_connected))
    session.execute(delete(WorkerLife).where(WorkerLife.seen_at < now - timedelta(seconds=FORGOTTEN_AFTER_S)))


def missing(database: Database, now: datetime) -> list[str]:
    """What keeps the service from working, in words; empty when all is there. Raises what the database raises."""
    with database.read() as session:
        fresh = session.scalars(select(WorkerLife).where(WorkerLife.seen_at > now - timedelta(seconds=FRESH_S))).all()
    if not fresh:
        return ["no worker is alive"]
    return [] if any(worker.broker_connected for worker in fresh) else ["no worker reaches the broker"]
