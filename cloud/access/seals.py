"""Day seals: what the journal of a day was, hashed together with the seal before it, and signed.

Triggers keep rows from being rewritten through the database; a seal shows it when somebody did so beside them.
"""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from cloud.access.models import DaySeal, JournalRow
from cloud.access.signing import Signer
from cloud.database.transaction import Transaction

SETTLED_AFTER = timedelta(hours=1)
"""After midnight (UTC): what was begun before it is committed by then."""
_FIELDS = (
    "id", "at", "who", "who_name", "merchant_id", "device_uuid", "act", "kind", "object_id", "before", "after", "why",
    "undoes", "address", "session_id",
)  # fmt: skip


@dataclass(frozen=True)
class Broken:
    """A day whose seal does not fit."""

    day: date
    why: str


def seal_days(tx: Transaction, signer: Signer, now: datetime) -> int:
    """Seal every finished day that has entries and no seal; how many."""
    last = tx.session.scalar(select(func.max(DaySeal.day)))
    until = (now - SETTLED_AFTER).astimezone(UTC).date()
    seal = tx.session.get(DaySeal, last) if last else None
    before, sealed = (seal.signature if seal else ""), 0
    for day in _days(tx.session, last, until):
        count, digest = _digest(tx.session, day, before)
        before = signer.sign(_message(day, count, digest))
        tx.session.add(DaySeal(day=day, entries=count, digest=digest, signature=before, sealed_at=now))
        sealed += 1
    return sealed


def verify(session: Session, signer: Signer) -> tuple[int, list[Broken]]:
    """How many days are sealed, and which of them are not what was sealed."""
    before, broken, last = "", list[Broken](), None
    seals = session.scalars(select(DaySeal).order_by(DaySeal.day)).all()
    for seal in seals:
        broken += [Broken(day, "has entries but no seal") for day in _days(session, last, seal.day)]
        count, digest = _digest(session, seal.day, before)
        if not signer.fits(_message(seal.day, seal.entries, seal.digest), seal.signature):
            broken.append(Broken(seal.day, "the seal is not signed by our key"))
        elif (count, digest) != (seal.entries, seal.digest):
            broken.append(Broken(seal.day, f"{seal.entries} entries were sealed, {count} are there, or one differs"))
        before, last = seal.signature, seal.day
    return len(seals), broken


def _days(session: Session, after: date | None, until: date) -> Iterator[date]:
    """Days with entries, later than `after`, before `until`."""
    start = _start(after + timedelta(days=1)) if after else None
    while True:
        query = select(func.min(JournalRow.at)).where(JournalRow.at < _start(until))
        moment = session.scalar(query if start is None else query.where(JournalRow.at >= start))
        if moment is None:
            return
        day = moment.astimezone(UTC).date()
        yield day
        start = _start(day + timedelta(days=1))


def _start(day: date) -> datetime:
    return datetime.combine(day, time(), UTC)


def _digest(session: Session, day: date, before: str) -> tuple[int, str]:
    digest, count = hashlib.sha256(before.encode()), 0
    rows = select(JournalRow).where(JournalRow.at >= _start(day), JournalRow.at < _start(day + timedelta(days=1)))
    for row in session.scalars(rows.order_by(JournalRow.id).execution_options(yield_per=500)):
        digest.update(_line(row))
        count += 1
    return count, digest.hexdigest()


def _line(row: JournalRow) -> bytes:
    values = [getattr(row, name) for name in _FIELDS]
    said = [value.isoformat() if isinstance(value, datetime) else value for value in values]
    return json.dumps(said, sort_keys=True, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"


def _message(day: date, count: int, digest: str) -> bytes:
    return f"coffee-relay journal {day.isoformat()} {count} {digest}".encode()
