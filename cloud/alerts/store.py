"""Incidents and what was told of them, between rows and the values the pure rules judge."""

from collections.abc import Collection, Mapping
from dataclasses import fields
from datetime import datetime

from sqlalchemy import and_, or_, select, text
from sqlalchemy.orm import Session

from cloud.access.journal import Subject
from cloud.alerts.incident import REOPENS_WITHIN, Incident, State
from cloud.alerts.kinds import OF_A_MACHINE, Kind, Severity
from cloud.alerts.models import END_UNTOLD, AlertMessage, Channel, IncidentRow, Mute
from cloud.alerts.quiet_hours import QuietHours
from cloud.alerts.telling import Listener, SentMessage, Word
from cloud.fleet.zones import zone

EDITS = frozenset({"telegram", "max", "webhook"})
"""Kinds of channels that change what they have sent; a program that is called is told of each change."""
_PLAIN = [field.name for field in fields(Incident) if field.name not in {"kind", "state", "flips", "facts"}]


IS_KNOWN = IncidentRow.kind.in_([kind.value for kind in Kind])
"""Only kinds that this program has rules for: a newer program, beside or before us, may store others."""


def open_incidents(session: Session, now: datetime) -> dict[str, Incident]:
    """By fingerprint: those that are not over, or so lately that they may come back."""
    recent = or_(IncidentRow.state != State.RESOLVED.value, IncidentRow.resolved_at > now - REOPENS_WITHIN)
    rows = session.scalars(select(IncidentRow).where(recent, IS_KNOWN).order_by(IncidentRow.changed_at))
    return {row.fingerprint: incident_of(row) for row in rows}


def ended_unheard(session: Session, now: datetime) -> list[Incident]:
    """What was over too long ago to come back, and whose end a channel that works was not told: it was broken."""
    untold = (
        select(AlertMessage.incident_id)
        .join(Channel, Channel.id == AlertMessage.channel_id)
        .where(text(END_UNTOLD), AlertMessage.task_due_at.is_(None), Channel.broken_since.is_(None))
    )
    is_over = and_(IncidentRow.state == State.RESOLVED.value, IncidentRow.resolved_at <= now - REOPENS_WITHIN)
    rows = session.scalars(select(IncidentRow).where(IncidentRow.id.in_(untold), is_over, IS_KNOWN))
    return [incident_of(row) for row in rows]


def known(session: Session, incident_id: str) -> IncidentRow | None:
    """The one of this id; none of a kind that this program does not know."""
    return session.scalar(select(IncidentRow).where(IncidentRow.id == incident_id, IS_KNOWN))


def incident_of(row: IncidentRow) -> Incident:
    """The incident as the rules know it."""
    return Incident(
        kind=Kind(row.kind), state=State(row.state), facts=row.facts,
        flips=tuple(datetime.fromisoformat(flip) for flip in row.flips),
        **{name: getattr(row, name) for name in _PLAIN},
    )  # fmt: skip


def subject_of(incident: Incident) -> Subject:
    """Return what acts on it are journalled under. A machine's trouble concerns the people of that machine."""
    device = incident.subject if incident.kind in OF_A_MACHINE else ""
    return Subject("incident", incident.id, incident.merchant_id, device)


def write(session: Session, incident: Incident) -> None:
    """Store it as it is now."""
    values = {name: getattr(incident, name) for name in _PLAIN}
    session.merge(
        IncidentRow(
            fingerprint=incident.fingerprint, kind=incident.kind.value, state=incident.state.value,
            facts=dict(incident.facts), flips=[flip.isoformat() for flip in incident.flips], **values,
        )
    )  # fmt: skip


def listener_of(channel: Channel) -> Listener:
    """What a channel wants to hear."""
    quiet = None
    if channel.quiet_begin is not None and channel.quiet_end is not None:
        quiet = QuietHours(channel.quiet_begin, channel.quiet_end, zone(channel.zone))
    return Listener(
        channel.merchant_id, Severity(channel.least), channel.kind in EDITS, channel.is_second, quiet, channel.pierces
    )


def sent_message(message: AlertMessage | None) -> SentMessage | None:
    """Return what the channel was last sent about the incident; None when nothing yet."""
    if message is None or not message.word or message.told_at is None:
        return None
    changed_at = message.changed_at or message.told_at
    return SentMessage(
        Word(message.word), message.told_revision, message.told_at, changed_at, message.told_unstable,
        message.can_change and bool(message.ref),
    )  # fmt: skip


def messages_of(session: Session, incident_ids: set[str]) -> Mapping[tuple[str, str], AlertMessage]:
    """By incident and channel."""
    if not incident_ids:
        return {}
    rows = session.scalars(select(AlertMessage).where(AlertMessage.incident_id.in_(incident_ids)))
    return {(row.incident_id or "", row.channel_id): row for row in rows}


def mutes(session: Session, now: datetime) -> Collection[tuple[str, str]]:
    """What is under maintenance: merchant and machine; no machine: all of the merchant's."""
    asked = session.execute(select(Mute.merchant_id, Mute.device_uuid).where(Mute.until > now))
    return {(merchant, device) for merchant, device in asked}


def is_muted(incident: Incident, muted: Collection[tuple[str, str]]) -> bool:
    """Whether all that it is about is under maintenance."""
    merchant, machines = incident.merchant_id, incident.facts.get("machines") or [incident.subject]
    return (merchant, "") in muted or all((merchant, machine) in muted for machine in machines)
