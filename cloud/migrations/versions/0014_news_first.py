"""Questions that somebody waits for are told from polls."""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """A column that is there already (made by hand before this revision) stays as it is."""
    for table, column in _added():
        if column.name not in {known["name"] for known in sa.inspect(op.get_bind()).get_columns(table)}:
            op.add_column(table, column)


def downgrade() -> None:
    """Every question waits its turn again."""
    for table, column in _added():
        with op.batch_alter_table(table) as altered:
            altered.drop_column(column.name)


def _added() -> list[tuple[str, sa.Column[Any]]]:
    return [
        ("payments", sa.Column("told_at", sa.DateTime(timezone=True), nullable=True)),
        ("payments", sa.Column("times_told", sa.Integer(), nullable=False, server_default="0")),
        ("provider_news", sa.Column("our_payment", sa.String(32), nullable=False, server_default="")),
    ]
