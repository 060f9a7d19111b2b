"""Small indexes by which jobs and tasks of no order are found when their term is over."""

import sqlalchemy as sa
from alembic import op

revision = "0033"
down_revision = "0032"
branch_labels = None
depends_on = None
breaks_older = False
INDEXES = {"ix_jobs_asked": "jobs", "ix_outbox_of_no_order": "outbox"}


def upgrade() -> None:
    """They are of the models, and built after the tables, in nobody's way (`build_indexes.py`)."""


def downgrade() -> None:
    """Slower, and nothing else."""
    inspected = sa.inspect(op.get_bind())
    for name, table in INDEXES.items():
        if name in {index["name"] for index in inspected.get_indexes(table)}:
            op.drop_index(name, table)
