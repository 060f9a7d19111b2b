"""Which worker hears what workers cannot share: one of them, by a lease in the database.

Presence and state always, for they are retained; reports at a broker without shared subscriptions. Two readers at once
do no harm (each report is judged twice, the second time for nothing; presence and state are stored by the holder only);
none would. SQLite's one worker needs no lease.
"""

import logging
from datetime import datetime, timedelta

from sqlalchemy import String, select
from sqlalchemy.orm import Mapped, mapped_column

from cloud.courier.broker import BrokerLink
from cloud.database.base import Base
from cloud.database.database import Database
from cloud.database.due import is_due
from cloud.database.plain_rows import insert_if_new
from cloud.database.transaction import Transaction

log = logging.getLogger("cloud.courier")

LEASE_S = 6.0
RENEWED_EVERY_S = 2.0
IDLE_S = 60.0
REPORTS, PRESENCE, RIGHTS = 1, 2, 3
"""What there is a lease for; the last is to set the broker's rights (`broker_rights.py`)."""
TOPIC = "mqtt:reader"


class ReaderLease(Base):
    """The worker that does it, and until when it may."""

    __tablename__ = "reader_lease"

    id: Mapped[int] = mapped_column(primary_key=True)
    owner: Mapped[str] = mapped_column(String(64))
    until: Mapped[datetime]


class Reader:
    """Keeps the lease, or waits for it, while the broker needs somebody to have it. Wake it when the link changed."""

    def __init__(self, database: Database, link: BrokerLink, owner: str, what: int = REPORTS) -> None:
        self._what = what
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
        self._has_it = self._database.transact(take, self._what, self._owner, now)
        if self._has_it != had:
            what = "reports" if self._what == REPORTS else "presence and state"
            log.info("this worker %s of all machines: %s", "hears" if self._has_it else "no longer hears", what)
        self._link.read_alone(self._has_it)
        return now + timedelta(seconds=RENEWED_EVERY_S)

    def end(self) -> None:
        """Another may have it at once."""
        self._release()

    def _release(self) -> None:
        if self._has_it:
            self._has_it = False
            self._link.read_alone(False)
            self._database.transact(leave, self._what, self._owner)


def take(tx: Transaction, what: int, owner: str, now: datetime) -> bool:
    """Whether this worker does it from now on."""
    until = now + timedelta(seconds=LEASE_S)
    lease = tx.session.get(ReaderLease, what, with_for_update=True)
    if lease is None:
        return insert_if_new(tx.connection, ReaderLease, {"id": what, "owner": owner, "until": until})
    if lease.owner != owner and not is_due(lease.until, now, timedelta(seconds=LEASE_S)):
        return False
    lease.owner, lease.until = owner, until
    return True


def is_anothers(tx: Transaction, what: int, owner: str) -> bool:
    """Whether another worker has taken it meanwhile."""
    holder = tx.connection.scalar(select(ReaderLease.owner).where(ReaderLease.id == what))
    return holder is not None and holder != owner


def leave(tx: Transaction, what: int, owner: str) -> None:
    """Give it up."""
    lease = tx.session.get(ReaderLease, what, with_for_update=True)
    if lease is not None and lease.owner == owner:
        tx.session.delete(lease)
