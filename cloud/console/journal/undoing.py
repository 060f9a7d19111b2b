"""Taking an act back: a new act that writes what was before, refused when the object has moved on since."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from cloud.access import users
from cloud.access.acts import Act, Role
from cloud.access.journal import Subject
from cloud.access.models import JournalRow, Membership
from cloud.access.person import Person
from cloud.console.shell.desk import Done
from cloud.database.transaction import Transaction
from cloud.fleet import editing
from cloud.fleet.editing import Thing

Values = Mapping[str, Any]


class MovedOn(Exception):
    """The object is not any more what the act left: undoing would take back somebody else's act."""


@dataclass(frozen=True)
class Undoer:
    """How the acts of one kind are taken back."""

    now: Callable[[Transaction, Subject, Values], Values]
    """What the object is, of the names that the act changed."""
    write: Callable[[Transaction, Subject, Values, Person, datetime], None]


def subject_of(entry: JournalRow) -> Subject:
    return Subject(entry.kind, entry.object_id, entry.merchant_id, entry.device_uuid)


def can_be_undone(entry: JournalRow) -> bool:
    """Whether there is a way back from such an act."""
    return (entry.act, entry.kind) in UNDOERS and entry.before is not None and entry.after is not None


def undo(tx: Transaction, entry: JournalRow, person: Person, now: datetime) -> Done[None]:
    """Write what was before. Raises `MovedOn`."""
    undoer, subject = UNDOERS[entry.act, entry.kind], subject_of(entry)
    before, after = dict(entry.before or {}), dict(entry.after or {})
    try:
        is_as_left = dict(undoer.now(tx, subject, after)) == after
    except editing.NoSuchThing:
        is_as_left = False
    if not is_as_left:
        raise MovedOn
    undoer.write(tx, subject, before, person, now)
    return Done(None, after, before, undoes=entry.id)


def _role_now(tx: Transaction, subject: Subject, _names: Values) -> Values:
    rows = tx.session.query(Membership).filter_by(user_id=subject.id, merchant_id=subject.merchant_id)
    row = rows.with_for_update().one_or_none()
    return {"role": row.role if row else None, "machines": row.machines if row else None}


def _write_role(tx: Transaction, subject: Subject, values: Values, person: Person, _now: datetime) -> None:
    if values["role"] is None:
        users.take_role(tx, subject.id, subject.merchant_id, person)
    else:
        users.give_role(tx, subject.id, subject.merchant_id, Role(values["role"]), values["machines"], person)


def _fields_now(tx: Transaction, subject: Subject, names: Values) -> Values:
    return editing.state_of(tx.session, Thing(subject.kind, subject.id), names)


def _write_fields(tx: Transaction, subject: Subject, values: Values, person: Person, now: datetime) -> None:
    editing.change(tx, Thing(subject.kind, subject.id), values, person.name or person.email, now)


_FIELDS = Undoer(_fields_now, _write_fields)
UNDOERS: dict[tuple[str, str], Undoer] = {
    (Act.MANAGE_USERS, "user"): Undoer(_role_now, _write_role),
    (Act.EDIT_MERCHANT, "merchant"): _FIELDS,
    (Act.EDIT_MACHINES, "device"): _FIELDS,
    (Act.EDIT_MENU, "device"): _FIELDS,
    (Act.EDIT_MENU, "drink"): _FIELDS,
}
"""By act and kind of object."""
