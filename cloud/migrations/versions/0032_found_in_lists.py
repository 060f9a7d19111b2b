"""Small indexes by which people find the orders that went wrong: not poured, and given away."""

import sqlalchemy as sa
from alembic import op

revision = "0032"
down_revision = "0031"
branch_labels = None
depends_on = None
breaks_older = False


def upgrade() -> None:
    """They are of the models, and built after the tables, in nobody's way (`build_indexes.py`)."""


def downgrade() -> None:
    """Slower, and nothing else."""
    known = {index["name"] for index in sa.inspect(op.get_bind()).get_indexes("orders")}
    for name in {"ix_orders_not_poured", "ix_orders_goodwill", "ix_orders_goodwill_of"} & known:
        op.drop_index(name, "orders")
