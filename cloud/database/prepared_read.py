"""A SELECT compiled once, then run as the driver's own text: for what thousands of open pages ask again and again.

No transaction, no ORM, nothing built anew: each statement sees what is committed when it runs.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Engine, Select
from sqlalchemy.exc import OperationalError


class PreparedRead:
    """Asked with plain texts and numbers, by name; what is not said has the value the statement gives it."""

    def __init__(self, engine: Engine, statement: Select[*tuple[Any, ...]]) -> None:
        dialect = engine.dialect
        compiled = statement.compile(dialect=dialect, compile_kwargs={"render_postcompile": True})
        kinds = [column.type.dialect_impl(dialect) for column in statement.selected_columns]
        readers = [kind.result_processor(dialect, None) for kind in kinds]
        self._engine = engine
        self._text = str(compiled)
        self._fixed = dict(compiled.params)
        self._order: Sequence[str] | None = compiled.positiontup if dialect.positional else None
        self._readers = [(place, read) for place, read in enumerate(readers) if read is not None]

    def all(self, **wanted: str | int) -> list[list[Any]]:
        """The rows' values, in the order they are selected in. Raises `OperationalError`."""
        values = self._fixed | wanted
        rows = self._run(values if self._order is None else [values[name] for name in self._order])
        return [self._read(row) for row in rows]

    def _run(self, values: Mapping[str, Any] | Sequence[Any]) -> Sequence[Sequence[Any]]:
        connection = self._engine.raw_connection()
        try:
            cursor = connection.cursor()
            cursor.execute(self._text, values)
            rows: Sequence[Sequence[Any]] = cursor.fetchall()
            cursor.close()
        except self._engine.dialect.loaded_dbapi.Error as error:
            connection.invalidate(error)
            raise OperationalError(None, None, error, hide_parameters=True) from error
        finally:
            connection.close()
        return rows

    def _read(self, row: Sequence[Any]) -> list[Any]:
        values = list(row)
        for place, read in self._readers:
            values[place] = read(values[place])
        return values
