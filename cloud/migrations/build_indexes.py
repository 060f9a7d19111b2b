"""Indexes that the models have and a database lacks: built after the tables are changed, one by one, in nobody's way.

PostgreSQL builds them concurrently, outside any transaction; one whose building was cut off is built again.
"""

import logging

from sqlalchemy import Connection, Index, MetaData, inspect, text
from sqlalchemy.schema import CreateIndex

log = logging.getLogger("cloud.migrations")

_CUT_OFF = text(
    "SELECT i.indexrelid::regclass::text FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid"
    " WHERE NOT i.indisvalid AND c.relnamespace = current_schema()::regnamespace"
)


def build(connection: Connection, tables: MetaData) -> None:
    """Build what is missing; on PostgreSQL `connection` commits each statement by itself."""
    is_postgresql = connection.dialect.name == "postgresql"
    if is_postgresql:
        for name in connection.scalars(_CUT_OFF).all():
            log.warning("an index whose building was cut off is built again: %s", name)
            connection.execute(text(f"DROP INDEX CONCURRENTLY IF EXISTS {name}"))
    for index in missing(connection, tables):
        log.info("building index %s", index.name)
        connection.execute(text(_concurrently(connection, index)) if is_postgresql else CreateIndex(index))


def missing(connection: Connection, tables: MetaData) -> list[Index]:
    """Indexes of the models that the database's tables do not have. By name: to compare whole schemas takes longer."""
    there = {
        table: {index["name"] for index in found}
        for (_, table), found in inspect(connection).get_multi_indexes().items()
    }
    return [
        index
        for table in tables.sorted_tables
        if table.name in there
        for index in sorted(table.indexes, key=lambda index: str(index.name))
        if index.name not in there[table.name]
    ]


def _concurrently(connection: Connection, index: Index) -> str:
    words = str(CreateIndex(index).compile(dialect=connection.dialect))
    return words.replace("INDEX ", "INDEX CONCURRENTLY IF NOT EXISTS ", 1).replace("%%", "%")
