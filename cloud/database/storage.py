"""What a transaction reads and writes of plain rows (`plain_rows.py`): three statements, generated from the tables.

Select by keys, update by key, insert: for one row or for many, and prepared once. Rows read are compared with what the
database holds of them; only what differs is written.
"""

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from functools import cache, lru_cache
from operator import attrgetter
from typing import Any

from sqlalchemy import BindParameter, Column, Connection, Dialect, Select, bindparam

from cloud.database.base import Base
from cloud.database.plain_rows import kind_of, plain, table_of

Values = tuple[Any, ...]


class Question:
    """Rows of one table by one column, in order, those of many keys at once; `asked` may select more beside them."""

    def __init__(self, kind: type[Base], asked: Select[Any], by: Column[str], *order_by: Column[Any]) -> None:
        self._kind, self._width = kind, len(table_of(kind).columns)
        asked = asked.order_by(by, *order_by)
        keys: BindParameter[Any] = bindparam("keys", expanding=True)
        self._of_one, self._of_many = asked.where(by == bindparam("key")), asked.where(by.in_(keys))

    def ask(self, connection: Connection, keys: Sequence[str]) -> Iterator[list[Any]]:
        """A plain row, and what is beside it."""
        if not keys:
            return
        if len(keys) == 1:
            found = connection.execute(self._of_one, {"key": keys[0]})
        else:
            as_many = 1 << (len(keys) - 1).bit_length()  # few different statements, so that each stays prepared
            found = connection.execute(self._of_many, {"keys": [*keys, *[keys[-1]] * (as_many - len(keys))]})
        for values in found.all():
            yield [plain(self._kind, values[: self._width]), *values[self._width :]]


class Storage:
    """How rows of one table are written."""

    def __init__(self, kind: type[Base], dialect: Dialect) -> None:
        table = table_of(kind)
        self._table, self._mark = table.name, "?" if dialect.name == "sqlite" else "%s"
        self.depth = Base.metadata.sorted_tables.index(table)
        """Its place among all tables, those it refers to before it."""
        self._names = [column.key for column in table.columns]
        self.values_of: Callable[[Base], Values] = attrgetter(*self._names)
        """All its values, to compare and to write."""
        self._given = [place for place, column in enumerate(table.columns) if column.autoincrement is not True]
        """The database counts up numbers by itself."""
        self.key = named_by(kind)
        self._bind = [column.type.dialect_impl(dialect).bind_processor(dialect) for column in table.columns]
        self._updates: dict[tuple[int, ...], str] = {}
        names = ", ".join([self._names[place] for place in self._given])
        marks = ", ".join([self._mark] * len(self._given))
        self._insert = f"INSERT INTO {self._table} ({names}) VALUES ({marks})"  # noqa: S608  # our own tables' names

    def insert(self, rows: Sequence[Values], *, once: bool) -> tuple[str, list[Values]]:
        """The statement that adds these rows, and its parameters."""
        return self._insert + " ON CONFLICT DO NOTHING" * once, self._bound(rows, self._given)

    def update(self, rows: Sequence[tuple[Values, Values]]) -> tuple[str, list[Values]]:
        """The statement that makes these rows, given as they were and as they are, what they are; its parameters.

        It sets every column that differs in any of them. More would touch indexes for nothing.
        """
        differ = {place for was, now in rows for place, (a, b) in enumerate(zip(was, now, strict=True)) if a != b}
        places = (*sorted(differ), self._names.index(self.key))
        if places not in self._updates:
            *sets, key = [f"{self._names[place]} = {self._mark}" for place in places]
            self._updates[places] = f"UPDATE {self._table} SET {', '.join(sets)} WHERE {key}"  # noqa: S608
        return self._updates[places], self._bound([now for _, now in rows], places)

    def _bound(self, rows: Sequence[Values], places: Sequence[int]) -> list[Values]:
        """As the driver takes them."""
        binding = [(place, self._bind[place]) for place in places]
        return [
            tuple([row[place] if bind is None or row[place] is None else bind(row[place]) for place, bind in binding])
            for row in rows
        ]


class PlainRows:
    """The plain rows of one transaction: those read, and those to be added."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._held: list[tuple[Base, Storage, Values]] = []
        """Each row that is in the database, and what it holds there."""
        self._new: list[tuple[Base, bool]] = []

    def watch(self, row: Base) -> None:
        """A row just read: as the database holds it."""
        storage = self._storage(row)
        self._held.append((row, storage, storage.values_of(row)))

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
            storage = self._storage(row)
            values = storage.values_of(row)
            added[storage, once].append(values)
            if storage.key:
                self._held.append((row, storage, values))
        self._new.clear()
        for storage, rows in changed.items():  # first: what was live makes room for what is
            self._run(*storage.update(rows))
        for (storage, once), rows in sorted(added.items(), key=lambda item: item[0][0].depth):
            self._run(*storage.insert(rows, once=once))

    def _run(self, statement: str, parameters: list[Values]) -> None:
        self._connection.exec_driver_sql(statement, parameters if len(parameters) > 1 else parameters[0])

    def _storage(self, row: Base) -> Storage:
        return storage_of(kind_of(row), self._connection.dialect)


@lru_cache(maxsize=64)
def storage_of(kind: type[Base], dialect: Dialect) -> Storage:
    """The storage of a table."""
    return Storage(kind, dialect)


@cache
def named_by(kind: type[Base]) -> str:
    """The column by which a row is found again; nothing for those that are only ever added.

    It is the primary key, or a unique column where the database counts the key up by itself.
    """
    table = table_of(kind)
    own = [column.key for column in table.primary_key.columns if column.autoincrement is not True]
    return next(iter(own or [column.key for column in table.columns if column.unique]), "")
