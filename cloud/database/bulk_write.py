"""What a transaction changes in plain rows (`plain_rows.py`), written in bulk: one statement a kind of change.

Rows read are compared with what the database holds of them; only what differs is written, and nothing is read again.
"""

from collections import defaultdict
from functools import cache
from typing import Any

from sqlalchemy import Connection, Executable, Update, bindparam, insert, update
from sqlalchemy.dialects import postgresql, sqlite

from cloud.database.base import Base
from cloud.database.plain_rows import table_of

_WHICH = "which_row"


class PlainRows:
    """The plain rows of one transaction: those read, and those to be added."""

    def __init__(self) -> None:
        self._held: list[tuple[Base, dict[str, Any]]] = []
        """Each row that is in the database, and what it holds there."""
        self._new: list[tuple[Base, bool]] = []

    def watch(self, row: Base, values: dict[str, Any]) -> None:
        """A row just read; `values` is what the database holds of it."""
        self._held.append((row, values))

    def add(self, row: Base, once: bool = False) -> None:
        """A new row. `once`: should a unique column hold it already, that one stays as it is."""
        self._new.append((row, once))

    @property
    def are_changed(self) -> bool:
        """Whether there is anything to write."""
        return bool(self._new) or any(_changed(row, before) for row, before in self._held)

    def write(self, connection: Connection) -> None:
        """Write what was changed and added since the last time: one statement a kind of change.

        Raises `IntegrityError` for what the database will not hold.
        """
        for (kind, names), values in self._updates().items():  # first: what was live makes room for what is
            connection.execute(_update(kind, names), values if len(values) > 1 else values[0])
        for (kind, once), values in sorted(self._inserts().items(), key=lambda item: _depth(item[0][0])):
            adding = _insert_once(kind, connection.dialect.name) if once else _insert(kind)
            connection.execute(adding, values if len(values) > 1 else values[0])

    def _updates(self) -> dict[tuple[type[Base], tuple[str, ...]], list[dict[str, Any]]]:
        updates = defaultdict(list)
        for place, (row, before) in enumerate(self._held):
            changed = _changed(row, before)
            if changed:
                which = named_by(type(row))
                updates[type(row), tuple(changed)].append({_WHICH: before[which], **changed})
                self._held[place] = (row, before | changed)
        return updates

    def _inserts(self) -> dict[tuple[type[Base], bool], list[dict[str, Any]]]:
        inserts = defaultdict(list)
        for row, once in self._new:
            values = {name: row.__dict__[name] for name in _columns(type(row))}
            inserts[type(row), once].append(values)
            if named_by(type(row)):
                self.watch(row, values)
        self._new.clear()
        return inserts


def _changed(row: Base, before: dict[str, Any]) -> dict[str, Any]:
    now = row.__dict__
    return {name: now[name] for name, value in before.items() if now[name] != value}


@cache
def _depth(kind: type[Base]) -> int:
    """Its place among all tables, those it refers to before it."""
    return Base.metadata.sorted_tables.index(table_of(kind))


@cache
def named_by(kind: type[Base]) -> str:
    """The column by which a row is found again; nothing for those that are only ever added.

    It is the primary key, or a unique column where the database counts the key up by itself.
    """
    table = table_of(kind)
    own = [column.key for column in table.primary_key.columns if column.autoincrement is not True]
    return next(iter(own or [column.key for column in table.columns if column.unique]), "")


@cache
def _columns(kind: type[Base]) -> tuple[str, ...]:
    """All but the number the database counts up by itself."""
    return tuple(column.key for column in table_of(kind).columns if column.autoincrement is not True)


@cache
def _insert(kind: type[Base]) -> Executable:
    return insert(table_of(kind)).inline()  # nobody asks for the number it gets


@cache
def _insert_once(kind: type[Base], dialect: str) -> Executable:
    adding = (sqlite if dialect == "sqlite" else postgresql).insert(table_of(kind))
    once: Executable = adding.on_conflict_do_nothing().inline()
    return once


@cache
def _update(kind: type[Base], names: tuple[str, ...]) -> Update:
    table = table_of(kind)
    changed = {name: bindparam(name, type_=table.c[name].type) for name in names}
    return update(table).where(table.c[named_by(kind)] == bindparam(_WHICH)).values(changed)
