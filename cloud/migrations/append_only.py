"""Triggers that let a table only grow: the history and the ledger cannot be rewritten, not even by our own mistake.

Copying a table (Alembic's batch mode on SQLite) drops its triggers: a revision that does so protects it again.
"""

from alembic import op
from sqlalchemy import Connection, text

APPEND_ONLY = ("order_changes", "movements")
_CHANGES = {"sqlite": ("UPDATE", "DELETE"), "postgresql": ("UPDATE", "DELETE", "TRUNCATE")}
_TRIGGERS = {
    "sqlite": "SELECT name, tbl_name FROM sqlite_master WHERE type = 'trigger'",
    "postgresql": "SELECT tgname, tgrelid::regclass::text FROM pg_trigger WHERE NOT tgisinternal AND tgenabled <> 'D'",
}
_FUNCTION = """
CREATE OR REPLACE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN RAISE EXCEPTION '% only grows', TG_TABLE_NAME; END $$
"""


def protect(table: str) -> None:
    """In a revision: from here on rows of `table` are neither changed nor removed."""
    dialect = op.get_context().dialect.name
    if dialect == "postgresql":
        op.execute(_FUNCTION)
    for change in _CHANGES[dialect]:
        if dialect == "postgresql":
            does = "FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()"
        else:
            does = f"BEGIN SELECT RAISE(ABORT, '{table} only grows'); END"
        op.execute(f"CREATE TRIGGER {_name(table, change)} BEFORE {change} ON {table} {does}")


def unprotected(connection: Connection) -> list[str]:
    """What could be rewritten in this database though it should not, one sentence each."""
    dialect = connection.dialect.name
    found = {tuple(row) for row in connection.execute(text(_TRIGGERS[dialect]))}
    return [
        f"{table} does not refuse {change}"
        for table in APPEND_ONLY
        for change in _CHANGES[dialect]
        if (_name(table, change), table) not in found
    ]


def _name(table: str, change: str) -> str:
    return f"{table}_no_{change.lower()}"
