"""A machine's last words about itself, kept in `device_live`; the same again is not written. Moves no order."""

import logging
from datetime import datetime, timedelta
from typing import Any

import msgspec

from cloud.database.transaction import Transaction
from cloud.fleet import sessions
from cloud.fleet.models import DeviceLive
from protocol.messages import Presence, State

SEEN_EVERY = timedelta(minutes=10)
"""While a machine says nothing new, `seen_at` is written no more often."""
log = logging.getLogger("cloud.fleet")


def note_presence(tx: Transaction, live: DeviceLive, said: Presence, now: datetime) -> None:
    """Its agent has come or gone. The caller holds the row, and keeps the history of it."""
    if not said.online and said.session_id != live.session_id:
        return  # the last will of a session that has been replaced
    if said.online and not sessions.begin(tx, live, said, now):
        return
    if live.online != said.online:
        facts = {"device": live.device_uuid}
        tx.log_after_commit(log.info, "device %s", "online" if said.online else "offline", extra=facts)
    is_new = (live.online, live.session_id) != (said.online, said.session_id)
    live.online, live.session_id = said.online, said.session_id
    live.agent_version = said.agent_version or live.agent_version
    _see(live, now, is_new)


def note_state(live: DeviceLive, said: State, now: datetime) -> None:
    """What its agent says of it."""
    told: dict[str, Any] = msgspec.to_builtins(said)
    is_new = live.state is None or _timeless(told) != _timeless(live.state)
    if is_new:
        live.state, live.frame_error_ratio = told, said.frame_error_ratio
    _see(live, now, is_new)


def is_older(live: DeviceLive, said: State) -> bool:
    """Whether it was said before what we know: a broker that was killed comes back with what it had saved last."""
    known = (live.state or {}).get("at")
    return isinstance(known, str) and said.at < datetime.fromisoformat(known)


def _see(live: DeviceLive, now: datetime, is_new: bool) -> None:
    if is_new or live.seen_at is None or not live.seen_at <= now < live.seen_at + SEEN_EVERY:
        live.seen_at = now


def _timeless(state: dict[str, Any]) -> dict[str, Any]:
    """Without what differs each time: when it was said, and the last digits of a ratio."""
    return state | {"at": "", "frame_error_ratio": round(state.get("frame_error_ratio", 0.0), 2)}
