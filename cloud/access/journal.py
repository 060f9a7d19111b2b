"""The journal: one row for each act, written in the act's own transaction. Nothing rewrites it (`append_only.py`)."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from cloud.access.acts import Act
from cloud.access.models import JournalRow
from cloud.access.person import Person
from cloud.database.transaction import Transaction

CHANGED = "changed"
"""All that is told of a secret."""


@dataclass(frozen=True)
class Subject:
    """What an act is done to, and whose it is."""

    kind: str
    id: str
    merchant_id: str = ""
    device_uuid: str = ""


@dataclass(frozen=True)
class Author:
    """The author of an act: a person at the console, a shell's user, or the cloud by itself."""

    who: str
    name: str = ""
    address: str = ""
    session_id: str = ""

    @classmethod
    def of(cls, person: Person) -> "Author":
        return cls(person.user_id, person.name or person.email, person.address, person.session_id)


@dataclass(frozen=True)
class Entry:
    """One act. Put no secret into `before` and `after`: say `CHANGED`."""

    act: Act | str
    author: Author
    subject: Subject
    why: str = ""
    before: Mapping[str, Any] | None = None
    after: Mapping[str, Any] | None = None
    undoes: int | None = None
    at: datetime | None = field(default=None)


def record(tx: Transaction, entry: Entry, now: datetime) -> JournalRow:
    """Write an act down, in the transaction that does it."""
    subject, author = entry.subject, entry.author
    row = JournalRow(
        at=entry.at or now, who=author.who[:64], who_name=author.name[:255], merchant_id=subject.merchant_id,
        device_uuid=subject.device_uuid, act=str(entry.act), kind=subject.kind, object_id=subject.id[:255],
        before=None if entry.before is None else dict(entry.before),
        after=None if entry.after is None else dict(entry.after),
        why=entry.why[:500], undoes=entry.undoes, address=author.address[:64], session_id=author.session_id,
    )  # fmt: skip
    tx.session.add(row)
    return row


def difference(before: Mapping[str, Any], after: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Only what differs, for `Entry.before` and `Entry.after`."""
    changed = [key for key in {**before, **after} if before.get(key) != after.get(key)]
    return {key: before.get(key) for key in changed}, {key: after.get(key) for key in changed}
