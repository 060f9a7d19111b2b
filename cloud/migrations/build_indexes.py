"""Indexes that the models have and a database lacks: built after the tables are changed, one by one, in nobody's way.

PostgreSQL builds them concurrently, outside any transaction; one whose building was cut off is built again.
"""

import logging

from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Connection, Index, MetaData, text
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
    """Indexes of the models that the database does not have."""
    differences = compare_metadata(MigrationContext.configure(connection), tables)
    return [difference[1] for difference in differences if difference[0] == "add_index"]


def _concurrently(connection: Connection, index: Index) -> str:
    words = str(CreateIndex(index).compile(dialect=connection.dialect))
    return words.replace("INDEX ", "INDEX CONCURRENTLY IF NOT EXISTS ", 1).replace("%%", "%")
