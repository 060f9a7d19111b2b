"""An index by which a machine's day finds the orders that ended on it, however old they are."""

import sqlalchemy as sa
from alembic import op

revision = "0048"
down_revision = "0047"
branch_labels = None
depends_on = None
breaks_older = False


def upgrade() -> None:
    """It is of the models, and built after the tables, in nobody's way (`build_indexes.py`)."""


def downgrade() -> None:
    """Slower, and nothing else."""
    if "ix_orders_device_ended" in {index["name"] for index in sa.inspect(op.get_bind()).get_indexes("orders")}:
        op.drop_index("ix_orders_device_ended", "orders")
