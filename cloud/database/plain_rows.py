"""Rows that no ORM session knows, for what a cloud reads and writes all day: a slotted class for each table, generated.

To the type checker a plain row is of the mapped class, and has its columns. To Python it is not: changing it changes
nothing but itself, and a session that is given one refuses it. `storage.py` reads and writes them.
"""

from collections.abc import Sequence
from dataclasses import make_dataclass
from functools import cache
from typing import Any, ClassVar, TypeVar, cast

from sqlalchemy import Connection, Executable, Table
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.sql.schema import ScalarElementColumnDefault

from cloud.database.base import Base

Row = TypeVar("Row", bound="Base")


class PlainRow:
    """What all of them are."""

    __slots__ = ()
    mapped_class: ClassVar[type[Base]]


@cache
def table_of(kind: type[Base]) -> Table:
    """The table of a mapped class."""
    table = kind.__table__
    if not isinstance(table, Table):
        raise TypeError(f"{kind.__name__} is no table of ours")
    return table


def plain(kind: type[Row], values: Sequence[Any]) -> Row:
    """A row just read: the values of all its table's columns, in their order."""
    return cast("Row", _class_of(kind)(*values))


def fresh(kind: type[Row], /, **values: Any) -> Row:
    """A new row: what was not said is the column's default, or nothing."""
    return cast("Row", _class_of(kind)(**_defaults(kind) | values))


def kind_of(row: object) -> type[Base]:
    """The mapped class a plain row stands for."""
    if not isinstance(row, PlainRow):
        raise TypeError(f"{type(row).__name__} is no plain row")
    return row.mapped_class


@cache
def _class_of(kind: type[Base]) -> type:
    columns = [column.key for column in table_of(kind).columns]
    return make_dataclass(
        kind.__name__, columns, bases=(PlainRow,), namespace={"mapped_class": kind}, slots=True, eq=False,
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
