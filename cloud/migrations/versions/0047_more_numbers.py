"""The tables that every order grows count in 64 bits: the numbers of 32 end within months of a busy fleet."""

from alembic import op

revision = "0047"
down_revision = "0046"
branch_labels = None
depends_on = None
breaks_older = False

_GROWING = ("order_changes", "movements", "outbox", "provider_news", "commissions", "receipts")


def upgrade() -> None:
    """PostgreSQL writes each table anew, under its lock (docs/upgrading.md); SQLite's numbers have 64 bits anyway."""
    _count_in("bigint")


def downgrade() -> None:
    """Refused once there are numbers that no longer fit."""
    _count_in("integer")


def _count_in(kind: str) -> None:
    if op.get_context().dialect.name == "sqlite":
        return
    # All locks first: whoever holds the last table for long would have the others written anew again and again.
    op.execute(f"LOCK TABLE {', '.join(_GROWING)} IN ACCESS EXCLUSIVE MODE")
    for table in _GROWING:
        op.execute(f"ALTER TABLE {table} ALTER COLUMN id TYPE {kind}")
        op.execute(f"ALTER SEQUENCE {table}_id_seq AS {kind}")
