"""Of a day of machines' counters it is kept how many machines there were, and how many could be compared."""

import sqlalchemy as sa
from alembic import op

revision = "0050"
down_revision = "0049"
branch_labels = None
depends_on = None
breaks_older = False


def upgrade() -> None:
    """Of days looked at before nobody knows; an older program goes on without saying."""
    for name in ("machines", "compared"):
        op.add_column("reconciliations", sa.Column(name, sa.Integer, nullable=True))


def downgrade() -> None:
    """The command tells it, as it did."""
    for name in ("compared", "machines"):
        op.drop_column("reconciliations", name)
