"""Undo an act by a new act that writes what was before; refused when the object has moved on since.

Which acts can be undone: `undo_table.py`.
"""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import select

from cloud.access.journal import Subject
from cloud.access.models import JournalRow
from cloud.access.person import Person
from cloud.console.shell.request_context import Done
from cloud.database.transaction import Transaction
from cloud.fleet.models import Device
from cloud.fleet.vault import Vault

Values = Mapping[str, Any]


class MovedOn(Exception):
    """The object is not what the act left: to undo it would overwrite somebody else's act. `names`: what moved on."""

    def __init__(self, names: Collection[str] = ()) -> None:
        super().__init__(", ".join(names))
        self.names = tuple(names)


class CannotBePutBack(Exception):
    """What was before cannot be written, though no name of it has moved on; the text is the key of a sentence."""


@dataclass(frozen=True)
class UndoContext:
    """The person who undoes, and when; the vault is for keys."""

    person: Person
    vault: Vault
    now: datetime

    @property
    def name(self) -> str:
        return self.person.name or self.person.email


@dataclass(frozen=True)
class Undoer:
    """How the acts of one kind are undone. `{}` is an object that is not there."""

    present: Callable[[Transaction, Subject, Values], Values]
    """What the object is, of the names that the act changed; its rows are held."""
    write: Callable[[Transaction, Subject, Values, UndoContext], None]
    """Write what was before. Raises `MovedOn` and `CannotBePutBack` where that would break something else."""
    asks_who: bool = False
    """Undoing needs a step-up, though the act does not."""


def subject_of(entry: JournalRow) -> Subject:
    return Subject(entry.kind, entry.object_id, entry.merchant_id, entry.device_uuid)


def undo(tx: Transaction, entry: JournalRow, undoer: Undoer, context: UndoContext) -> Done[None]:
    """Write what was before. Raises `MovedOn` and `CannotBePutBack`."""
    subject, before, after = subject_of(entry), dict(entry.before or {}), dict(entry.after or {})
    if subject.device_uuid and _owner(tx, subject.device_uuid) != subject.merchant_id:
        raise CannotBePutBack("journal.another_owner")
    present = dict(undoer.present(tx, subject, after))
    if present != after:
        raise MovedOn([name for name in {**after, **present} if present.get(name) != after.get(name)])
    undoer.write(tx, subject, before, context)
    tx.session.flush()
    return Done(None, after, dict(undoer.present(tx, subject, before)), undoes=entry.id)


def _owner(tx: Transaction, device_uuid: str) -> str | None:
    """Whose the machine is today, which the right to the act was not asked about; it stays so until the end."""
    owner = select(Device.merchant_id).where(Device.device_uuid == device_uuid)
    return tx.session.scalar(owner.with_for_update())
