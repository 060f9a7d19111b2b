"""Finished orders may rest in an archive, and nobody looks at each to count them, or to find money at risk."""

import sqlalchemy as sa
from alembic import op

from cloud.migrations.append_only import allow_archiving, allow_forgetting, protect, unprotect

revision = "0040"
down_revision = "0039"
branch_labels = None
depends_on = None
breaks_older = False


def upgrade() -> None:
    """Nothing rests yet, and nothing is counted; a worker begins with the first order."""
    inspected = sa.inspect(op.get_bind())
    if "brought_back_at" not in {column["name"] for column in inspected.get_columns("orders")}:
        op.add_column("orders", sa.Column("brought_back_at", sa.DateTime(timezone=True), nullable=True))
    if not inspected.has_table("archived_orders"):
        op.create_table(
            "archived_orders",
            sa.Column("order_id", sa.String(255), nullable=False),
            sa.Column("merchant_id", sa.String(64), nullable=False),
            sa.Column("device_uuid", sa.String(64), nullable=False),
            sa.Column("status", sa.String(16), nullable=False),
            sa.Column("begins_at", sa.DateTime(timezone=True), nullable=False),
            sa.Column("long_until", sa.DateTime(timezone=True), nullable=True),
            sa.Column("captured", sa.Integer(), nullable=False),
            sa.Column("refunded", sa.Integer(), nullable=False),
            sa.Column("archived_at", sa.DateTime(timezone=True), nullable=False),
            sa.Column("packed", sa.LargeBinary(), nullable=False),
            sa.PrimaryKeyConstraint("order_id", name=op.f("pk_archived_orders")),
        )
        op.create_table(
            "archived_payments",
            sa.Column("id", sa.String(32), nullable=False),
            sa.Column("provider_payment_id", sa.String(64), nullable=True),
            sa.Column("order_id", sa.String(255), nullable=False),
            sa.PrimaryKeyConstraint("id", name=op.f("pk_archived_payments")),
        )
    if not inspected.has_table("order_hours"):
        op.create_table(
            "order_hours",
            sa.Column("hour", sa.DateTime(timezone=True), nullable=False),
            sa.Column("status", sa.String(16), nullable=False),
            sa.Column("number", sa.Integer(), nullable=False),
            sa.PrimaryKeyConstraint("hour", "status", name=op.f("pk_order_hours")),
        )
    if "earned" not in {column["name"] for column in inspected.get_columns("payments")}:
        op.add_column("payments", sa.Column("earned", sa.Boolean(), nullable=False, server_default=sa.false()))
    allow_archiving()


def downgrade() -> None:
    """Older programs find nothing that rests."""
    if op.get_bind().scalar(sa.text("SELECT 1 FROM archived_orders LIMIT 1")):
        raise RuntimeError("there are archived orders, which revision 0039 cannot find")
    op.drop_table("archived_payments")
    op.drop_table("archived_orders")
    op.drop_table("order_hours")
    op.execute("DELETE FROM sales_marks WHERE name = 'order_hours'")
    for table in ("order_changes", "movements", "commissions"):
        unprotect(table)
        protect(table)
    allow_forgetting()
    op.drop_column("orders", "brought_back_at")
    op.drop_index("ix_payments_not_earned", "payments", if_exists=True)
    op.drop_column("payments", "earned")
