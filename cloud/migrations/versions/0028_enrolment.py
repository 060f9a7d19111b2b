"""Codes by which machines enrol, and who each machine is at the broker."""

import sqlalchemy as sa
from alembic import op

revision = "0028"
down_revision = "0027"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Both begin empty: a machine with a password made by hand keeps it until it is enrolled."""
    op.create_table(
        "enrolments",
        sa.Column("letters", sa.String(2), primary_key=True),
        sa.Column("device_uuid", sa.String(64), sa.ForeignKey("devices.device_uuid"), nullable=False, unique=True),
        sa.Column("secret_hash", sa.String(64), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("tries_left", sa.Integer, nullable=False),
    )
    op.create_table(
        "broker_identities",
        sa.Column("device_uuid", sa.String(64), sa.ForeignKey("devices.device_uuid"), primary_key=True),
        sa.Column("password", sa.Text, nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("applied", sa.Integer, nullable=False, server_default="0"),
        sa.Column("changed_at", sa.DateTime(timezone=True), nullable=False),
    )


def downgrade() -> None:
    op.drop_table("broker_identities")
    op.drop_table("enrolments")
