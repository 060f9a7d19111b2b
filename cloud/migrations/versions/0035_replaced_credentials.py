"""Keys that a person has replaced, kept for a week so that the change can be taken back."""

import sqlalchemy as sa
from alembic import op

revision = "0035"
down_revision = "0034"
branch_labels = None
depends_on = None
breaks_older = False

TABLE = "replaced_credentials"


def upgrade() -> None:
    """Its index is of the models, and built after it (`build_indexes.py`)."""
    op.create_table(
        TABLE,
        sa.Column("merchant_id", sa.String(64), nullable=False),
        sa.Column("scenario", sa.String(32), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("account_id", sa.String(64), nullable=False),
        sa.Column("replaced_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("secret", sa.Text(), nullable=False),
        sa.Column("capture", sa.String(16), nullable=False),
        sa.Column("status_check", sa.String(16), nullable=False),
        sa.Column("page_url", sa.String(1024), server_default="", nullable=False),
        sa.Column("status_url", sa.String(1024), server_default="", nullable=False),
        sa.Column("action_url", sa.String(1024), server_default="", nullable=False),
        sa.Column("receipt", sa.JSON(none_as_null=True), nullable=True),
        sa.ForeignKeyConstraint(
            ["merchant_id"], ["merchants.id"], name=op.f("fk_replaced_credentials_merchant_id_merchants")
        ),
        sa.PrimaryKeyConstraint("merchant_id", "scenario", "version", name=op.f("pk_replaced_credentials")),
    )


def downgrade() -> None:
    """What was replaced stays replaced."""
    op.drop_table(TABLE)
