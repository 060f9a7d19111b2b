"""By which of its zone's rules a machine's days are counted: a law changes them, and the zone's name stays."""

import sqlalchemy as sa
from alembic import op

revision = "0054"
down_revision = "0053"
branch_labels = None
depends_on = None
breaks_older = False


def upgrade() -> None:
    """Empty where it is not known: taken as those of the moment, so that nothing is counted anew for it."""
    op.add_column("sales_zones", sa.Column("rules", sa.String(32), nullable=False, server_default=""))
    op.add_column("sales_zones", sa.Column("rules_since", sa.DateTime(timezone=True), nullable=True))
    op.add_column("sales_zones", sa.Column("first_day", sa.Date(), nullable=True))


def downgrade() -> None:
    """Older programs look at the name alone."""
    for column in ("first_day", "rules_since", "rules"):
        op.drop_column("sales_zones", column)
