"""Reconciliation: a row a shop and day, what was found, and the machines' counters day by day."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

TABLES = ("reconciliations", "reconciliation_findings", "device_counts")


def upgrade() -> None:
    """A table that is there already (made by hand before this revision) stays as it is."""
    there = set(sa.inspect(op.get_bind()).get_table_names())
    for table, make in zip(TABLES, (_reconciliations, _findings, _counts), strict=True):
        if table not in there:
            make()


def downgrade() -> None:
    """What was found is forgotten; money and orders are not touched."""
    for table in reversed(TABLES):
        op.drop_table(table)


def _reconciliations() -> None:
    op.create_table(
        "reconciliations",
        sa.Column("id", sa.Integer(), autoincrement=True, nullable=False),
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("merchant_id", sa.String(64), nullable=False),
        sa.Column("scenario", sa.String(32), nullable=False),
        sa.Column("account_id", sa.String(64), nullable=False),
        sa.Column("next_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("rounds", sa.Integer(), nullable=False),
        sa.Column("ran_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("complete", sa.Boolean(), nullable=False),
        sa.Column("problem", sa.String(255), nullable=False),
        sa.Column("payments_there", sa.Integer(), nullable=False),
        sa.Column("payments_here", sa.Integer(), nullable=False),
        sa.Column("refunds_there", sa.Integer(), nullable=False),
        sa.Column("taken_there", sa.BigInteger(), nullable=False),
        sa.Column("taken_here", sa.BigInteger(), nullable=False),
        sa.Column("returned_there", sa.BigInteger(), nullable=False),
        sa.Column("returned_here", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_reconciliations")),
        sa.UniqueConstraint("day", "merchant_id", "scenario", "account_id", name="uq_reconciliations_once"),
    )
    waiting = sa.text("next_at IS NOT NULL")
    op.create_index(
        "ix_reconciliations_due", "reconciliations", ["next_at"], postgresql_where=waiting, sqlite_where=waiting
    )


def _findings() -> None:
    op.create_table(
        "reconciliation_findings",
        sa.Column("id", sa.Integer(), autoincrement=True, nullable=False),
        sa.Column("merchant_id", sa.String(64), nullable=False),
        sa.Column("scenario", sa.String(32), nullable=False),
        sa.Column("account_id", sa.String(64), nullable=False),
        sa.Column("fingerprint", sa.String(160), nullable=False),
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("kind", sa.String(32), nullable=False),
        sa.Column("order_id", sa.String(255), nullable=False),
        sa.Column("payment_id", sa.String(64), nullable=False),
        sa.Column("provider_id", sa.String(64), nullable=False),
        sa.Column("device_uuid", sa.String(64), nullable=False),
        sa.Column("here", sa.BigInteger(), nullable=True),
        sa.Column("there", sa.BigInteger(), nullable=True),
        sa.Column("detail", sa.String(500), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("first_seen_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("last_seen_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("closed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("closed_by", sa.String(255), nullable=False),
        sa.Column("closed_note", sa.String(500), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_reconciliation_findings")),
        sa.UniqueConstraint(
            "merchant_id", "scenario", "account_id", "fingerprint", name="uq_reconciliation_findings_once"
        ),
    )
    op.create_index("ix_reconciliation_findings_state", "reconciliation_findings", ["state"])
    op.create_index("ix_reconciliation_findings_day", "reconciliation_findings", ["day"])


def _counts() -> None:
    op.create_table(
        "device_counts",
        sa.Column("device_uuid", sa.String(64), nullable=False),
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("total", sa.BigInteger(), nullable=False),
        sa.Column("paid", sa.BigInteger(), nullable=False),
        sa.Column("free", sa.BigInteger(), nullable=False),
        sa.Column("test", sa.BigInteger(), nullable=False),
        sa.Column("judged_for", sa.Date(), nullable=True),
        sa.ForeignKeyConstraint(
            ["device_uuid"], ["devices.device_uuid"], name=op.f("fk_device_counts_device_uuid_devices")
        ),
        sa.PrimaryKeyConstraint("device_uuid", "day", name=op.f("pk_device_counts")),
    )
