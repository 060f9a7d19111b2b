"""Questions "could you make this drink right now?" on their way to machines and back; one row a drink.

Asked by web processes, carried by workers, answered by devices. A row that nobody carried says nothing of the machine.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta

from sqlalchemy import Integer, String, select
from sqlalchemy.orm import Mapped, Session, mapped_column

from cloud.database.base import Base
from cloud.database.due import is_due
from cloud.database.plain_rows import insert_if_new
from cloud.database.transaction import Transaction
from cloud.fleet.availability import NOT_SENT

TOPIC = "probes"
"""Woken when a question waits for a worker."""
PATIENCE = timedelta(seconds=1)
"""A machine that has not answered by then does not answer; a question as old is asked anew."""
FRESH_FOR = timedelta(seconds=2)
"""An answer this young serves the next question: a crowd before one machine costs one question."""


class Probe(Base):
    """The last question about one drink, and its answer if there is one."""

    __tablename__ = "probes"

    device_uuid: Mapped[str] = mapped_column(String(64), primary_key=True)
    drink_no: Mapped[str] = mapped_column(String(128), primary_key=True)
    size: Mapped[int] = mapped_column(Integer)
    probe_id: Mapped[str] = mapped_column(String(64), unique=True)
    asked_at: Mapped[datetime] = mapped_column(index=True)
    sent_at: Mapped[datetime | None] = mapped_column(default=None)
    settled_at: Mapped[datetime | None] = mapped_column(default=None)
    """When the answer to this question was known; None while it is not."""
    code: Mapped[str] = mapped_column(String(64), default="")
    """Why not; empty for "it could"."""
    heard_at: Mapped[datetime | None] = mapped_column(default=None)
    """When this device itself last answered any question about this drink."""


def topic_of(probe_id: str) -> str:
    """Woken when this question is answered."""
    return f"probe:{probe_id}"


def ask(tx: Transaction, device_uuid: str, drink_no: str, size: int, probe_id: str, now: datetime) -> Probe:
    """The question about this drink: a fresh answer, one under way, or a new one named `probe_id`."""
    new = {"device_uuid": device_uuid, "drink_no": drink_no, "size": size, "probe_id": probe_id, "asked_at": now}
    if insert_if_new(tx.connection, Probe, {**new, "code": ""}):
        tx.notify(TOPIC)
    probe = tx.session.get_one(Probe, (device_uuid, drink_no), with_for_update=True, populate_existing=True)
    if _is_useful(probe, now):
        return probe
    probe.size, probe.probe_id, probe.asked_at = size, probe_id, now
    probe.sent_at = probe.settled_at = None
    tx.notify(TOPIC)
    return probe


def claim(tx: Transaction, now: datetime) -> Sequence[Probe]:
    """Questions to be sent now; whoever asks next gets others."""
    waiting = select(Probe).where(Probe.sent_at.is_(None), Probe.settled_at.is_(None), Probe.asked_at > now - PATIENCE)
    claimed = tx.session.scalars(waiting.with_for_update(skip_locked=True)).all()
    for probe in claimed:
        probe.sent_at = now
    return claimed


def answered(tx: Transaction, device_uuid: str, probe_id: str, code: str, now: datetime) -> None:
    """The device says: it could (`code` empty), or why not. Late and foreign answers mean nothing."""
    probe = _of(tx.session, probe_id)
    if probe is not None and probe.device_uuid == device_uuid:
        probe.settled_at = probe.heard_at = now
        probe.code = code
        tx.notify(topic_of(probe_id))


def not_sent(tx: Transaction, probe_id: str, now: datetime) -> None:
    """The question could not be put to the machine."""
    probe = _of(tx.session, probe_id)
    if probe is not None and probe.settled_at is None:
        probe.settled_at, probe.code = now, NOT_SENT
        tx.notify(topic_of(probe_id))


def has_ever_answered(session: Session, device_uuid: str) -> bool:
    """Whether this device is known to answer such questions: only then does its silence say something."""
    heard = select(Probe.probe_id).where(Probe.device_uuid == device_uuid, Probe.heard_at.is_not(None)).limit(1)
    return session.scalar(heard) is not None


def _is_useful(probe: Probe, now: datetime) -> bool:
    """What is dated far ahead was asked, or answered, before the clock was set back."""
    if probe.settled_at is None:
        return not is_due(probe.asked_at + PATIENCE, now, PATIENCE)
    return not is_due(probe.settled_at + FRESH_FOR, now, FRESH_FOR)


def _of(session: Session, probe_id: str) -> Probe | None:
    return session.scalar(select(Probe).where(Probe.probe_id == probe_id).with_for_update())
