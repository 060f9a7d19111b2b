"""In which zone each machine's days are counted."""

import sqlalchemy as sa
from alembic import op

revision = "0043"
down_revision = "0042"
branch_labels = None
depends_on = None
breaks_older = False


def upgrade() -> None:
    """In the one each has now."""
    if sa.inspect(op.get_bind()).has_table("sales_zones"):
        return
    op.create_table(
        "sales_zones",
        sa.Column("device_uuid", sa.String(64), nullable=False),
        sa.Column("zone", sa.String(64), nullable=False),
        sa.Column("next_day", sa.Date(), nullable=True),
        sa.Column("last_day", sa.Date(), nullable=True),
        sa.PrimaryKeyConstraint("device_uuid", name=op.f("pk_sales_zones")),
    )
    op.execute("INSERT INTO sales_zones (device_uuid, zone) SELECT device_uuid, zone FROM devices")


def downgrade() -> None:
    """Older programs count a day in the zone of the moment."""
    op.drop_table("sales_zones")
