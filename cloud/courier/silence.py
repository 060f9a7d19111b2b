"""Machines that are gone without a word: their last will was lost, as when the broker died with them.

A machine not heard of for long is greeted; one that answers with nothing is offline until it speaks. One worker of many
looks: the one that hears presence and state (`presence_listener.py`).
"""

from datetime import datetime, timedelta

from sqlalchemy import select

from cloud.courier import reader_lease
from cloud.courier.broker import BrokerLink
from cloud.courier.welcomes import LONGEST_SPREAD_S, Welcomes
from cloud.database.database import Database
from cloud.database.transaction import Transaction
from cloud.fleet import device_condition
from cloud.fleet.device_condition import SEEN_EVERY
from cloud.fleet.models import Control, Device, DeviceLive

QUIET_FOR = SEEN_EVERY + timedelta(minutes=5)
"""Since it was last noted as seen; our agents say their state once a minute."""
ANSWERED_WITHIN = timedelta(seconds=LONGEST_SPREAD_S) + timedelta(minutes=2)
"""After a greeting; also how long a connection of ours must have stood before its silence means anything."""
LOOKED_EVERY = timedelta(minutes=1)
MOST = 500
"""Looked at in one go, those that have been quiet longest."""


class Silence:
    """For one process; `owner` is the holder of the lease of `link`, on which presence and state are heard."""

    def __init__(self, database: Database, link: BrokerLink, welcomes: Welcomes, owner: str) -> None:
        self._database = database
        self._link = link
        self._welcomes = welcomes
        self._owner = owner
        self._connection = 0
        self._heard_since: datetime | None = None
        """All that is said, on this connection; None while nothing is."""
        self._greeted: dict[str, datetime] = {}

    def step(self, now: datetime) -> datetime:
        """Greet machines that are quiet, and note those that stayed so; return when to look again."""
        if not self._hears_all(now):
            return now + LOOKED_EVERY
        is_quiet = device_condition.is_quiet(now - QUIET_FOR, now)
        with self._database.read() as session:
            quiet = set(
                session.scalars(
                    select(DeviceLive.device_uuid)
                    .join(Device, Device.device_uuid == DeviceLive.device_uuid)
                    .where(Device.control == Control.AGENT.value, DeviceLive.online, is_quiet)
                    .order_by(DeviceLive.seen_at)
                    .limit(MOST)
                )
            )
        self._greeted = {device: at for device, at in self._greeted.items() if device in quiet and at <= now}
        silent = {device for device, at in self._greeted.items() if at + ANSWERED_WITHIN <= now}
        if silent and self._link.inbox.empty():
            self._database.transact(self._note, silent, now)
        if (new := quiet - self._greeted.keys()) and self._welcomes.can_be_told:
            self._welcomes.greet(sorted(new), all_at_once=True)
            self._greeted |= dict.fromkeys(new, now)
        return now + LOOKED_EVERY

    def _hears_all(self, now: datetime) -> bool:
        """Tell whether this worker has heard all machines for long enough, on one connection."""
        if not self._link.is_listening:
            self._heard_since = None
        elif self._heard_since is None or self._connection != self._link.connections or now < self._heard_since:
            self._connection, self._heard_since = self._link.connections, now
        if self._heard_since is None or now < self._heard_since + ANSWERED_WITHIN:
            self._greeted.clear()
            return False
        return True

    def _note(self, tx: Transaction, silent: set[str], now: datetime) -> None:
        if self._database.is_sqlite or not reader_lease.is_anothers(tx, reader_lease.PRESENCE, self._owner):
            device_condition.note_silence(tx, silent, now - QUIET_FOR, now)
