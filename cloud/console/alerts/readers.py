"""What the pages about alerts show, read within a person's scope."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import and_, case, func, select
from sqlalchemy.orm import Session

from cloud.access.journal import Subject
from cloud.access.person import Scope
from cloud.alerts.incident import LIVE, Incident, State
from cloud.alerts.kinds import TERMS, Kind, Severity
from cloud.alerts.models import AlertMessage, Channel, Delivery, IncidentRow, Mute
from cloud.alerts.store import IS_KNOWN, incident_of, known, subject_of
from cloud.console.shell.merchants import told_apart
from cloud.console.shell.paging import First, Key, Listed, newest_first
from cloud.console.shell.section import Kind as KindOfThing
from cloud.fleet.models import Merchant

MOST_OPEN, MOST_ATTEMPTS = 200, 50
_SEVERITIES = tuple(Severity)
_URGENCY = case(
    (IncidentRow.acknowledged_at.is_not(None), -1),
    *[(IncidentRow.kind == kind.value, _SEVERITIES.index(TERMS[kind].severity)) for kind in Kind],
    else_=-1,
)
"""Told by the database: the worst must be among the first however many came after them. Last, what somebody has."""


def _incident(session: Session, incident_id: str) -> Subject | None:
    row = known(session, incident_id)
    return None if row is None else subject_of(incident_of(row))


def _channel(session: Session, channel_id: str) -> Subject | None:
    owner = session.scalar(select(Channel.merchant_id).where(Channel.id == channel_id))
    return None if owner is None else Subject("channel", channel_id, owner)


INCIDENT = KindOfThing("incident", "incident_id", _incident)
CHANNEL = KindOfThing("channel", "channel_id", _channel)


@dataclass(frozen=True)
class ChannelMessage:
    """The last message about an incident in one channel."""

    channel: str
    word: str
    at: datetime | None


def open_incidents(session: Session, scope: Scope) -> First[Incident]:
    """What is wrong now, worst and newest first; what a crowd stands for is told with the crowd."""
    is_live = and_(
        scope.where(IncidentRow.merchant_id, IncidentRow.subject), IS_KNOWN,
        IncidentRow.state.in_([state.value for state in LIVE]), IncidentRow.group_id == "",
    )  # fmt: skip
    by_urgency = select(IncidentRow).where(is_live).order_by(_URGENCY.desc(), IncidentRow.since.desc(), IncidentRow.id)
    found = [incident_of(row) for row in session.scalars(by_urgency.limit(MOST_OPEN))]
    total = session.scalar(select(func.count()).select_from(IncidentRow).where(is_live))
    return First(found, total or 0)


def past_incidents(session: Session, scope: Scope, after: Key | None) -> Listed[Incident]:
    """What is over, newest first."""
    asked = select(IncidentRow, IncidentRow.opened_at.label("at"), IncidentRow.id.label("id")).where(
        scope.where(IncidentRow.merchant_id, IncidentRow.subject), IS_KNOWN,
        IncidentRow.state == State.RESOLVED.value, IncidentRow.opened_at.is_not(None), IncidentRow.group_id == "",
    )  # fmt: skip
    rows, more = newest_first(session, asked, IncidentRow.opened_at, IncidentRow.id, after)
    return Listed([incident_of(row.IncidentRow) for row in rows], more)


def incident(session: Session, incident_id: str) -> Incident:
    """The one of this id. Raises `NoResultFound`."""
    return incident_of(session.scalars(select(IncidentRow).where(IncidentRow.id == incident_id, IS_KNOWN)).one())


def messages_about(session: Session, incident_id: str) -> Sequence[ChannelMessage]:
    """The last message about it, of each channel."""
    asked = (
        select(Channel.name, AlertMessage.word, AlertMessage.changed_at)
        .join(AlertMessage, AlertMessage.channel_id == Channel.id)
        .where(AlertMessage.incident_id == incident_id)
        .order_by(Channel.name)
    )
    return [ChannelMessage(name, word, at) for name, word, at in session.execute(asked)]


def channels(session: Session, scope: Scope) -> Sequence[Channel]:
    """All of them, by merchant."""
    asked = select(Channel).where(scope.where(Channel.merchant_id))
    return session.scalars(asked.order_by(Channel.merchant_id, Channel.created_at)).all()


def attempts(session: Session, channel_id: str) -> Sequence[Delivery]:
    """The channel's log, newest first."""
    asked = select(Delivery).where(Delivery.channel_id == channel_id).order_by(Delivery.id.desc())
    return session.scalars(asked.limit(MOST_ATTEMPTS)).all()


def merchants(session: Session, scope: Scope) -> Sequence[tuple[str, str]]:
    """Id and name of each, equal names told apart."""
    asked = select(Merchant.id, Merchant.name).where(scope.where(Merchant.id)).order_by(Merchant.name, Merchant.id)
    return told_apart([(row[0], row[1]) for row in session.execute(asked)])


def mutes(session: Session, scope: Scope, now: datetime) -> Sequence[Mute]:
    """Maintenance under way."""
    asked = select(Mute).where(scope.where(Mute.merchant_id, Mute.device_uuid), Mute.until > now)
    return session.scalars(asked.order_by(Mute.until)).all()
