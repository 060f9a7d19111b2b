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
_ARCHIVED = "EXISTS (SELECT 1 FROM archived_orders WHERE order_id = OLD.order_id)"
_ARCHIVED_PAYMENT = "EXISTS (SELECT 1 FROM archived_payments WHERE id = OLD.payment_id)"
_IS_BACK = "EXISTS (SELECT 1 FROM orders WHERE id = OLD.order_id)"
_GUARDS = {"forgotten_orders_never_paid": "forgotten_orders", "archived_orders_same_ledger": "archived_orders",
           "archived_orders_back_whole": "archived_orders", "archived_orders_no_update": "archived_orders"}  # fmt: skip
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
        op.execute(f"DROP TRIGGER IF EXISTS {guard} ON forgotten_orders")
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
    op.execute(f"DROP TRIGGER IF EXISTS {guard}")
    op.execute(
        f"CREATE TRIGGER {name} BEFORE DELETE ON order_changes WHEN NOT {_FORGOTTEN} "
        "BEGIN SELECT RAISE(ABORT, 'order_changes only grows'); END"
    )
    op.execute(
        f"CREATE TRIGGER {guard} BEFORE INSERT ON forgotten_orders WHEN {_WAS_PAID} "
        "BEGIN SELECT RAISE(ABORT, 'an order with a payment is not forgotten'); END"
    )


def _has_ledger_of(row: str) -> str:
    """The packed row's sums are those of the ledger."""
    return " AND ".join(
        f"{row}.{kind} = (SELECT COALESCE(SUM(amount), 0) FROM movements"  # noqa: S608  # our own words
        f" WHERE order_id = {row}.order_id AND kind = '{kind}')"
        for kind in ("captured", "refunded")
    )


def allow_archiving() -> None:
    """In a revision: history and ledger of an order go where it is archived, with the same sums, and come back so."""
    before = f"NOT ({_has_ledger_of('NEW')})"
    back = f"NOT ({_IS_BACK} AND {_has_ledger_of('OLD')})"
    rules = (
        ("order_changes", "DELETE", _name("order_changes", "DELETE"), f"NOT ({_FORGOTTEN} OR {_ARCHIVED})"),
        ("movements", "DELETE", _name("movements", "DELETE"), f"NOT {_ARCHIVED}"),
        ("commissions", "DELETE", _name("commissions", "DELETE"), f"NOT {_ARCHIVED_PAYMENT}"),
        ("archived_orders", "INSERT", "archived_orders_same_ledger", before),
        ("archived_orders", "DELETE", "archived_orders_back_whole", back),
        ("archived_orders", "UPDATE", "archived_orders_no_update", "1 = 1"),
    )
    for table, change, name, wrong in rules:
        _refuse(table, change, name, wrong)


def _refuse(table: str, change: str, name: str, wrong: str) -> None:
    """A trigger for each row."""
    said = f"{table}: no {change.lower()} of such a row"
    if op.get_context().dialect.name == "sqlite":
        op.execute(f"DROP TRIGGER IF EXISTS {name}")
        op.execute(
            f"CREATE TRIGGER {name} BEFORE {change} ON {table} WHEN {wrong} BEGIN SELECT RAISE(ABORT, '{said}'); END"
        )
        return
    row = "NEW" if change == "INSERT" else "OLD"
    op.execute(
        f"CREATE OR REPLACE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql AS $$ "
        f"BEGIN IF {wrong} THEN RAISE EXCEPTION '{said}'; END IF; RETURN {row}; END $$"
    )
    op.execute(f"DROP TRIGGER IF EXISTS {name} ON {table}")
    op.execute(f"CREATE TRIGGER {name} BEFORE {change} ON {table} FOR EACH ROW EXECUTE FUNCTION {name}()")


def unprotected(connection: Connection) -> list[str]:
    """What could be rewritten in this database though it should not, one sentence each."""
    dialect = connection.dialect.name
    found = {tuple(row) for row in connection.execute(text(_TRIGGERS[dialect]))}
    return [
        f"{table} does not refuse {change}"
        for table in APPEND_ONLY
        for change in _CHANGES[dialect]
        if (_name(table, change), table) not in found
    ] + [f"{table} has lost its guard {name}" for name, table in _GUARDS.items() if (name, table) not in found]


def _name(table: str, change: str) -> str:
    return f"{table}_no_{change.lower()}"
