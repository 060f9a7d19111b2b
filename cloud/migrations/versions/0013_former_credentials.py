"""Accounts a merchant has left, kept until their money is settled."""

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None

TABLE = "former_credentials"


def upgrade() -> None:
    """A table that is there already (made by hand before this revision) stays as it is."""
    if TABLE in sa.inspect(op.get_bind()).get_table_names():
        return
    op.create_table(
        TABLE,
        sa.Column("merchant_id", sa.String(64), nullable=False),
        sa.Column("scenario", sa.String(32), nullable=False),
        sa.Column("account_id", sa.String(64), nullable=False),
        sa.Column("secret", sa.Text(), nullable=False),
        sa.Column("capture", sa.String(16), nullable=False),
        sa.Column("status_check", sa.String(16), nullable=False),
        sa.Column("page_url", sa.String(1024), server_default="", nullable=False),
        sa.Column("status_url", sa.String(1024), server_default="", nullable=False),
        sa.Column("action_url", sa.String(1024), server_default="", nullable=False),
        sa.Column("receipt", sa.JSON(none_as_null=True), nullable=True),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(
            ["merchant_id"], ["merchants.id"], name=op.f("fk_former_credentials_merchant_id_merchants")
        ),
        sa.PrimaryKeyConstraint("merchant_id", "scenario", "account_id", name=op.f("pk_former_credentials")),
    )


def downgrade() -> None:
    """Keys of left accounts are forgotten: what is open there is a person's."""
    op.drop_table(TABLE)
