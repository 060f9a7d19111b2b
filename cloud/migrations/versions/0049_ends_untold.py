"""The few alerts whose end a channel was not told are found among all that were ever told."""

import sqlalchemy as sa
from alembic import op

revision = "0049"
down_revision = "0048"
branch_labels = None
depends_on = None
breaks_older = False


def upgrade() -> None:
    """The index is of the models, and built after the tables, in nobody's way (`build_indexes.py`)."""


def downgrade() -> None:
    """Slower, and nothing else."""
    name, table = "ix_alert_messages_end_untold", "alert_messages"
    if name in {index["name"] for index in sa.inspect(op.get_bind()).get_indexes(table)}:
        op.drop_index(name, table)
