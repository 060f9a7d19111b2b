"""A forgotten number stays over for codes of its own machine alone."""

import sqlalchemy as sa
from alembic import op

revision = "0046"
down_revision = "0045"
branch_labels = None
depends_on = None
breaks_older = False


def upgrade() -> None:
    """Of those forgotten before nobody knows the machine: they are over for all, as they were."""
    op.add_column("forgotten_orders", sa.Column("device_uuid", sa.String(64), nullable=True))


def downgrade() -> None:
    """A number is over for every machine again."""
    op.drop_column("forgotten_orders", "device_uuid")
