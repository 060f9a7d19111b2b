"""The database says which older programs may go on working on it."""

import sqlalchemy as sa
from alembic import op

revision = "0027"
down_revision = "0026"
branch_labels = None
depends_on = None
breaks_older = True


def upgrade() -> None:
    """Programs from before this one look at the revision alone, and refuse."""
    if not sa.inspect(op.get_bind()).has_table("oldest_program"):
        op.create_table(
            "oldest_program",
            sa.Column("revision", sa.String(32), nullable=False),
            sa.PrimaryKeyConstraint("revision", name=op.f("pk_oldest_program")),
        )


def downgrade() -> None:
    """Each program needs its own revision again."""
    op.drop_table("oldest_program")
