"""Asks the Tmetr API when it last heard of each machine without an agent: what the buyer is told before paying.

A machine is online while its last heartbeat is young and Tmetr itself was reached lately: while Tmetr cannot be asked
it cannot be told to pour either.
"""

import logging
from datetime import datetime, timedelta
from functools import partial

from sqlalchemy import or_, select

from cloud.background.loops import Clock, ThreadPool
from cloud.courier.tmetr.client import TmetrClient
from cloud.database.database import Database
from cloud.database.due import due, is_due, latest
from cloud.database.transaction import Transaction
from cloud.fleet import presence_history
from cloud.fleet.models import Control, Device, DeviceLive

log = logging.getLogger("cloud.courier")

FRESH_S = 300.0
"""A heartbeat younger than this means online (the age the public server takes, docs/machine-protocol.md 1.5)."""
EVERY_S = 30.0
AFTER_TROUBLE_S = 10.0
BLIND_AFTER = 2
"""Looks in vain in a row, each by this process, until a machine counts as offline."""
IDLE_S = 5.0


class TmetrHeartbeats:
    """The loop; several workers share the machines by `look_at`."""

    def __init__(self, database: Database, client: TmetrClient, pool: ThreadPool, clock: Clock) -> None:
        self._database = database
        self._client = client
        self._pool = pool
        self._clock = clock
        self._idle_until: datetime | None = None
        self._in_vain: dict[str, int] = {}
        """Looks that told nothing, by machine."""

    def step(self, now: datetime) -> datetime:
        """Look at machines that are due, as slots are free; when to come again."""
        if self._idle_until is not None and not is_due(self._idle_until, now, timedelta(seconds=IDLE_S)):
            return self._idle_until
        free = self._pool.free
        taken = self._database.transact(_take, now, free) if free > 0 else []
        for device_uuid in taken:
            self._pool.submit(partial(self._look, device_uuid))
        self._idle_until = now + timedelta(seconds=0 if len(taken) == free > 0 else IDLE_S)
        return self._idle_until

    def _look(self, device_uuid: str) -> None:
        told = self._client.last_heartbeat(device_uuid)
        if told is None or isinstance(told, datetime):
            self._in_vain.pop(device_uuid, None)
            self._database.transact(_note, device_uuid, told, self._clock())
            return
        in_vain = self._in_vain[device_uuid] = self._in_vain.get(device_uuid, 0) + 1
        log.warning("no heartbeat could be read: %s", told.why, extra={"device": device_uuid})
        self._database.transact(_note_silence, device_uuid, in_vain >= BLIND_AFTER, self._clock())


def nobody_is_online(tx: Transaction, now: datetime) -> None:
    """There is no Tmetr to ask or to command: machines that need it are not on sale."""
    without = select(Device.device_uuid).where(Device.control == Control.TMETR_API.value)
    online = select(DeviceLive).where(DeviceLive.device_uuid.in_(without), DeviceLive.online)
    gone = tx.session.scalars(online.with_for_update()).all()
    for live in gone:
        live.online = False
    presence_history.note(tx, gone, now)


def _take(tx: Transaction, now: datetime, limit: int) -> list[str]:
    to_look_at = or_(
        DeviceLive.look_at.is_(None), due(DeviceLive.look_at, now, latest(now, timedelta(seconds=EVERY_S)))
    )
    wanted = (
        select(DeviceLive)
        .join(Device, Device.device_uuid == DeviceLive.device_uuid)
        .where(Device.control == Control.TMETR_API.value, Device.status != "closed", to_look_at)
        .order_by(DeviceLive.look_at, DeviceLive.device_uuid)
        .limit(limit)
        .with_for_update(skip_locked=True, of=DeviceLive)
    )
    taken = tx.session.scalars(wanted).all()
    for live in taken:
        live.look_at = now + timedelta(seconds=EVERY_S)
    return [live.device_uuid for live in taken]


def _held(tx: Transaction, device_uuid: str) -> DeviceLive | None:
    """None once an agent speaks for the machine: Tmetr was asked before."""
    live = tx.session.get(DeviceLive, device_uuid, with_for_update=True)
    control = tx.session.scalar(select(Device.control).where(Device.device_uuid == device_uuid))
    return live if control == Control.TMETR_API else None


def _note(tx: Transaction, device_uuid: str, beat_at: datetime | None, now: datetime) -> None:
    live = _held(tx, device_uuid)
    if live is None:
        return
    if beat_at is not None and beat_at > now + timedelta(seconds=FRESH_S):
        tx.log_after_commit(
            log.error, "heartbeat from the future: a clock or a time zone is wrong", extra={"device": device_uuid}
        )
        beat_at = None
    live.seen_at = beat_at or live.seen_at
    _tell(tx, live, beat_at is not None and now - beat_at < timedelta(seconds=FRESH_S), now)


def _note_silence(tx: Transaction, device_uuid: str, is_blind: bool, now: datetime) -> None:
    live = _held(tx, device_uuid)
    if live is None:
        return
    live.look_at = now + timedelta(seconds=AFTER_TROUBLE_S)
    fresh = live.seen_at is not None and now - live.seen_at < timedelta(seconds=FRESH_S)
    _tell(tx, live, live.online and fresh and not is_blind, now)


def _tell(tx: Transaction, live: DeviceLive, online: bool, now: datetime) -> None:
    live.state = None  # of an agent that may have driven this machine before
    if live.online != online:
        tx.log_after_commit(
            log.info, "device %s", "online" if online else "offline", extra={"device": live.device_uuid}
        )
    live.online = online
    presence_history.note(tx, [live], now)
