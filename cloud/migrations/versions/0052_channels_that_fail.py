"""Channels of every database say since when they fail: what 0023 brought to new ones alone, and its default."""

import sqlalchemy as sa
from alembic import op

revision = "0052"
down_revision = "0051"
branch_labels = None
depends_on = None
breaks_older = False

TABLE = "alert_channels"
WHY = sa.String(128)


def upgrade() -> None:
    """Programs from before know neither column, and add channels."""
    there = {column["name"] for column in sa.inspect(op.get_bind()).get_columns(TABLE)}
    if "failing_since" not in there:
        op.add_column(TABLE, sa.Column("failing_since", sa.DateTime(timezone=True), nullable=True))
    if "failing_why" not in there:
        op.add_column(TABLE, sa.Column("failing_why", WHY, nullable=False, server_default=""))
        return
    with op.batch_alter_table(TABLE) as channels:
        channels.alter_column("failing_why", server_default="", existing_type=WHY, existing_nullable=False)


def downgrade() -> None:
    """Both stay: some databases had them before."""
