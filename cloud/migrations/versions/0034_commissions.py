"""What providers kept of payments, and sales rolled up by merchant and day."""

import sqlalchemy as sa
from alembic import op

from cloud.migrations.append_only import protect

revision = "0034"
down_revision = "0033"
branch_labels = None
depends_on = None
breaks_older = False


def upgrade() -> None:
    """Of older payments nothing was kept; their days are rolled up anew by the worker."""
    inspector = sa.inspect(op.get_bind())
    if not inspector.has_table("commissions"):
        op.create_table(
            "commissions",
            sa.Column("id", sa.Integer(), autoincrement=True, nullable=False),
            sa.Column("payment_id", sa.String(32), nullable=False),
            sa.Column("amount", sa.Integer(), nullable=False),
            sa.Column("told_at", sa.DateTime(timezone=True), nullable=False),
            sa.CheckConstraint("amount >= 0", name=op.f("ck_commissions_amount")),
            sa.ForeignKeyConstraint(["payment_id"], ["payments.id"], name=op.f("fk_commissions_payment_id_payments")),
            sa.PrimaryKeyConstraint("id", name=op.f("pk_commissions")),
            sa.UniqueConstraint("payment_id", name=op.f("uq_commissions_payment_id")),
        )
        protect("commissions")
    if not inspector.has_table("merchant_days"):
        op.create_table(
            "merchant_days",
            sa.Column("merchant_id", sa.String(64), nullable=False),
            sa.Column("day", sa.Date(), nullable=False),
            sa.Column("cups", sa.Integer(), nullable=False),
            sa.Column("failed", sa.Integer(), nullable=False),
            sa.Column("taken", sa.BigInteger(), nullable=False),
            sa.Column("returned", sa.BigInteger(), nullable=False),
            sa.Column("parts", sa.JSON(), nullable=False),
            sa.PrimaryKeyConstraint("merchant_id", "day", name=op.f("pk_merchant_days")),
        )
    if "ix_sales_days_merchant" in {index["name"] for index in inspector.get_indexes("sales_days")}:
        op.drop_index("ix_sales_days_merchant", "sales_days")  # one with the sums follows (build_indexes.py)


def downgrade() -> None:
    """What providers said is forgotten."""
    op.drop_index("ix_sales_days_sums", "sales_days", if_exists=True)
    op.create_index("ix_sales_days_merchant", "sales_days", ["merchant_id", "day"])
    op.drop_table("merchant_days")
    op.drop_table("commissions")
