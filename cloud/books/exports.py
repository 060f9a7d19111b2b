"""Files that a worker makes: asked for by a person, made in parts, kept in the database for a day.

They lie in the database because web and workers, on one host or on several, share nothing else. What there can be of
them is limited: in lines, in bytes, in files of a person.
"""

import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from enum import StrEnum
from typing import Any

from sqlalchemy import JSON, Date, ForeignKey, Index, Integer, LargeBinary, String, and_, case, delete, or_, select
from sqlalchemy.orm import Mapped, Session, mapped_column

from cloud.access.person import Scope
from cloud.books.kinds import MOST_LINES
from cloud.books.period import Period
from cloud.books.reading import Asked
from cloud.database.base import Base
from cloud.database.database import Database
from cloud.database.transaction import Transaction

TOPIC = "exports"
LEASE = timedelta(seconds=60)
"""A worker that has not gone on for so long is dead: another begins the file anew."""
TRIES = 3
LIVES_FOR = timedelta(hours=24)
MOST_OPEN, MOST_KEPT = 2, 10
"""Of one person: under way, and altogether."""
MOST_LISTED = 3 * MOST_KEPT
MOST_BYTES = 32 * 1024 * 1024
PART = 256 * 1024


class State(StrEnum):
    """How far a file has come."""

    WAITING = "waiting"
    MAKING = "making"
    READY = "ready"
    FAILED = "failed"


OPEN = (State.WAITING.value, State.MAKING.value)


class TooMany(Exception):
    """This person has enough of them."""


class Export(Base):
    """One file, of one merchant's books."""

    __tablename__ = "exports"
    __table_args__ = (
        Index("ix_exports_state", "state", "asked_at"),
        Index("ix_exports_merchant", "merchant_id", "asked_at"),
        Index("ix_exports_expires", "expires_at"),
    )

    id: Mapped[str] = mapped_column(String(32), primary_key=True)
    merchant_id: Mapped[str] = mapped_column(String(64))
    user_id: Mapped[str] = mapped_column(String(32))
    user_name: Mapped[str] = mapped_column(String(255))
    kind: Mapped[str] = mapped_column(String(16))
    first: Mapped[date] = mapped_column(Date)
    last: Mapped[date] = mapped_column(Date)
    device_uuid: Mapped[str] = mapped_column(String(64), default="")
    """Of this machine alone; empty for all of them."""
    words: Mapped[dict[str, Any]] = mapped_column(JSON)
    """What it says, in the language of the person who asked: a worker has no reader."""
    state: Mapped[str] = mapped_column(String(16), default=State.WAITING.value)
    percent: Mapped[int] = mapped_column(Integer, default=0)
    lines: Mapped[int] = mapped_column(Integer, default=0)
    size: Mapped[int] = mapped_column(Integer, default=0)
    tries: Mapped[int] = mapped_column(Integer, default=0)
    owner: Mapped[str] = mapped_column(String(64), default="")
    lease_until: Mapped[datetime | None] = mapped_column(default=None)
    asked_at: Mapped[datetime]
    ended_at: Mapped[datetime | None] = mapped_column(default=None)
    expires_at: Mapped[datetime]

    @property
    def asked(self) -> Asked:
        return Asked(Scope(frozenset({self.merchant_id})), Period(self.first, self.last), self.device_uuid)

    @property
    def is_open(self) -> bool:
        return self.state in OPEN

    @property
    def is_cut(self) -> bool:
        """Whether its last line says that later ones are missing."""
        return self.lines > MOST_LINES


class ExportPart(Base):
    """A piece of a file; its pieces go with it."""

    __tablename__ = "export_parts"

    export_id: Mapped[str] = mapped_column(ForeignKey("exports.id", ondelete="CASCADE"), primary_key=True)
    number: Mapped[int] = mapped_column(Integer, primary_key=True)
    body: Mapped[bytes] = mapped_column(LargeBinary)


@dataclass(frozen=True)
class Claim:
    """A file that is ours to make."""

    id: str
    kind: str
    asked: Asked
    words: Mapping[str, str]


