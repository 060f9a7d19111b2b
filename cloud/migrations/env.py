"""What Alembic runs for each command: the caller's connection, inside the caller's transaction, and our tables."""

from typing import Any, Literal

from alembic import context

from cloud.database.base import UtcDateTime
from cloud.migrations.migrate import TABLES


def spelled(kind: str, thing: object, _context: Any) -> str | Literal[False]:
    """How a drafted revision writes our own type: by what it is in the database, so that no old revision needs it."""
    return "sa.DateTime(timezone=True)" if kind == "type" and isinstance(thing, UtcDateTime) else False


context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=TABLES,
    render_as_batch=True,  # SQLite changes a table by copying it
    render_item=spelled,
)
with context.begin_transaction():
    context.run_migrations()
