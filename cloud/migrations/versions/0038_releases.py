"""Versions of the agent, their rollouts, and the lock of a machine whose agent is being updated."""

import sqlalchemy as sa
from alembic import op

revision = "0038"
down_revision = "0037"
branch_labels = None
depends_on = None
breaks_older = False
_TIME = sa.DateTime(timezone=True)


def upgrade() -> None:
    """All begins empty; an older program goes on selling of a machine that is being updated, and its agent refuses."""
    inspected = sa.inspect(op.get_bind())
    if "updating_until" not in {column["name"] for column in inspected.get_columns("devices")}:
        op.add_column("devices", sa.Column("updating_until", _TIME, nullable=True))
    if inspected.has_table("releases"):
        return
    op.create_table(
        "releases",
        sa.Column("version", sa.String(64), primary_key=True),
        sa.Column("size", sa.Integer, nullable=False),
        sa.Column("sha256", sa.String(64), nullable=False),
        sa.Column("bundle", sa.LargeBinary, nullable=False),
        sa.Column("added_at", _TIME, nullable=False),
        sa.Column("added_by", sa.String(128), nullable=False),
    )
    op.create_table(
        "rollouts",
        sa.Column("id", sa.Integer, primary_key=True, autoincrement=True),
        sa.Column("version", sa.String(64), sa.ForeignKey("releases.version"), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("waves", sa.JSON, nullable=False),
        sa.Column("wave", sa.Integer, nullable=False),
        sa.Column("settled_at", _TIME, nullable=True),
        sa.Column("soak_s", sa.Integer, nullable=False),
        sa.Column("allow_older", sa.Boolean, nullable=False),
        sa.Column("why", sa.String(500), nullable=False),
        sa.Column("asked_by", sa.String(128), nullable=False),
        sa.Column("asked_at", _TIME, nullable=False),
        sa.Column("ended_at", _TIME, nullable=True),
    )
    op.create_table(
        "rollout_machines",
        sa.Column("rollout_id", sa.Integer, sa.ForeignKey("rollouts.id"), primary_key=True),
        sa.Column("device_uuid", sa.String(64), sa.ForeignKey("devices.device_uuid"), primary_key=True),
        sa.Column("wave", sa.Integer, nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("job_id", sa.String(64), nullable=False),
        sa.Column("tries", sa.Integer, nullable=False),
        sa.Column("not_before", _TIME, nullable=True),
        sa.Column("code", sa.String(64), nullable=False),
        sa.Column("words", sa.String(500), nullable=False),
        sa.Column("changed_at", _TIME, nullable=False),
    )


def downgrade() -> None:
    """What agents run already they go on running."""
    for table in ("rollout_machines", "rollouts", "releases"):
        op.drop_table(table)
    with op.batch_alter_table("devices") as altered:
        altered.drop_column("updating_until")