def ask(
    tx: Transaction, merchant_id: str, who: tuple[str, str], kind: str, asked: Asked, words: Mapping[str, str],
    now: datetime,
) -> Export:  # fmt: skip
    """One more file, to be made soon. The person's oldest ones make room for it. Raises `TooMany`."""
    user_id, name = who
    own = select(Export).where(Export.user_id == user_id).order_by(Export.asked_at)
    mine = list(tx.session.scalars(own.with_for_update()))
    if sum(one.is_open for one in mine) >= MOST_OPEN:
        raise TooMany
    for old in [one for one in mine if not one.is_open][: max(0, len(mine) + 1 - MOST_KEPT)]:
        tx.session.delete(old)
    period = asked.period
    export = Export(
        id=uuid.uuid4().hex, merchant_id=merchant_id, user_id=user_id, user_name=name[:255], kind=kind,
        first=period.first, last=period.last, device_uuid=asked.device_uuid, words=dict(words), asked_at=now,
        expires_at=now + LIVES_FOR,
    )  # fmt: skip
    tx.session.add(export)
    tx.session.flush()
    tx.notify(TOPIC)
    return export


def claim(tx: Transaction, owner: str, now: datetime) -> Claim | None:
    """The oldest file nobody is making, or whose maker has died; one that killed its makers is given up."""
    left = and_(Export.state == State.MAKING.value, or_(Export.lease_until < now, Export.owner == owner))
    due = select(Export).where(or_(Export.state == State.WAITING.value, left)).order_by(Export.asked_at).limit(1)
    export = tx.session.scalar(due.with_for_update(skip_locked=True))
    if export is None:
        return None
    if export.tries >= TRIES:
        _end(export, State.FAILED, now)
        return None
    tx.session.execute(delete(ExportPart).where(ExportPart.export_id == export.id))
    export.state, export.owner, export.lease_until = State.MAKING.value, owner, now + LEASE
    export.percent, export.lines, export.tries = 0, 0, export.tries + 1
    return Claim(export.id, export.kind, export.asked, export.words)


def go_on(tx: Transaction, export_id: str, owner: str, percent: int, lines: int, now: datetime) -> bool:
    """So far it has come; false where it is ours no more."""
    export = _ours(tx, export_id, owner)
    if export is not None:
        export.percent, export.lines, export.lease_until = percent, lines, now + LEASE
    return export is not None


def keep(tx: Transaction, export_id: str, owner: str, parts: Sequence[tuple[int, bytes]], now: datetime) -> bool:
    """Some of the finished file; false where it is ours no more."""
    export = _ours(tx, export_id, owner)
    if export is None:
        return False
    tx.session.add_all(ExportPart(export_id=export_id, number=number, body=body) for number, body in parts)
    export.lease_until = now + LEASE
    return True


def end(tx: Transaction, export_id: str, owner: str, size: int, now: datetime) -> None:
    """All of it is there; of size 0: it could not be made."""
    export = _ours(tx, export_id, owner)
    if export is not None:
        export.size = size
        _end(export, State.READY if size else State.FAILED, now)


def of_merchant(session: Session, scope: Scope, user_id: str, now: datetime) -> list[Export]:
    """The files a person may fetch: all his own, then the others'; the newest first."""
    kept = select(Export).where(scope.where(Export.merchant_id), Export.expires_at > now)
    own_first = case((Export.user_id == user_id, 0), else_=1)
    return list(session.scalars(kept.order_by(own_first, Export.asked_at.desc()).limit(MOST_LISTED)))


def find(session: Session, export_id: str) -> Export | None:
    return session.get(Export, export_id)


def read(database: Database, export_id: str) -> Iterator[bytes]:
    """The file, a short transaction a part."""
    number = 0
    while True:
        with database.read() as session:
            part = session.get(ExportPart, (export_id, number))
            body = None if part is None else part.body
        if body is None:
            return
        yield body
        number += 1


def remove(tx: Transaction, export_id: str) -> None:
    """Remove it with all its parts; the worker that is making it finds out."""
    tx.session.execute(delete(ExportPart).where(ExportPart.export_id == export_id))
    tx.session.execute(delete(Export).where(Export.id == export_id))


def forget(tx: Transaction, now: datetime) -> int:
    """Those whose time is over, a few; how many."""
    over = list(tx.session.scalars(select(Export.id).where(Export.expires_at <= now).limit(MOST_KEPT)))
    for export_id in over:
        remove(tx, export_id)
    return len(over)


def is_any_due(session: Session, now: datetime) -> bool:
    """Whether a maker may have something to do."""
    due = select(Export.id).where(or_(Export.state.in_(OPEN), Export.expires_at <= now)).limit(1)
    return session.scalar(due) is not None


def _ours(tx: Transaction, export_id: str, owner: str) -> Export | None:
    mine = select(Export).where(
        Export.id == export_id, Export.owner == owner, Export.state == State.MAKING.value
    ).with_for_update()  # fmt: skip
    return tx.session.scalar(mine)


def _end(export: Export, state: State, now: datetime) -> None:
    export.state, export.ended_at, export.lease_until = state.value, now, None
    export.percent = 100 if state is State.READY else export.percent
