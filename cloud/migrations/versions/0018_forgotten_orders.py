"""Orders that nobody paid may be removed, history and all; their numbers are kept."""

import sqlalchemy as sa
from alembic import op

from cloud.migrations.append_only import allow_forgetting, protect, unprotect

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Nothing is forgotten yet."""
    if not sa.inspect(op.get_bind()).has_table("forgotten_orders"):
        op.create_table(
            "forgotten_orders",
            sa.Column("order_id", sa.String(255), nullable=False),
            sa.Column("opened_by", sa.String(24), nullable=True),
            sa.Column("at", sa.DateTime(timezone=True), nullable=False),
            sa.PrimaryKeyConstraint("order_id", name=op.f("pk_forgotten_orders")),
        )
        op.create_index("ix_forgotten_orders_at", "forgotten_orders", ["at"])
    allow_forgetting()


def downgrade() -> None:
    """What is gone is gone; from here on nothing else goes."""
    unprotect("order_changes")
    protect("order_changes")
    op.drop_table("forgotten_orders")
