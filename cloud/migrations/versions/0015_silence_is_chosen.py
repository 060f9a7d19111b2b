"""What the silence of a machine that never tells an outcome means is chosen by its merchant, not by a default.

Machines that exist keep what they have been doing.
"""

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """New machines have not chosen."""
    _set_default("")


def downgrade() -> None:
    """A merchant that had not chosen returns the money, as before."""
    op.execute("UPDATE devices SET unobserved = 'return' WHERE unobserved = ''")
    _set_default("return")


def _set_default(word: str) -> None:
    with op.batch_alter_table("devices") as devices:
        devices.alter_column("unobserved", existing_type=sa.String(16), server_default=word, existing_nullable=False)
