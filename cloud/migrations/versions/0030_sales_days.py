"""Zones of merchants and machines, and sales rolled up by machine and day."""

import sqlalchemy as sa
from alembic import op

revision = "0030"
down_revision = "0029"
branch_labels = None
depends_on = None

ZONED = ("merchants", "devices")
MOSCOW = "Europe/Moscow"


def upgrade() -> None:
    """Everybody was in Moscow until now; the worker rolls up what was sold before."""
    inspected = sa.inspect(op.get_bind())
    for table in ZONED:
        if "zone" not in {column["name"] for column in inspected.get_columns(table)}:
            op.add_column(table, sa.Column("zone", sa.String(64), nullable=False, server_default=MOSCOW))
    if inspected.has_table("sales_days"):
        return
    op.create_table(
        "sales_days",
        sa.Column("device_uuid", sa.String(64), nullable=False),
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("merchant_id", sa.String(64), nullable=False),
        sa.Column("cups", sa.Integer(), nullable=False),
        sa.Column("failed", sa.Integer(), nullable=False),
        sa.Column("taken", sa.BigInteger(), nullable=False),
        sa.Column("returned", sa.BigInteger(), nullable=False),
        sa.Column("parts", sa.JSON(), nullable=False),
        sa.ForeignKeyConstraint(
            ["device_uuid"], ["devices.device_uuid"], name=op.f("fk_sales_days_device_uuid_devices")
        ),
        sa.PrimaryKeyConstraint("device_uuid", "day", "merchant_id", name=op.f("pk_sales_days")),
    )
    op.create_index("ix_sales_days_merchant", "sales_days", ["merchant_id", "day"])
    op.create_table(
        "sales_marks",
        sa.Column("name", sa.String(32), nullable=False),
        sa.Column("number", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_sales_marks")),
    )


def downgrade() -> None:
    """Rolled up anew when it comes back."""
    op.drop_table("sales_marks")
    op.drop_table("sales_days")
    op.drop_index("ix_movements_at", "movements", if_exists=True)
    for table in ZONED:
        with op.batch_alter_table(table) as altered:
            altered.drop_column("zone")
