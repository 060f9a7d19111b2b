"""The few payments of whose hold a part was taken are found among all there ever were."""

import sqlalchemy as sa
from alembic import op

revision = "0051"
down_revision = "0050"
branch_labels = None
depends_on = None
breaks_older = False


def upgrade() -> None:
    """The index is of the models, and built after the tables, in nobody's way (`build_indexes.py`)."""


def downgrade() -> None:
    """Slower, and nothing else."""
    name, table = "ix_payments_taken_in_part", "payments"
    if name in {index["name"] for index in sa.inspect(op.get_bind()).get_indexes(table)}:
        op.drop_index(name, table)
