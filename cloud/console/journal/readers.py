"""Entries of the journal that one person may read."""

from dataclasses import dataclass

from sqlalchemy import ColumnElement, and_, func, or_, select
from sqlalchemy.orm import Session

from cloud.access.acts import MONEY_ACTS, Act
from cloud.access.journal import Subject
from cloud.access.models import DaySeal, JournalRow
from cloud.access.person import Person
from cloud.console.shell.paging import Key, Listed, newest_first
from cloud.console.shell.section import Kind


@dataclass(frozen=True)
class Filter:
    """What is asked for; empty fields ask for everything."""

    act: str = ""
    who: str = ""
    kind: str = ""
    object_id: str = ""
    merchant: str = ""


def entries(session: Session, person: Person, asked: Filter, after: Key | None) -> Listed[JournalRow]:
    """One page of them, the newest first."""
    query = select(JournalRow.at, JournalRow.id, JournalRow).where(readable(person))
    for column, wanted in (
        (JournalRow.act, asked.act), (JournalRow.who, asked.who), (JournalRow.kind, asked.kind),
        (JournalRow.object_id, asked.object_id), (JournalRow.merchant_id, asked.merchant),
    ):  # fmt: skip
        if wanted:
            query = query.where(column == wanted)
    rows, next_key = newest_first(session, query, JournalRow.at, JournalRow.id, after)
    return Listed([row[2] for row in rows], next_key)


def readable(person: Person) -> ColumnElement[bool]:
    """Every act where the journal may be read, money acts where those may be read, and the own ones of this person."""
    all_of, money_of = person.scope(Act.SEE_JOURNAL), person.scope(Act.SEE_MONEY_JOURNAL)
    return or_(
        all_of.where(JournalRow.merchant_id),
        and_(JournalRow.act.in_(sorted(MONEY_ACTS)), money_of.where(JournalRow.merchant_id)),
        JournalRow.who == person.user_id,
    )


def undone(session: Session, ids: list[int]) -> set[int]:
    """Which of these were undone."""
    found = session.scalars(select(JournalRow.undoes).where(JournalRow.undoes.in_(ids)))
    return {number for number in found if number is not None}


def sealed(session: Session) -> tuple[int, DaySeal | None]:
    """How many days are sealed, and the last seal."""
    last = session.scalar(select(DaySeal).order_by(DaySeal.day.desc()).limit(1))
    return session.scalar(select(func.count()).select_from(DaySeal)) or 0, last


def _find(session: Session, entry_id: str) -> Subject | None:
    row = session.get(JournalRow, int(entry_id)) if entry_id.isdecimal() and len(entry_id) < 10 else None
    return None if row is None else Subject("entry", entry_id, row.merchant_id, row.device_uuid)


ENTRY = Kind("entry", "entry_id", _find)
