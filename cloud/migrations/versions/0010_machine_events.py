"""What machines told of themselves besides drinks."""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

TABLE = "machine_events"


def upgrade() -> None:
    """A table that is there already (made by hand before this revision) stays as it is."""
    if TABLE in sa.inspect(op.get_bind()).get_table_names():
        return
    op.create_table(
        TABLE,
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False),
        sa.Column("device_uuid", sa.String(64), nullable=False),
        sa.Column("message_id", sa.String(255), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("received_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("what", sa.String(64), nullable=False),
        sa.Column("code", sa.String(64), nullable=False),
        sa.Column("words", sa.String(500), nullable=False),
        sa.Column("evidence", sa.JSON(), nullable=False),
        sa.Column("lost", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["device_uuid"], ["devices.device_uuid"], name=op.f("fk_machine_events_device_uuid_devices")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_machine_events")),
        sa.UniqueConstraint("device_uuid", "message_id", name="uq_machine_events_once"),
    )
    op.create_index("ix_machine_events_device", TABLE, ["device_uuid", "id"])
    op.create_index(op.f("ix_machine_events_received_at"), TABLE, ["received_at"])


def downgrade() -> None:
    """What was told is forgotten; orders and money are not touched."""
    op.drop_table(TABLE)
