"""Since when each machine is online, faulted or offline."""

import sqlalchemy as sa
from alembic import op

revision = "0021"
down_revision = "0020"
branch_labels = None
depends_on = None

TABLE = "presence_spells"


def upgrade() -> None:
    """Nobody knows since when machines are as they are: their first spell begins with their next word."""
    if TABLE in sa.inspect(op.get_bind()).get_table_names():
        return
    op.create_table(
        TABLE,
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False),
        sa.Column("device_uuid", sa.String(64), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("reason", sa.String(64), nullable=False),
        sa.Column("since", sa.DateTime(timezone=True), nullable=False),
        sa.Column("until", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(
            ["device_uuid"], ["devices.device_uuid"], name=op.f("fk_presence_spells_device_uuid_devices")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_presence_spells")),
    )
    op.create_index("ix_presence_spells_device", TABLE, ["device_uuid", "since"])
    lasts = sa.text("until IS NULL")
    op.create_index(
        "uq_presence_spells_current", TABLE, ["device_uuid"], unique=True, postgresql_where=lasts, sqlite_where=lasts
    )
    op.create_index("ix_presence_spells_until", TABLE, ["until"])


def downgrade() -> None:
    """What was is forgotten; how machines are now stays."""
    op.drop_table(TABLE)
