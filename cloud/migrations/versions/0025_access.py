"""Users, their roles and sessions, and the journal of what they did."""

import sqlalchemy as sa
from alembic import op

from cloud.migrations.append_only import protect, unprotect

revision = "0025"
down_revision = "0024"
branch_labels = None
depends_on = None

_TABLES = (
    "journal_seals", "journal", "support_accesses", "recovery_codes", "login_attempts", "login_sessions", "memberships",
    "users",
)  # fmt: skip
_TIME = sa.DateTime(timezone=True)


def upgrade() -> None:
    """Nobody has an account yet."""
    if sa.inspect(op.get_bind()).has_table("users"):
        return
    _people()
    _logging_in()
    _journal()
    for table in ("journal", "journal_seals"):
        protect(table)


def downgrade() -> None:
    """Who did what is lost."""
    for table in ("journal", "journal_seals"):
        unprotect(table)
    for table in _TABLES:
        op.drop_table(table)


def _people() -> None:
    op.create_table(
        "users",
        sa.Column("id", sa.String(32), nullable=False),
        sa.Column("email", sa.String(255), nullable=False),
        sa.Column("name", sa.String(255), nullable=False),
        sa.Column("is_admin", sa.Boolean(), nullable=False, server_default=sa.false()),
        sa.Column("password", sa.String(255), nullable=False),
        sa.Column("totp", sa.Text(), nullable=False),
        sa.Column("totp_step", sa.Integer(), nullable=False),
        sa.Column("asks_second_factor", sa.Boolean(), nullable=False, server_default=sa.true()),
        sa.Column("invitation", sa.String(64), nullable=True),
        sa.Column("invited_until", _TIME, nullable=True),
        sa.Column("disabled_at", _TIME, nullable=True),
        sa.Column("language", sa.String(8), nullable=False),
        sa.Column("theme", sa.String(8), nullable=False),
        sa.Column("created_at", _TIME, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_users")),
        sa.UniqueConstraint("email", name=op.f("uq_users_email")),
        sa.UniqueConstraint("invitation", name=op.f("uq_users_invitation")),
    )
    op.create_table(
        "memberships",
        sa.Column("id", sa.Integer(), autoincrement=True, nullable=False),
        sa.Column("user_id", sa.String(32), nullable=False),
        sa.Column("merchant_id", sa.String(64), nullable=False),
        sa.Column("role", sa.String(16), nullable=False),
        sa.Column("machines", sa.JSON(none_as_null=True), nullable=True),
        _key("memberships", "user_id", "users"),
        _key("memberships", "merchant_id", "merchants"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_memberships")),
        sa.UniqueConstraint("user_id", "merchant_id", name=op.f("uq_memberships_user_id_merchant_id")),
    )
    op.create_index("ix_memberships_merchant_id", "memberships", ["merchant_id"])
    op.create_table(
        "support_accesses",
        sa.Column("id", sa.Integer(), autoincrement=True, nullable=False),
        sa.Column("user_id", sa.String(32), nullable=False),
        sa.Column("merchant_id", sa.String(64), nullable=False),
        sa.Column("why", sa.String(500), nullable=False),
        sa.Column("opened_at", _TIME, nullable=False),
        sa.Column("until", _TIME, nullable=False),
        sa.Column("ended_at", _TIME, nullable=True),
        _key("support_accesses", "user_id", "users"),
        _key("support_accesses", "merchant_id", "merchants"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_support_accesses")),
    )
    op.create_index("ix_support_accesses_merchant_id", "support_accesses", ["merchant_id", "until"])
    op.create_index("ix_support_accesses_user_id", "support_accesses", ["user_id"])


def _logging_in() -> None:
    op.create_table(
        "login_sessions",
        sa.Column("id", sa.String(32), nullable=False),
        sa.Column("user_id", sa.String(32), nullable=False),
        sa.Column("token", sa.String(64), nullable=False),
        sa.Column("created_at", _TIME, nullable=False),
        sa.Column("seen_at", _TIME, nullable=False),
        sa.Column("expires_at", _TIME, nullable=False),
        sa.Column("complete_at", _TIME, nullable=True),
        sa.Column("confirmed_at", _TIME, nullable=True),
        sa.Column("ended_at", _TIME, nullable=True),
        sa.Column("address", sa.String(64), nullable=False),
        sa.Column("agent", sa.String(200), nullable=False),
        _key("login_sessions", "user_id", "users"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_login_sessions")),
        sa.UniqueConstraint("token", name=op.f("uq_login_sessions_token")),
    )
    op.create_index("ix_login_sessions_user_id", "login_sessions", ["user_id", "ended_at"])
    op.create_index("ix_login_sessions_expires_at", "login_sessions", ["expires_at"])
    op.create_table(
        "login_attempts",
        sa.Column("key", sa.String(80), nullable=False),
        sa.Column("failures", sa.Integer(), nullable=False),
        sa.Column("last_at", _TIME, nullable=False),
        sa.PrimaryKeyConstraint("key", name=op.f("pk_login_attempts")),
    )
    op.create_index("ix_login_attempts_last_at", "login_attempts", ["last_at"])
    op.create_table(
        "recovery_codes",
        sa.Column("id", sa.Integer(), autoincrement=True, nullable=False),
        sa.Column("user_id", sa.String(32), nullable=False),
        sa.Column("code", sa.String(64), nullable=False),
        sa.Column("used_at", _TIME, nullable=True),
        _key("recovery_codes", "user_id", "users"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_recovery_codes")),
        sa.UniqueConstraint("user_id", "code", name=op.f("uq_recovery_codes_user_id_code")),
    )


def _journal() -> None:
    op.create_table(
        "journal",
        sa.Column("id", sa.Integer(), autoincrement=True, nullable=False),
        sa.Column("at", _TIME, nullable=False),
        sa.Column("who", sa.String(64), nullable=False),
        sa.Column("who_name", sa.String(255), nullable=False),
        sa.Column("merchant_id", sa.String(64), nullable=False),
        sa.Column("device_uuid", sa.String(64), nullable=False),
        sa.Column("act", sa.String(32), nullable=False),
        sa.Column("kind", sa.String(32), nullable=False),
        sa.Column("object_id", sa.String(255), nullable=False),
        sa.Column("before", sa.JSON(none_as_null=True), nullable=True),
        sa.Column("after", sa.JSON(none_as_null=True), nullable=True),
        sa.Column("why", sa.String(500), nullable=False),
        sa.Column("undoes", sa.Integer(), nullable=True),
        sa.Column("address", sa.String(64), nullable=False),
        sa.Column("session_id", sa.String(32), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_journal")),
    )
    op.create_index("ix_journal_at", "journal", ["at", "id"])
    op.create_index("ix_journal_merchant_id", "journal", ["merchant_id", "at", "id"])
    op.create_index("ix_journal_object", "journal", ["kind", "object_id", "id"])
    op.create_table(
        "journal_seals",
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("entries", sa.Integer(), nullable=False),
        sa.Column("digest", sa.String(64), nullable=False),
        sa.Column("signature", sa.String(128), nullable=False),
        sa.Column("sealed_at", _TIME, nullable=False),
        sa.PrimaryKeyConstraint("day", name=op.f("pk_journal_seals")),
    )


def _key(table: str, column: str, of: str) -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint([column], [f"{of}.id"], name=op.f(f"fk_{table}_{column}_{of}"))
