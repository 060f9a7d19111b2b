"""How each worker stands with the broker, and who hears the machines where a broker cannot share them out."""

import sqlalchemy as sa
from alembic import op

revision = "0024"
down_revision = "0023"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """A worker of the version before writes none of it: it counts as one that hears."""
    op.add_column("workers", sa.Column("hears_devices", sa.Boolean, nullable=False, server_default=sa.true()))
    op.add_column("workers", sa.Column("lag_s", sa.Float, nullable=False, server_default="0"))
    op.add_column("workers", sa.Column("broker_trouble", sa.String(200), nullable=False, server_default=""))
    op.create_table(
        "reader_lease",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("owner", sa.String(64), nullable=False),
        sa.Column("until", sa.DateTime(timezone=True), nullable=False),
    )


def downgrade() -> None:
    op.drop_table("reader_lease")
    with op.batch_alter_table("workers") as workers:
        for name in ("broker_trouble", "lag_s", "hears_devices"):
            workers.drop_column(name)
