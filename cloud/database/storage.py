"""What a transaction reads and writes of plain rows (`plain_rows.py`): three statements, generated from the tables.

Select by keys, update by key, insert: for one row or for many, and prepared once. Rows read are compared with what the
database holds of them; only what differs is written.
"""

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from operator import attrgetter
from typing import Any, Generic

from sqlalchemy import BindParameter, Column, Connection, Dialect, Select, Table, bindparam

from cloud.database.base import Base
from cloud.database.plain_rows import PlainRow, Row, class_of, table_of

Values = tuple[Any, ...]


class RowsByKey(Generic[Row]):
    """A prepared SELECT of one table's rows by one key column, in order: those of one key, or of many at once.

    `statement` selects the table's columns; it may select more after them, which `PlainRows.read` returns beside each.
    """

    def __init__(self, kind: type[Row], statement: Select[Any], by: Column[str], *order_by: Column[Any]) -> None:
        self.row_class = class_of(kind)
        self.width = len(table_of(kind).columns)
        statement = statement.order_by(by, *order_by)
        keys: BindParameter[Any] = bindparam("keys", expanding=True)
        self.of_one, self.of_many = statement.where(by == bindparam("key")), statement.where(by.in_(keys))


@dataclass(frozen=True)
class Write:
    """A statement that writes rows of one table, and the places of the values it takes of each."""

    text: str
    takes: Sequence[tuple[int, Callable[[Any], Any] | None]]
    """Each with the function that makes of it what the driver takes; None where that is the same."""


class Storage:
    """How rows of one table are written."""

    def __init__(self, row_class: type[Base], dialect: Dialect) -> None:
        if not issubclass(row_class, PlainRow):
            raise TypeError(f"{row_class.__name__} is no class of plain rows")
        table = table_of(row_class)
        self._table, self._mark = table.name, "?" if dialect.name == "sqlite" else "%s"
        self.depth = Base.metadata.sorted_tables.index(table)
        """Its place among all tables, those it refers to before it."""
        self._names = [column.key for column in table.columns]
        self.values_of: Callable[[Base], Values] = attrgetter(*self._names)
        """All its values, to compare and to write."""
        # The database counts up numbers by itself.
        given = [place for place, column in enumerate(table.columns) if column.autoincrement is not True]
        self.key = _named_by(table)
        self._bind = [column.type.dialect_impl(dialect).bind_processor(dialect) for column in table.columns]
        names = ", ".join([self._names[place] for place in given])
        marks = ", ".join([self._mark] * len(given))
        text = f"INSERT INTO {self._table} ({names}) VALUES ({marks})"  # noqa: S608  # our own tables' names
        self.insert = self._write(text, given)
        """Adds rows."""
        self.insert_once = self._write(f"{text} ON CONFLICT DO NOTHING", given)
        """Adds those of which no unique column holds anything yet."""
        self._updates: dict[tuple[int, ...], Write] = {}

    def update(self, rows: Sequence[tuple[Values, Values]]) -> Write:
        """What makes these rows, given as they were and as they are, what they are.

        It sets every column that differs in any of them. More would touch indexes for nothing.
        """
        differ = {place for was, now in rows for place, (a, b) in enumerate(zip(was, now, strict=True)) if a != b}
        places = (*sorted(differ), self._names.index(self.key))
        if places not in self._updates:
            *sets, key = [f"{self._names[place]} = {self._mark}" for place in places]
            text = f"UPDATE {self._table} SET {', '.join(sets)} WHERE {key}"  # noqa: S608
            self._updates[places] = self._write(text, places)
        return self._updates[places]

    def _write(self, text: str, places: Sequence[int]) -> Write:
        return Write(text, [(place, self._bind[place]) for place in places])


class PlainRows:
    """The plain rows of one transaction: those read, and those to be added."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._held: list[tuple[Base, Storage, Values]] = []
        """Each row that is in the database, and what it holds there."""
        self._new: list[tuple[Base, bool]] = []

    def read(self, by_key: RowsByKey[Row], keys: Sequence[str]) -> list[tuple[Row, Sequence[Any]]]:
        """Rows as the database holds them, and what is beside each."""
        if not keys:
            return []
        if len(keys) == 1:
            answer = self._connection.execute(by_key.of_one, {"key": keys[0]})
        else:
            as_many = 1 << (len(keys) - 1).bit_length()  # few different statements, so that each stays prepared
            filled = [*keys, *[keys[-1]] * (as_many - len(keys))]
            answer = self._connection.execute(by_key.of_many, {"keys": filled})
        row_class, width = by_key.row_class, by_key.width
        found: list[tuple[Row, Sequence[Any]]] = [(row_class(*row[:width]), row[width:]) for row in answer.all()]
        storage = storage_of(row_class, self._connection.dialect)
        if storage.key:  # what is only ever added is not looked at again
            self._held += [(row, storage, storage.values_of(row)) for row, _ in found]
        return found

    def add(self, row: Base, once: bool = False) -> None:
        """A new row. `once`: should a unique column hold it already, that one stays as it is."""
        self._new.append((row, once))

    @property
    def are_changed(self) -> bool:
        """Whether there is anything to write."""
        return bool(self._new) or any(storage.values_of(row) != values for row, storage, values in self._held)

    def write(self) -> None:
        """Write what was changed and added since the last time: a statement a table for each.

        Raises `IntegrityError` for what the database will not hold.
        """
        changed, added = defaultdict(list), defaultdict(list)
        for place, (row, storage, was) in enumerate(self._held):
            now = storage.values_of(row)
            if now != was:
                changed[storage].append((was, now))
                self._held[place] = (row, storage, now)
        for row, once in self._new:
            storage = storage_of(type(row), self._connection.dialect)
            values = storage.values_of(row)
            added[storage, once].append(values)
            if storage.key:
                self._held.append((row, storage, values))
        self._new.clear()
        # Changes first: what was live makes room for what is.
        writes = [(storage.update(rows), [now for _, now in rows]) for storage, rows in changed.items()]
        for (storage, once), rows in sorted(added.items(), key=lambda item: item[0][0].depth):
            writes.append((storage.insert_once if once else storage.insert, rows))
        for write, rows in writes:
            told = [
                tuple([row[at] if bind is None or row[at] is None else bind(row[at]) for at, bind in write.takes])
                for row in rows
            ]
            self._connection.exec_driver_sql(write.text, told if len(told) > 1 else told[0])


@lru_cache(maxsize=64)
def storage_of(row_class: type[Base], dialect: Dialect) -> Storage:
    """The storage of a table, by the class of its plain rows."""
    return Storage(row_class, dialect)


def _named_by(table: Table) -> str:
    """The column by which a row is found again; nothing for those that are only ever added.

    It is the primary key, or a unique column where the database counts the key up by itself.
    """
    own = [column.key for column in table.primary_key.columns if column.autoincrement is not True]
    return next(iter(own or [column.key for column in table.columns if column.unique]), "")
