"""Fiscal receipts (54-FZ): what merchants and drinks say on them, and the receipts that are followed."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

STATES = ("waiting", "pending", "succeeded", "canceled", "not_needed")


def upgrade() -> None:
    """A database that already has a column or the table keeps what is in it."""
    for table in ("credentials", "drinks"):
        if not _has_receipt(table):
            op.add_column(table, sa.Column("receipt", sa.JSON(), nullable=True))
    if not _has_table():
        _create()


def downgrade() -> None:
    """What was said on receipts is forgotten; the tax authority has what was registered."""
    if _has_table():
        op.drop_table("receipts")
    for table in ("credentials", "drinks"):
        if _has_receipt(table):
            with op.batch_alter_table(table) as altered:
                altered.drop_column("receipt")


def _create() -> None:
    op.create_table(
        "receipts",
        sa.Column("id", sa.Integer(), autoincrement=True, nullable=False),
        sa.Column("order_id", sa.String(255), nullable=False),
        sa.Column("payment_id", sa.String(32), nullable=False),
        sa.Column("reference", sa.String(64), nullable=False),
        sa.Column("amount", sa.Integer(), nullable=False),
        sa.Column("terms", sa.JSON(), nullable=False),
        sa.Column("email", sa.String(254), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("since", sa.DateTime(timezone=True), nullable=True),
        sa.Column("overdue", sa.Boolean(), nullable=False),
        sa.Column("given_up", sa.Boolean(), nullable=False),
        sa.Column("checks", sa.Integer(), nullable=False),
        sa.Column("next_check_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint(sa.column("state").in_(STATES), name=op.f("ck_receipts_state")),
        sa.ForeignKeyConstraint(["payment_id"], ["payments.id"], name=op.f("fk_receipts_payment_id_payments")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_receipts")),
    )
    op.create_index("uq_receipts_once", "receipts", ["payment_id", "reference"], unique=True)
    op.create_index("ix_receipts_next_check", "receipts", ["next_check_at"])
    op.create_index(op.f("ix_receipts_order_id"), "receipts", ["order_id"])


def _has_receipt(table: str) -> bool:
    return "receipt" in {column["name"] for column in sa.inspect(op.get_bind()).get_columns(table)}


def _has_table() -> bool:
    return sa.inspect(op.get_bind()).has_table("receipts")
