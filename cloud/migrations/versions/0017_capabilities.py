"""An order knows which code opened it, and whether a phone that scanned it has come back."""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Of orders there now nobody knows the code: every code of theirs fits."""
    for column in _added():
        if column.name not in {known["name"] for known in sa.inspect(op.get_bind()).get_columns("orders")}:
            op.add_column("orders", column)


def downgrade() -> None:
    """A number alone names an order again."""
    for column in _added():
        op.drop_column("orders", column.name)


def _added() -> list[sa.Column[Any]]:
    return [
        sa.Column("opened_by", sa.String(24), nullable=True),
        sa.Column("claimed_at", sa.DateTime(timezone=True), nullable=True),
    ]
