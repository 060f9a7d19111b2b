"""What alerts keep only for a while: ninety days after its end nobody asks for it."""

from collections.abc import Collection
from datetime import datetime, timedelta

from sqlalchemy import and_, delete, or_, select
from sqlalchemy.orm import Session

from cloud.alerts.models import AlertMessage, DailySummary, Delivery, IncidentRow, Mute
from cloud.orders.outbox import OutboxRow

KEPT_FOR = timedelta(days=90)
BATCH = 1_000
"""Of each kind at once."""


def forget(session: Session, now: datetime) -> None:
    """Remove some of what is past its term, with its tasks in the outbox."""
    past = now - KEPT_FOR
    incidents = list(session.scalars(select(IncidentRow.id).where(IncidentRow.resolved_at < past).limit(BATCH)))
    is_sent_off = and_(AlertMessage.told_at.is_(None), AlertMessage.task_due_at.is_(None))  # given up, or refused
    is_old = and_(AlertMessage.incident_id.is_(None), or_(AlertMessage.told_at < past, is_sent_off))
    of_either = or_(AlertMessage.incident_id.in_(incidents), is_old)
    _remove_messages(session, list(session.scalars(select(AlertMessage.id).where(of_either).limit(BATCH))))
    still_told_of = select(AlertMessage.incident_id).where(AlertMessage.incident_id.in_(incidents))
    over = and_(IncidentRow.id.in_(incidents), IncidentRow.id.not_in(still_told_of))
    session.execute(delete(IncidentRow).where(over))
    old = select(Delivery.id).where(Delivery.at < past).limit(BATCH)
    session.execute(delete(Delivery).where(Delivery.id.in_(old)))
    session.execute(delete(DailySummary).where(DailySummary.day < past.date()))
    session.execute(delete(Mute).where(Mute.until < past))


def _remove_messages(session: Session, message_ids: Collection[str]) -> None:
    session.execute(delete(OutboxRow).where(OutboxRow.subject.in_(message_ids), OutboxRow.settled_at.is_not(None)))
    session.execute(delete(AlertMessage).where(AlertMessage.id.in_(message_ids)))
