"""Which runs of an agent spoke under a device's name, and since when two of them do."""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None

TABLE = "device_live"


def upgrade() -> None:
    """Columns that are there already stay as they are."""
    present = {column["name"] for column in sa.inspect(op.get_bind()).get_columns(TABLE)}
    if "sessions" not in present:
        op.add_column(TABLE, sa.Column("sessions", sa.JSON(none_as_null=True), nullable=True))
    if "two_agents_since" not in present:
        op.add_column(TABLE, sa.Column("two_agents_since", sa.DateTime(timezone=True), nullable=True))


def downgrade() -> None:
    """What was known of sessions is forgotten; orders and money are not touched."""
    with op.batch_alter_table(TABLE) as table:
        table.drop_column("two_agents_since")
        table.drop_column("sessions")
