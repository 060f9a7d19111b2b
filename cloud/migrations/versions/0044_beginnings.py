"""Orders are found by the beginning of their number, in whatever language PostgreSQL sorts."""

import sqlalchemy as sa
from alembic import op

revision = "0044"
down_revision = "0043"
branch_labels = None
depends_on = None
breaks_older = False


def upgrade() -> None:
    """The indexes are of the models, and built after the tables, in nobody's way (`build_indexes.py`)."""


def downgrade() -> None:
    """Slower, and nothing else."""
    inspected = sa.inspect(op.get_bind())
    for table in ("orders", "archived_orders"):
        name = f"ix_{table}_beginnings"
        if name in {index["name"] for index in inspected.get_indexes(table)}:
            op.drop_index(name, table)
