"""What all processes have counted since ever, one row a number; and the loop that adds to it what its own counted.

Nothing is written while nothing happens: an idle cloud sleeps. A killed process takes its last seconds along.
"""

import logging
from collections import defaultdict
from collections.abc import Mapping
from datetime import datetime, timedelta

from sqlalchemy import Float, Integer, String, delete, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Mapped, Session, mapped_column

from cloud.database.base import Base
from cloud.database.database import Database
from cloud.database.plain_rows import table_of
from cloud.database.transaction import Transaction
from cloud.metrics.counts import Cell, Counts

log = logging.getLogger("cloud.metrics")

EVERY = timedelta(seconds=10)
LONGEST_LABELS = 200
BETWEEN_LABELS = "\n"
Buckets = dict[int, float]


class Total(Base):
    """One number that only grows: a counter, or a bucket of a histogram."""

    __tablename__ = "metric_totals"

    name: Mapped[str] = mapped_column(String(64), primary_key=True)
    labels: Mapped[str] = mapped_column(String(LONGEST_LABELS), primary_key=True)
    """The values of its labels, in their order, one a line."""
    bucket: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    value: Mapped[float] = mapped_column(Float)


def fold(tx: Transaction, counted: Mapping[Cell, float]) -> None:
    """Add it to the totals. Everybody does so in the same order, so two processes never wait for each other."""
    rows = [
        {"name": name, "labels": BETWEEN_LABELS.join(labels)[:LONGEST_LABELS], "bucket": bucket, "value": value}
        for (name, labels, bucket), value in sorted(counted.items())
    ]
    dialect = sqlite if tx.connection.dialect.name == "sqlite" else postgresql
    adding = dialect.insert(table_of(Total))
    same = [table_of(Total).c.name, table_of(Total).c.labels, table_of(Total).c.bucket]
    grown = {"value": table_of(Total).c.value + adding.excluded.value}
    tx.connection.execute(adding.on_conflict_do_update(index_elements=same, set_=grown), rows)


def totals(session: Session) -> dict[str, dict[tuple[str, ...], Buckets]]:
    """Every metric's numbers, by its labels."""
    found: dict[str, dict[tuple[str, ...], Buckets]] = defaultdict(lambda: defaultdict(dict))
    for name, labels, bucket, value in session.execute(select(Total.name, Total.labels, Total.bucket, Total.value)):
        found[name][tuple(labels.split(BETWEEN_LABELS)) if labels else ()][bucket] = value
    return found


def begin_anew(tx: Transaction) -> None:
    """Count from 0, which Prometheus understands; a total put back to an earlier one it would take for a leap."""
    tx.session.execute(delete(Total))


class Keeper:
    """One a process: every few seconds folds what was counted into the database, if anything was."""

    def __init__(self, database: Database, counts: Counts) -> None:
        self._database = database
        self._counts = counts

    def step(self, now: datetime) -> datetime:
        """What could not be written is written next time. Raises what the database raises."""
        counted = self._counts.take()
        if counted:
            try:
                self._database.transact(fold, counted)
            except Exception:
                self._counts.give_back(counted)
                raise
        return now + EVERY

    def end(self) -> None:
        """The rest, before the program ends."""
        counted = self._counts.take()
        try:
            if counted:
                self._database.transact(fold, counted)
        except SQLAlchemyError as error:
            log.warning("the last counts are lost: %s", type(error).__name__)
