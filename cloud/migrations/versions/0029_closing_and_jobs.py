"""Machines and drinks that are closed for sale, and jobs for agents with their answers."""

import sqlalchemy as sa
from alembic import op

revision = "0029"
down_revision = "0028"
branch_labels = None
depends_on = None

CLOSABLE = ("devices", "drinks")
_TIME = sa.DateTime(timezone=True)


def upgrade() -> None:
    """Nothing is closed, and nothing was asked, before."""
    inspected = sa.inspect(op.get_bind())
    for table in CLOSABLE:
        if "closed_since" in {column["name"] for column in inspected.get_columns(table)}:
            continue
        op.add_column(table, sa.Column("closed_since", _TIME, nullable=True))
        op.add_column(table, sa.Column("closed_by", sa.String(128), nullable=False, server_default=""))
        op.add_column(table, sa.Column("closed_why", sa.String(255), nullable=False, server_default=""))
        op.add_column(table, sa.Column("opened_at", _TIME, nullable=True))
    if inspected.has_table("jobs"):
        return
    op.create_table(
        "jobs",
        sa.Column("id", sa.String(64), nullable=False),
        sa.Column("device_uuid", sa.String(64), nullable=False),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("wanted", sa.JSON(), nullable=False),
        sa.Column("asked_by", sa.String(128), nullable=False),
        sa.Column("asked_at", _TIME, nullable=False),
        sa.Column("expires_at", _TIME, nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("code", sa.String(64), nullable=False),
        sa.Column("words", sa.String(500), nullable=False),
        sa.Column("sent_at", _TIME, nullable=True),
        sa.Column("answered_at", _TIME, nullable=True),
        sa.Column("ended_at", _TIME, nullable=True),
        sa.ForeignKeyConstraint(["device_uuid"], ["devices.device_uuid"], name=op.f("fk_jobs_device_uuid_devices")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_jobs")),
    )
    op.create_index("ix_jobs_device", "jobs", ["device_uuid", "asked_at"])
    is_open = sa.text("ended_at IS NULL")
    op.create_index("ix_jobs_open", "jobs", ["expires_at"], postgresql_where=is_open, sqlite_where=is_open)


def downgrade() -> None:
    """What was closed is on sale again; jobs under way are forgotten."""
    op.drop_table("jobs")
    op.execute("DELETE FROM outbox WHERE lane = 'jobs'")
    for table in CLOSABLE:
        with op.batch_alter_table(table) as altered:
            for name in ("closed_since", "closed_by", "closed_why", "opened_at"):
                altered.drop_column(name)
