"""A reservation knows where it came from, how near its buyer was, and how many before it were never paid."""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Reservations there now last a minute."""
    for column in _added():
        if column.name not in {known["name"] for known in sa.inspect(op.get_bind()).get_columns("reservations")}:
            op.add_column("reservations", column)


def downgrade() -> None:
    """Every reservation is whole again."""
    for column in _added():
        with op.batch_alter_table("reservations") as reservations:
            reservations.drop_column(column.name)


def _added() -> list[sa.Column[Any]]:
    return [
        sa.Column("origin", sa.String(64), nullable=False, server_default=""),
        sa.Column("presence", sa.Integer(), nullable=False, server_default="0"),
        sa.Column("misses", sa.Integer(), nullable=False, server_default="0"),
    ]
