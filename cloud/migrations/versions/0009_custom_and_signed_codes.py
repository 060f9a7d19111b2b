"""The merchant's own payment page (Custom), and machines whose QR codes must be signed."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

ONE_MERCHANT = "uq_credentials_custom_account"
ADDED = {
    "credentials": (
        ("page_url", sa.String(1024), ""),
        ("status_url", sa.String(1024), ""),
        ("action_url", sa.String(1024), ""),
    ),
    "devices": (
        ("qr", sa.String(16), "any"),
        ("qr_key_version", sa.Integer(), "1"),
    ),
}


def upgrade() -> None:
    """What a database already has (added by hand before this revision) stays as it is."""
    for table, columns in ADDED.items():
        known = _columns(table)
        for name, kind, default in columns:
            if name not in known:
                op.add_column(table, sa.Column(name, kind, nullable=False, server_default=default))
    if ONE_MERCHANT not in {index["name"] for index in sa.inspect(op.get_bind()).get_indexes("credentials")}:
        custom = sa.text("scenario = 'Custom'")
        op.create_index(
            ONE_MERCHANT, "credentials", ["account_id"], unique=True, postgresql_where=custom, sqlite_where=custom
        )


def downgrade() -> None:
    """Accounts of the merchant's own page, and which machines must sign, are forgotten."""
    op.drop_index(ONE_MERCHANT, "credentials")
    for table, columns in ADDED.items():
        known = _columns(table)
        with op.batch_alter_table(table) as changed:
            for name, _, _ in columns:
                if name in known:
                    changed.drop_column(name)


def _columns(table: str) -> set[str]:
    return {column["name"] for column in sa.inspect(op.get_bind()).get_columns(table)}
