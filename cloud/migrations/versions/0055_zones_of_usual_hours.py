"""In which zone the hours of a machine's usual week are counted: it may have got another one since."""

import sqlalchemy as sa
from alembic import op

revision = "0055"
down_revision = "0054"
branch_labels = None
depends_on = None
breaks_older = False


def upgrade() -> None:
    """Empty until the week is counted next, within a day: the machine's."""
    op.add_column("usual_hours", sa.Column("zone", sa.String(64), nullable=False, server_default=""))


def downgrade() -> None:
    """Older programs take the machine's."""
    op.drop_column("usual_hours", "zone")
