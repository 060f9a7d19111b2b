"""A database put back to an earlier state knows that it was, and keeps what devices say of orders it does not have."""

import sqlalchemy as sa
from alembic import op

revision = "0026"
down_revision = "0025"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Nothing was ever restored."""
    connection = op.get_bind()
    if "restored_at" not in {column["name"] for column in sa.inspect(connection).get_columns("orders")}:
        op.add_column("orders", sa.Column("restored_at", sa.DateTime(timezone=True), nullable=True))
    if not sa.inspect(connection).has_table("restores"):
        _restores()
    if not sa.inspect(connection).has_table("unclaimed_outcomes"):
        _unclaimed_outcomes()


def downgrade() -> None:
    """What a restore left open is a person's; what belongs to no order is forgotten."""
    op.drop_table("unclaimed_outcomes")
    op.drop_table("restored_shops")
    op.drop_table("restores")
    op.drop_column("orders", "restored_at")


def _restores() -> None:
    op.create_table(
        "restores",
        sa.Column("id", sa.Integer(), autoincrement=True, nullable=False),
        sa.Column("as_of", sa.DateTime(timezone=True), nullable=False),
        sa.Column("restored_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("begun_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_restores")),
    )
    op.create_table(
        "restored_shops",
        sa.Column("restore_id", sa.Integer(), nullable=False),
        sa.Column("merchant_id", sa.String(64), nullable=False),
        sa.Column("scenario", sa.String(32), nullable=False),
        sa.Column("account_id", sa.String(64), nullable=False),
        sa.Column("next_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("adopted", sa.Integer(), server_default="0", nullable=False),
        sa.Column("problem", sa.Text(), server_default="", nullable=False),
        sa.Column("done_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("restore_id", "merchant_id", "scenario", "account_id", name=op.f("pk_restored_shops")),
    )


def _unclaimed_outcomes() -> None:
    op.create_table(
        "unclaimed_outcomes",
        sa.Column("id", sa.Integer(), autoincrement=True, nullable=False),
        sa.Column("device_uuid", sa.String(64), nullable=False),
        sa.Column("command_id", sa.String(64), nullable=False),
        sa.Column("order_id", sa.String(255), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("said", sa.LargeBinary(), nullable=False),
        sa.Column("received_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_unclaimed_outcomes")),
    )
    op.create_index(
        "uq_unclaimed_outcomes_once", "unclaimed_outcomes", ["device_uuid", "command_id", "revision"], unique=True
    )
    op.create_index("ix_unclaimed_outcomes_order", "unclaimed_outcomes", ["order_id"])
    op.create_index(op.f("ix_unclaimed_outcomes_received_at"), "unclaimed_outcomes", ["received_at"])
