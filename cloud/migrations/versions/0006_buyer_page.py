"""Before paying: questions to machines and their answers, and who is paying at a machine right now."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """A database that already has a table keeps it."""
    if not _has("probes"):
        op.create_table(
            "probes",
            sa.Column("device_uuid", sa.String(64), nullable=False),
            sa.Column("drink_no", sa.String(128), nullable=False),
            sa.Column("size", sa.Integer(), nullable=False),
            sa.Column("probe_id", sa.String(64), nullable=False),
            sa.Column("asked_at", sa.DateTime(timezone=True), nullable=False),
            sa.Column("sent_at", sa.DateTime(timezone=True), nullable=True),
            sa.Column("settled_at", sa.DateTime(timezone=True), nullable=True),
            sa.Column("code", sa.String(64), nullable=False),
            sa.Column("heard_at", sa.DateTime(timezone=True), nullable=True),
            sa.PrimaryKeyConstraint("device_uuid", "drink_no", name=op.f("pk_probes")),
            sa.UniqueConstraint("probe_id", name=op.f("uq_probes_probe_id")),
        )
        op.create_index(op.f("ix_probes_asked_at"), "probes", ["asked_at"])
    if not _has("reservations"):
        op.create_table(
            "reservations",
            sa.Column("device_uuid", sa.String(64), nullable=False),
            sa.Column("order_id", sa.String(255), nullable=False),
            sa.Column("taken_at", sa.DateTime(timezone=True), nullable=False),
            sa.Column("until", sa.DateTime(timezone=True), nullable=False),
            sa.PrimaryKeyConstraint("device_uuid", name=op.f("pk_reservations")),
        )


def downgrade() -> None:
    """Both say nothing a minute later."""
    for table in ("reservations", "probes"):
        if _has(table):
            op.drop_table(table)


def _has(table: str) -> bool:
    return sa.inspect(op.get_bind()).has_table(table)
