"""Machines have a serial number, and what was edited by hand is known to the file."""

import sqlalchemy as sa
from alembic import op

revision = "0031"
down_revision = "0030"
branch_labels = None
depends_on = None
breaks_older = False

_COLUMNS = (("devices", "serial_no", 64),)


def upgrade() -> None:
    """Nothing is known to have been edited by hand."""
    inspector = sa.inspect(op.get_bind())
    for table, column, length in _COLUMNS:
        if column not in {known["name"] for known in inspector.get_columns(table)}:
            op.add_column(table, sa.Column(column, sa.String(length), nullable=False, server_default=""))
    if not inspector.has_table("hand_edits"):
        op.create_table(
            "hand_edits",
            sa.Column("kind", sa.String(16), nullable=False),
            sa.Column("object_id", sa.String(255), nullable=False),
            sa.Column("field", sa.String(64), nullable=False),
            sa.Column("at", sa.DateTime(timezone=True), nullable=False),
            sa.Column("by", sa.String(64), nullable=False),
            sa.PrimaryKeyConstraint("kind", "object_id", "field", name=op.f("pk_hand_edits")),
        )


def downgrade() -> None:
    """They are forgotten."""
    op.drop_table("hand_edits")
    for table, column, _ in reversed(_COLUMNS):
        op.drop_column(table, column)
