"""Counters and histograms of all processes together."""

import sqlalchemy as sa
from alembic import op

revision = "0036"
down_revision = "0035"
branch_labels = None
depends_on = None
breaks_older = False


def upgrade() -> None:
    """They count from 0."""
    if sa.inspect(op.get_bind()).has_table("metric_totals"):
        return
    op.create_table(
        "metric_totals",
        sa.Column("name", sa.String(64), nullable=False),
        sa.Column("labels", sa.String(200), nullable=False),
        sa.Column("bucket", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("value", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint("name", "labels", "bucket", name=op.f("pk_metric_totals")),
    )


def downgrade() -> None:
    """What was counted is gone; Prometheus has it."""
    op.drop_table("metric_totals")
