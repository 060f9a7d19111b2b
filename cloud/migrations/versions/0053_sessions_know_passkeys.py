"""A login session says that the program which completed it asks for passkeys."""

import sqlalchemy as sa
from alembic import op

revision = "0053"
down_revision = "0052"
branch_labels = None
depends_on = None
breaks_older = False


def upgrade() -> None:
    """Of sessions from before nobody knows; an older program leaves it empty."""
    op.add_column("login_sessions", sa.Column("knows_passkeys", sa.Boolean(), nullable=True))


def downgrade() -> None:
    """A session stays as complete as it was."""
    op.drop_column("login_sessions", "knows_passkeys")
