"""Small indexes of the journal: notes of a machine, and what takes an entry back."""

import sqlalchemy as sa
from alembic import op

revision = "0042"
down_revision = "0041"
branch_labels = None
depends_on = None
breaks_older = False


def upgrade() -> None:
    """They are of the models, and built after the tables, in nobody's way (`build_indexes.py`)."""


def downgrade() -> None:
    """Slower, and nothing else."""
    known = {index["name"] for index in sa.inspect(op.get_bind()).get_indexes("journal")}
    for name in {"ix_journal_notes", "ix_journal_undoes"} & known:
        op.drop_index(name, "journal")
