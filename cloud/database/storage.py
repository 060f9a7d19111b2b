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
        self._table, self._mark = table_of(kind), "?" if dialect.name == "sqlite" else "%s"
        self.depth = Base.metadata.sorted_tables.index(self._table)
        """Its place among all tables, those it refers to before it."""
        self._names = [column.key for column in self._table.columns]
        self.values_of: Callable[[Base], Values] = attrgetter(*self._names)
        """All its values, to compare and to write."""
        self._own = [place for place, column in enumerate(self._table.columns) if column.autoincrement is not True]
        key = named_by(kind)
        self._key = self._names.index(key) if key else -1
        processors = [column.type.dialect_impl(dialect).bind_processor(dialect) for column in self._table.columns]
        self._bound = [(place, bind) for place, bind in enumerate(processors) if bind is not None]
        self._updates: dict[tuple[int, ...], str] = {}

    def insert(self, rows: Sequence[Values]) -> tuple[str, list[Values]]:
        """The statement that adds these rows, and its parameters; the database counts up numbers by itself."""
        names, marks = ", ".join(self._names[place] for place in self._own), ", ".join(self._mark for _ in self._own)
        adding = f"INSERT INTO {self._table.name} ({names}) VALUES ({marks})"  # noqa: S608  # our own tables' names
        return adding, self._parameters(rows, self._own)

    def update(self, rows: Sequence[tuple[Values, Values]]) -> tuple[str, list[Values]]:
        """The statement that makes these rows, given as they were and as they are, what they are; its parameters.

        It sets every column that differs in any of them. More would touch indexes for nothing.
        """
        changed = tuple([place for place in self._own if any(was[place] != now[place] for was, now in rows)])
        if changed not in self._updates:
            *sets, key = [f"{self._names[place]} = {self._mark}" for place in (*changed, self._key)]
            self._updates[changed] = f"UPDATE {self._table.name} SET {', '.join(sets)} WHERE {key}"  # noqa: S608
        return self._updates[changed], self._parameters([now for _, now in rows], (*changed, self._key))

    def _parameters(self, rows: Sequence[Values], places: Sequence[int]) -> list[Values]:
        return [tuple([bound[place] for place in places]) for bound in map(self._as_bound, rows)]

    def _as_bound(self, values: Values) -> list[Any]:
        bound = list(values)
        for place, bind in self._bound:
            bound[place] = bind(bound[place])
        return bound


class PlainRows:
    """The plain rows of one transaction: those read, and those to be added."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._held: list[tuple[Base, Storage, Values]] = []
        """Each row that is in the database, and what it holds there."""
        self._new: list[tuple[Base, bool]] = []

    def watch(self, row: Base) -> None:
        """A row just read: as the database holds it."""
        storage = storage_of(kind_of(row), self._connection.dialect)
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
            kind = kind_of(row)
            storage = storage_of(kind, self._connection.dialect)
            added[storage, once].append(storage.values_of(row))
            if named_by(kind):
                self.watch(row)
        self._new.clear()
        for storage, rows in changed.items():  # first: what was live makes room for what is
            self._run(*storage.update(rows))
        for (storage, once), rows in sorted(added.items(), key=lambda item: item[0][0].depth):
            statement, parameters = storage.insert(rows)
            self._run(statement + " ON CONFLICT DO NOTHING" * once, parameters)

    def _run(self, statement: str, parameters: list[Values]) -> None:
        self._connection.exec_driver_sql(statement, parameters if len(parameters) > 1 else parameters[0])


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
