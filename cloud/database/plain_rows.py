"""Rows that no ORM session knows, for what a cloud reads and writes all day: a slotted class for each table, generated.

To the type checker a plain row is of the mapped class, and has its columns. To Python it is not: changing it changes
nothing but itself, and a session that is given one refuses it. `storage.py` reads and writes them.
"""

from collections.abc import Sequence
from dataclasses import make_dataclass
from functools import cache
from typing import Any, ClassVar, TypeVar

from sqlalchemy import Connection, Executable, FromClause, Table
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.sql.schema import ScalarElementColumnDefault

from cloud.database.base import Base

Row = TypeVar("Row", bound="Base")


class PlainRow:
    """What all of them are."""

    __slots__ = ()
    __table__: ClassVar[FromClause]


@cache
def table_of(kind: type[Base]) -> Table:
    """The table of a mapped class, or of a class of plain rows."""
    table = kind.__table__
    if not isinstance(table, Table):
        raise TypeError(f"{kind.__name__} is no table of ours")
    return table


def plain(kind: type[Row], values: Sequence[Any]) -> Row:
    """A row just read: the values of all its table's columns, in their order."""
    row: Row = _class_of(kind)(*values)
    return row


def fresh(kind: type[Row], /, **values: Any) -> Row:
    """A new row: what was not said is the column's default, or nothing."""
    row: Row = _class_of(kind)(**_defaults(kind) | values)
    return row


def class_of(kind: type[Row]) -> type[Row]:
    """The class of a table's plain rows."""
    made: type[Row] = _class_of(kind)
    return made


@cache
def _class_of(kind: type[Base]) -> Any:
    columns = [column.key for column in table_of(kind).columns]
    return make_dataclass(
        kind.__name__, columns, bases=(PlainRow,), namespace={"__table__": kind.__table__}, slots=True, eq=False,
        repr=False,  # some columns are secrets
    )  # fmt: skip


@cache
def _defaults(kind: type[Base]) -> dict[str, Any]:
    defaults = {column.key: column.default for column in table_of(kind).columns}
    return {
        name: default.arg if isinstance(default, ScalarElementColumnDefault) else None
        for name, default in defaults.items()
    }


def insert_if_new(connection: Connection, table: type[Base], values: dict[str, Any]) -> bool:
    """Add one row unless a unique column holds its value already, also when another process adds it this moment."""
    adding = _insert_if_new(table, connection.dialect.name == "sqlite")
    return connection.execute(adding, values).first() is not None


@cache
def _insert_if_new(table: type[Base], is_sqlite: bool) -> Executable:
    adding = (sqlite if is_sqlite else postgresql).insert(table_of(table)).on_conflict_do_nothing()
    # What it returns is told by every driver; how many rows it counted is not.
    returning: Executable = adding.returning(*table_of(table).primary_key)
    return returning
