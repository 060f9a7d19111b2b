"""Makes the broker agree with `cloud/fleet/broker_identities.py`: what changed at once, everything now and then.

So a broker that has lost its file has every machine back a minute after its own name works again. One worker does it.
"""

import logging
from datetime import UTC, datetime, timedelta

from cloud.background.loops import Clock
from cloud.courier import reader_lease
from cloud.courier.broker import BrokerLink, NotConnected
from cloud.courier.dynamic_security import BrokerRefuses, DynamicSecurity, NotAMachine
from cloud.database.database import Database
from cloud.fleet import broker_identities
from cloud.fleet.broker_identities import ACTIVE, TOPIC, BrokerIdentity
from cloud.fleet.models import DeviceLive
from cloud.fleet.vault import SecretUnreadable, Vault

__all__ = ["TOPIC", "BrokerRights"]

log = logging.getLogger("cloud.courier.rights")

EVERYTHING_EVERY = timedelta(seconds=60)
LEASE_AGAIN = timedelta(seconds=reader_lease.RENEWED_EVERY_S)
AT_ONCE = 20
"""Identities brought over before the lease is renewed, and fewer where the broker is slow."""
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class BrokerRights:
    """`user` is our own name at the broker. Wake it when the link changed or an identity did."""

    def __init__(self, database: Database, link: BrokerLink, vault: Vault, owner: str, user: str, clock: Clock) -> None:
        self._database = database
        self._link = link
        self._vault = vault
        self._owner = owner
        self._user = user
        self._clock = clock
        self._plugin = DynamicSecurity(link)
        self._connection = -1
        self._different: dict[str, None] = {}
        """Machines the broker lacked at the last look, or should no longer have; in order."""
        self._left_alone: set[str] = set()
        """Names there that are no machine's, whatever the rows say: ours, and those with other rights."""
        self._all_at = EPOCH
        self._complaint = ""

    def step(self, now: datetime) -> datetime:
        """Bring over what differs; when to come again."""
        if not self._link.connected:
            return now + EVERYTHING_EVERY
        if not self._take_lease(now):
            self._all_at = EPOCH  # another brings them over meanwhile
            return now + LEASE_AGAIN
        try:
            if self._is_all_due(now) and not self._look_at_all(now):
                return now + LEASE_AGAIN
            more = self._bring_some(now)
        except (BrokerRefuses, NotConnected) as error:
            if str(error) != self._complaint:
                log.error("the broker's rights could not be set: %s", error)
            self._complaint = str(error)
            return now + LEASE_AGAIN
        self._complaint = ""
        return now if more else min(self._all_at, now + (EVERYTHING_EVERY if self._database.is_sqlite else LEASE_AGAIN))

    def _take_lease(self, now: datetime) -> bool:
        return self._database.is_sqlite or self._database.transact(
            reader_lease.take, reader_lease.RIGHTS, self._owner, now
        )

    def _is_all_due(self, now: datetime) -> bool:
        is_time = now >= self._all_at or now < self._all_at - EVERYTHING_EVERY  # the clock may have been set back
        return is_time or self._link.connections != self._connection

    def _look_at_all(self, now: datetime) -> bool:
        """Find machines the broker lacks, and those it should no longer have; False: it threw us out, come again."""
        if self._plugin.let_cloud_in(self._user):
            log.info("the broker knows the cloud's rights now")
            return False
        known = self._plugin.names()
        self._left_alone &= known
        with self._database.read() as session:
            wanted = broker_identities.known(session)
        machines = [one for one in wanted if one.device_uuid not in self._left_alone]
        different = [one.device_uuid for one in machines if (one.state == ACTIVE) != (one.device_uuid in known)]
        if different:
            log.warning("the broker's identities differ from ours: %d are brought over", len(different))
        self._different = dict.fromkeys(different)
        self._connection, self._all_at = self._link.connections, now + EVERYTHING_EVERY
        return True

    def _bring_some(self, now: datetime) -> bool:
        """Bring over what somebody changed, then what the broker lost; tell whether there was anything."""
        with self._database.read() as session:
            changed = broker_identities.changed(session, AT_ONCE, self._left_alone)
        turn = dict.fromkeys(one.device_uuid for one in changed) | self._different
        for device_uuid in list(turn)[:AT_ONCE]:
            self._bring(device_uuid)
            self._different.pop(device_uuid, None)
            if self._clock() >= now + LEASE_AGAIN:
                break
        return bool(turn)

    def _session_of(self, device_uuid: str) -> str:
        """Return the session that last spoke for the machine; "never" where there is none."""
        with self._database.read() as session:
            live = session.get(DeviceLive, device_uuid)
        return (live.session_id if live is not None else "") or "never"

    def _bring(self, device_uuid: str) -> None:
        """As its row is at this moment: it may have changed since somebody looked."""
        with self._database.read() as session:
            one = broker_identities.of(session, device_uuid)
        if one is None:
            return
        try:
            self._tell(one)
        except NotAMachine:
            self._left_alone.add(device_uuid)
            log.error("no machine's name at the broker: left alone", extra={"device": device_uuid})
        else:
            self._database.transact(broker_identities.applied, device_uuid, one.version)

    def _tell(self, one: BrokerIdentity) -> None:
        """Raises `NotAMachine`."""
        device = {"device": one.device_uuid}
        if one.device_uuid == self._user:
            raise NotAMachine
        if one.state != ACTIVE:
            self._plugin.throw_out(one.device_uuid, self._session_of(one.device_uuid))
            log.info("machine may come in no more", extra=device)
            return
        try:
            self._plugin.let_in(one.device_uuid, self._vault.open(one.password))
        except SecretUnreadable:
            log.error("this machine's password cannot be read: enrol it again", extra=device)
        else:
            log.info("machine may come in", extra=device)
