"""Machines without an agent: who names the price, what an unobservable outcome means, when to ask about them again."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

WORDS = {"price_source": "catalogue", "unobserved": "return"}
"""New columns of `devices`, and what machines that exist mean by them."""
LOOK_AT = "look_at"


def upgrade() -> None:
    """What a database already has (added by hand before this revision) stays as it is."""
    known = _columns("devices")
    for name, default in WORDS.items():
        if name not in known:
            op.add_column("devices", sa.Column(name, sa.String(16), nullable=False, server_default=default))
    if LOOK_AT not in _columns("device_live"):
        op.add_column("device_live", sa.Column(LOOK_AT, sa.DateTime(timezone=True), nullable=True))


def downgrade() -> None:
    """Prices come from the catalogue again, and every unobservable outcome returns the money."""
    for table, names in {"devices": list(WORDS), "device_live": [LOOK_AT]}.items():
        known = _columns(table)
        with op.batch_alter_table(table) as changed:
            for name in names:
                if name in known:
                    changed.drop_column(name)


def _columns(table: str) -> set[str]:
    return {column["name"] for column in sa.inspect(op.get_bind()).get_columns(table)}
