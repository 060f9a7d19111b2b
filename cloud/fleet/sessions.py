"""Which runs of an agent have spoken under a device's name: two that take turns are two agents, a copied card.

They throw each other out at the broker and take each other's orders: nothing is sold until a person has sorted it out.
"""

import logging
from collections.abc import Collection
from datetime import datetime

from msgspec import UNSET
from sqlalchemy import select
from sqlalchemy.orm import Session

from cloud.database.transaction import Transaction
from cloud.fleet import machine_events, presence_history
from cloud.fleet.models import DeviceLive
from protocol.messages import Event, Presence
from protocol.reasons import EventKind

KEPT = 8
"""Sessions remembered of a device; its agent would have to start so often between two turns of another to go unseen."""
RESUME_ASKED = "resume_asked"
"""What an operator did, among what machines tell: never a word of theirs."""
log = logging.getLogger("cloud.fleet")


def begin(tx: Transaction, live: DeviceLive, said: Presence, now: datetime) -> bool:
    """An agent is online; false when the broker only says again what a later session has made untrue.

    An agent that counts no connects cannot be told from a message that came twice, and is believed.
    """
    if said.connection is UNSET:
        return True
    known = dict(live.sessions or [])
    latest = next(reversed(known), "")
    before = known.pop(said.session_id, None)
    if before is not None and said.connection <= before:
        return said.session_id == latest
    if before is not None and said.session_id != latest:
        _note_two(tx, live, said.session_id, latest, now)
    known[said.session_id] = said.connection
    live.sessions = [[name, connection] for name, connection in known.items()][-KEPT:]
    return True


def has_heard(live: DeviceLive, said: Presence) -> bool:
    """Whether this very connect is known."""
    known: dict[str, int] = dict(live.sessions or [])
    return said.connection is not UNSET and said.connection <= known.get(said.session_id, -1)


def rival(live: DeviceLive | None) -> str:
    """The session that takes turns with the present one, while that stops the sale; else ""."""
    if live is None or live.two_agents_since is None:
        return ""
    others = [name for name, _ in live.sessions or [] if name != live.session_id]
    return str(others[-1]) if others else ""


def rivals(session: Session, device_uuids: Collection[str]) -> dict[str, str]:
    """Of these machines those whose agent takes turns with another, and that one's session."""
    asked = select(DeviceLive).where(DeviceLive.device_uuid.in_(device_uuids), DeviceLive.two_agents_since.is_not(None))
    return {live.device_uuid: rival(live) for live in session.scalars(asked)}


def resume(tx: Transaction, live: DeviceLive, by: str, now: datetime) -> None:
    """Note that a person has given each machine a name of its own: the session that speaks now is the one."""
    asked = Event(
        message_id=f"cloud-resume-{now.timestamp():.3f}", at=now, what=RESUME_ASKED, evidence={"by": by[:128]}
    )
    machine_events.keep(tx, live.device_uuid, asked, now)
    live.two_agents_since = None
    live.sessions = [one for one in live.sessions or [] if one[0] == live.session_id]
    presence_history.note(tx, [live], now)


def _note_two(tx: Transaction, live: DeviceLive, one: str, other: str, now: datetime) -> None:
    if live.two_agents_since is not None:
        return
    live.two_agents_since = now
    device = live.device_uuid
    tx.log_after_commit(
        log.error,
        "two agents take turns under one name (%s, %s): nothing is sold",
        one,
        other,
        extra={"device": device},
    )
    told = Event(
        message_id=f"cloud-two-agents-{now.timestamp():.3f}",
        at=now,
        what=EventKind.TWO_AGENTS,
        words=f"nothing is sold; give each machine its own name, then: coffee-cloud resume {device}",
        evidence={"session": one[:128], "rival_session": other[:128]},
    )
    machine_events.keep(tx, device, told, now)
