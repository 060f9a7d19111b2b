"""What tests of the database write: a worker's sign of life, by its name."""

from datetime import UTC, datetime

from sqlalchemy import select

from cloud.background.heartbeat import WorkerLife
from cloud.database.database import Database
from cloud.database.transaction import Transaction

NOON = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)


class Trouble(Exception):
    """What a piece of work raises here."""


def add(tx: Transaction, name: str, trouble: Exception | None = None, topic: str = "") -> str:
    tx.session.add(WorkerLife(id=name, seen_at=NOON))
    tx.session.flush()
    if topic:
        tx.notify(topic)
    if trouble is not None:
        raise trouble
    return name


def names(database: Database) -> set[str]:
    with database.read() as session:
        return set(session.scalars(select(WorkerLife.id)))
