"""A payment knows that the provider refused our key when asked about it last."""

import sqlalchemy as sa
from alembic import op

revision = "0019"
down_revision = "0018"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Nobody is known to be refused; the next question tells."""
    if "key_refused" not in {known["name"] for known in sa.inspect(op.get_bind()).get_columns("payments")}:
        op.add_column("payments", sa.Column("key_refused", sa.Boolean(), nullable=False, server_default=sa.false()))


def downgrade() -> None:
    """Forget it."""
    op.drop_column("payments", "key_refused")
