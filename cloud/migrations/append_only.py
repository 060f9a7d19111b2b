"""Triggers that let a table only grow: the history and the ledger cannot be rewritten, not even by our own mistake.

Copying a table (Alembic's batch mode on SQLite) drops its triggers: a revision that does so protects it again.
"""

from alembic import op
from sqlalchemy import Connection, text

APPEND_ONLY = ("order_changes", "movements", "journal", "journal_seals", "commissions")
_CHANGES = {"sqlite": ("UPDATE", "DELETE"), "postgresql": ("UPDATE", "DELETE", "TRUNCATE")}
_TRIGGERS = {
    "sqlite": "SELECT name, tbl_name FROM sqlite_master WHERE type = 'trigger'",
    "postgresql": "SELECT tgname, tgrelid::regclass::text FROM pg_trigger WHERE NOT tgisinternal AND tgenabled <> 'D'",
}
_FORGOTTEN = "EXISTS (SELECT 1 FROM forgotten_orders WHERE order_id = OLD.order_id)"
_WAS_PAID = "EXISTS (SELECT 1 FROM payments WHERE order_id = NEW.order_id)"
_FUNCTIONS_OF_FORGETTING = f"""
CREATE OR REPLACE FUNCTION refuse_unless_forgotten() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN IF {_FORGOTTEN} THEN RETURN OLD; END IF; RAISE EXCEPTION '% only grows', TG_TABLE_NAME; END $$;
CREATE OR REPLACE FUNCTION refuse_to_forget_payments() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN IF {_WAS_PAID} THEN RAISE EXCEPTION 'an order with a payment is not forgotten'; END IF; RETURN NEW; END $$
"""
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


def unprotect(table: str) -> None:
    """In a revision: its rows may be changed and removed; `protect` it again."""
    dialect = op.get_context().dialect.name
    for change in _CHANGES[dialect]:
        on_table = f" ON {table}" if dialect == "postgresql" else ""
        op.execute(f"DROP TRIGGER IF EXISTS {_name(table, change)}{on_table}")


def allow_forgetting() -> None:
    """In a revision: the history of an order goes where its number is kept; that of one with a payment never does."""
    name, guard = _name("order_changes", "DELETE"), "forgotten_orders_never_paid"
    if op.get_context().dialect.name == "postgresql":
        op.execute(_FUNCTIONS_OF_FORGETTING)
        op.execute(f"DROP TRIGGER IF EXISTS {name} ON order_changes")
        op.execute(
            f"CREATE TRIGGER {name} BEFORE DELETE ON order_changes FOR EACH ROW "
            "EXECUTE FUNCTION refuse_unless_forgotten()"
        )
        op.execute(
            f"CREATE TRIGGER {guard} BEFORE INSERT ON forgotten_orders FOR EACH ROW "
            "EXECUTE FUNCTION refuse_to_forget_payments()"
        )
        return
    op.execute(f"DROP TRIGGER IF EXISTS {name}")
    op.execute(
        f"CREATE TRIGGER {name} BEFORE DELETE ON order_changes WHEN NOT {_FORGOTTEN} "
        "BEGIN SELECT RAISE(ABORT, 'order_changes only grows'); END"
    )
    op.execute(
        f"CREATE TRIGGER {guard} BEFORE INSERT ON forgotten_orders WHEN {_WAS_PAID} "
        "BEGIN SELECT RAISE(ABORT, 'an order with a payment is not forgotten'); END"
    )


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
