"""The last words of a machine with an agent, kept in `device_live`; the same again is not written. Moves no order.

What a broker kept of them and says again is no sign of life.
"""

import logging
from collections.abc import Collection
from datetime import datetime, timedelta
from typing import Any

import msgspec
from sqlalchemy import ColumnElement, and_, or_, select
from sqlalchemy.orm import Session

from cloud.database.due import SLACK, due
from cloud.database.transaction import Transaction
from cloud.fleet import presence_history, sessions
from cloud.fleet.models import Control, Device, DeviceLive
from protocol.messages import Presence, State

SEEN_EVERY = timedelta(minutes=10)
"""While a machine says nothing new, `seen_at` is written no more often."""
log = logging.getLogger("cloud.fleet")


def note_presence(tx: Transaction, live: DeviceLive, said: Presence, now: datetime, *, retained: bool = False) -> None:
    """Its agent has come or gone. The caller holds the row, and keeps the history of it."""
    if retained and said.online and sessions.has_heard(live, said):
        return  # all we know of that connect is later news
    if not said.online and live.session_id not in {"", said.session_id}:
        return  # the last will of a session that has been replaced
    if said.online and not sessions.begin(tx, live, said, now):
        return
    if live.online != said.online:
        facts = {"device": live.device_uuid}
        tx.log_after_commit(log.info, "device %s", "online" if said.online else "offline", extra=facts)
    is_new = (live.online, live.session_id) != (said.online, said.session_id)
    live.online, live.session_id = said.online, said.session_id
    live.agent_version = said.agent_version or live.agent_version
    _see(live, now, is_new, retained)


def note_state(tx: Transaction, live: DeviceLive, said: State, now: datetime, *, retained: bool = False) -> None:
    """What its agent says of it. The machine is online then: it was taken for silent."""
    if not live.online and not retained:
        live.online = True
        tx.log_after_commit(log.info, "device online: it speaks again", extra={"device": live.device_uuid})
    told: dict[str, Any] = msgspec.to_builtins(said)
    is_new = live.state is None or _timeless(told) != _timeless(live.state)
    if is_new:
        live.state, live.frame_error_ratio = told, said.frame_error_ratio
    _see(live, now, is_new, retained)


def forget(live: DeviceLive) -> None:
    """Forget all that was said of the machine, and by which session: another speaks for it from now on.

    The caller holds the row, and keeps the history of it.
    """
    live.online, live.state, live.session_id, live.sessions = False, None, "", None
    live.two_agents_since, live.look_at, live.seen_at = None, None, None


def long_unseen(session: Session, device_uuids: Collection[str], now: datetime) -> list[str]:
    """Those of these machines whose agent's word of just now is worth noting."""
    due = or_(DeviceLive.seen_at.is_(None), DeviceLive.seen_at <= now - SEEN_EVERY, DeviceLive.seen_at > now)
    theirs = and_(DeviceLive.device_uuid.in_(device_uuids), Device.control == Control.AGENT.value, due)
    of_agents = select(DeviceLive.device_uuid).join(Device, Device.device_uuid == DeviceLive.device_uuid)
    return list(session.scalars(of_agents.where(theirs)))


def note_seen(tx: Transaction, device_uuids: Collection[str], now: datetime) -> None:
    """Note that their agents have spoken just now; a machine taken for silent is online again.

    A row that somebody else holds is left: it is being written by the machine's own words.
    """
    of_agents = select(DeviceLive).join(Device, Device.device_uuid == DeviceLive.device_uuid)
    theirs = of_agents.where(DeviceLive.device_uuid.in_(device_uuids), Device.control == Control.AGENT.value)
    locked = theirs.order_by(DeviceLive.device_uuid).with_for_update(skip_locked=True, of=DeviceLive)
    lives = tx.session.scalars(locked).all()
    back = _taken_for_silent(tx.session, [live for live in lives if not live.online])
    for live in back:
        live.online = True
        tx.log_after_commit(log.info, "device online: it speaks again", extra={"device": live.device_uuid})
    for live in lives:
        live.seen_at = now
    presence_history.note(tx, back, now)


def is_quiet(since: datetime, now: datetime) -> ColumnElement[bool]:
    """Whether a `DeviceLive` was not noted as seen since then; far ahead it was before the clock was set back."""
    return due(DeviceLive.seen_at, since, now + SLACK)


def note_silence(tx: Transaction, device_uuids: Collection[str], quiet_since: datetime, now: datetime) -> None:
    """Nothing was heard of these since then, nor an answer to our greeting: they are offline until they speak."""
    theirs = select(DeviceLive).where(
        DeviceLive.device_uuid.in_(device_uuids), DeviceLive.online, is_quiet(quiet_since, now)
    )
    gone = tx.session.scalars(theirs.order_by(DeviceLive.device_uuid).with_for_update(skip_locked=True)).all()
    for live in gone:
        live.online = False
        live.seen_at = min(live.seen_at or quiet_since, quiet_since)
        tx.log_after_commit(
            log.warning, "device offline: silent since %s", live.seen_at, extra={"device": live.device_uuid}
        )
    presence_history.note(tx, gone, now)


def _taken_for_silent(session: Session, offline: Collection[DeviceLive]) -> list[DeviceLive]:
    """Without those that said themselves that they go, or whose will did: then they were heard of."""
    spells = presence_history.current_spells(session, [live.device_uuid for live in offline])
    return [
        live for live in offline
        if live.seen_at is not None and (spell := spells.get(live.device_uuid)) and live.seen_at < spell.since
    ]  # fmt: skip


def is_older(live: DeviceLive, said: State) -> bool:
    """Whether it was said before what we know: a broker that was killed comes back with what it had saved last."""
    known = (live.state or {}).get("at")
    return isinstance(known, str) and said.at < datetime.fromisoformat(known)


def _see(live: DeviceLive, now: datetime, is_new: bool, retained: bool) -> None:
    is_due = live.seen_at is None or not live.seen_at <= now < live.seen_at + SEEN_EVERY
    if is_new or (is_due and not retained):
        live.seen_at = now


def _timeless(state: dict[str, Any]) -> dict[str, Any]:
    """Without what differs each time: when it was said, and the last digits of a ratio."""
    return state | {"at": "", "frame_error_ratio": round(state.get("frame_error_ratio", 0.0), 2)}
