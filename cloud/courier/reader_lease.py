"""Who hears the devices at a broker without shared subscriptions: one worker, by a lease in the database.

Two at once do no harm (each message is judged twice, the second time for nothing); nobody would. With shared
subscriptions, and with SQLite's one worker, no lease is needed and none is written.
"""

import logging
from datetime import datetime, timedelta

from sqlalchemy import String
from sqlalchemy.orm import Mapped, mapped_column

from cloud.courier.broker import BrokerLink
from cloud.database.base import Base
from cloud.database.database import Database
from cloud.database.transaction import Transaction

log = logging.getLogger("cloud.courier")

LEASE_S = 6.0
RENEWED_EVERY_S = 2.0
IDLE_S = 60.0
THE_ONE = 1
TOPIC = "mqtt:reader"


class ReaderLease(Base):
    """The one row: who reads, and until when it may."""

    __tablename__ = "reader_lease"

    id: Mapped[int] = mapped_column(primary_key=True)
    owner: Mapped[str] = mapped_column(String(64))
    until: Mapped[datetime]


class Reader:
    """Keeps the lease, or waits for it, while the broker needs somebody to have it. Wake it when the link changed."""

    def __init__(self, database: Database, link: BrokerLink, owner: str) -> None:
        self._database = database
        self._link = link
        self._owner = owner
        self._has_it = False
        if not database.is_sqlite:
            link.read_alone(False)

    def step(self, now: datetime) -> datetime:
        """Take or renew the lease; when to come again."""
        if self._database.is_sqlite or not self._link.lacks_shares:
            self._release()
            return now + timedelta(seconds=IDLE_S)
        had = self._has_it
        self._has_it = self._database.transact(take, self._owner, now)
        if self._has_it != had:
            log.info("this worker %s for all", "hears the machines" if self._has_it else "no longer hears the machines")
        self._link.read_alone(self._has_it)
        return now + timedelta(seconds=RENEWED_EVERY_S)

    def end(self) -> None:
        """Another may have it at once."""
        self._release()

    def _release(self) -> None:
        if self._has_it:
            self._has_it = False
            self._link.read_alone(False)
            self._database.transact(leave, self._owner)


def take(tx: Transaction, owner: str, now: datetime) -> bool:
    """Whether this worker reads from now on."""
    lease = tx.session.get(ReaderLease, THE_ONE, with_for_update=True)
    if lease is None:
        lease = ReaderLease(id=THE_ONE, owner=owner, until=now)
        tx.session.add(lease)
    elif lease.owner != owner and now < lease.until <= now + timedelta(seconds=LEASE_S):
        return False
    lease.owner, lease.until = owner, now + timedelta(seconds=LEASE_S)
    return True


def leave(tx: Transaction, owner: str) -> None:
    """Give it up."""
    lease = tx.session.get(ReaderLease, THE_ONE, with_for_update=True)
    if lease is not None and lease.owner == owner:
        tx.session.delete(lease)
