"""What people do about incidents: acknowledge, snooze, mute for maintenance. It changes what is told, nothing else."""

from dataclasses import replace
from datetime import datetime, timedelta

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from cloud.alerts.incident import Incident
from cloud.alerts.models import IncidentRow, Mute
from cloud.alerts.store import IS_KNOWN, incident_of, write
from cloud.database.transaction import Transaction

SNOOZE = timedelta(hours=1)
LONGEST_SNOOZE = timedelta(days=7)
LONGEST_MUTE = timedelta(days=30)


class NoSuchIncident(LookupError):
    """There is none of this id."""


class Over(Exception):
    """It is over: there is nothing to act on."""


def acknowledge(tx: Transaction, incident_id: str, by: str, now: datetime) -> Incident:
    """Somebody looks after it: it is not repeated, nobody else is called. Harmless twice."""
    incident = _live(tx, incident_id)
    if incident.acknowledged_at is not None:
        return incident
    return _written(tx, replace(incident, acknowledged_at=now, acknowledged_by=by[:64], revision=incident.revision + 1))


def snooze(tx: Transaction, incident_id: str, until: datetime, now: datetime) -> Incident:
    """Nothing is told of it until then; then it is told again if it lasts. Raises ValueError for too long a time."""
    if not now < until <= now + LONGEST_SNOOZE:
        raise ValueError("a snooze ends within seven days")
    return _written(tx, replace(_live(tx, incident_id), snoozed_until=until))


def mute(
    tx: Transaction, merchant_id: str, device_uuid: str, until: datetime, by: str, why: str, now: datetime
) -> None:
    """Maintenance: about this machine (empty: the whole merchant) nobody is disturbed until then."""
    if not now < until <= now + LONGEST_MUTE:
        raise ValueError("maintenance ends within thirty days")
    tx.session.merge(Mute(merchant_id=merchant_id, device_uuid=device_uuid, until=until, by=by[:64], why=why[:255]))


def unmute(tx: Transaction, merchant_id: str, device_uuid: str) -> None:
    """The maintenance is over."""
    tx.session.execute(delete(Mute).where(Mute.merchant_id == merchant_id, Mute.device_uuid == device_uuid))


def muted(session: Session, merchant_id: str, device_uuid: str) -> dict[str, str]:
    """Until when it is under maintenance, and why; both empty when it is not."""
    row = session.get(Mute, (merchant_id, device_uuid), populate_existing=True)
    return {"maintenance_until": row.until.isoformat() if row else "", "maintenance": row.why if row else ""}


def _live(tx: Transaction, incident_id: str) -> Incident:
    row = tx.session.scalar(select(IncidentRow).where(IncidentRow.id == incident_id, IS_KNOWN).with_for_update())
    if row is None:
        raise NoSuchIncident(incident_id)
    incident = incident_of(row)
    if not incident.is_live:
        raise Over
    return incident


def _written(tx: Transaction, incident: Incident) -> Incident:
    write(tx.session, incident)
    return incident
