"""What people changed by hand, field by field, so that applying `fleet.toml` never takes it back in silence."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import String, delete, select
from sqlalchemy.orm import Mapped, Session, mapped_column

from cloud.database.base import Base

EXISTS = ""
"""The field of an object that was added, or removed, by hand."""


class HandEdit(Base):
    """A field that a person has set, and the file does not say the same."""

    __tablename__ = "hand_edits"

    kind: Mapped[str] = mapped_column(String(16), primary_key=True)
    """`merchant`, `device` or `drink`; `account` of a merchant's own page."""
    object_id: Mapped[str] = mapped_column(String(255), primary_key=True)
    field: Mapped[str] = mapped_column(String(64), primary_key=True)
    at: Mapped[datetime]
    by: Mapped[str] = mapped_column(String(64))


@dataclass(frozen=True)
class Edited:
    """The person who set it, and when."""

    by: str
    at: datetime


def mark(session: Session, kind: str, object_id: str, fields: Iterable[str], by: str, now: datetime) -> None:
    """These were set by hand."""
    for field in fields:
        session.merge(HandEdit(kind=kind, object_id=object_id, field=field, at=now, by=by[:64]))


def marks(session: Session) -> dict[tuple[str, str, str], Edited]:
    """By kind, object and field."""
    return {(row.kind, row.object_id, row.field): Edited(row.by, row.at) for row in session.scalars(select(HandEdit))}


def forget(session: Session, kind: str, object_id: str, field: str) -> None:
    """The file and the console agree about it again."""
    session.execute(
        delete(HandEdit).where(HandEdit.kind == kind, HandEdit.object_id == object_id, HandEdit.field == field)
    )


def drink_id(device_uuid: str, drink_no: str) -> str:
    """A drink's name among objects."""
    return f"{device_uuid}/{drink_no}"
