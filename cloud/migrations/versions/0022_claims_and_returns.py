"""Claims of buyers, requests to return money, and the indexes by which people look for orders."""

import sqlalchemy as sa
from alembic import op

revision = "0022"
down_revision = "0021"
branch_labels = None
depends_on = None

BEFORE = [("ix_orders_status", ["status"]), ("ix_orders_merchant_id", ["merchant_id"])]
"""Each is the beginning of one of the new."""
ADDED = [
    ("ix_orders_status", ["status", "created_at", "id"]),
    ("ix_orders_created", ["created_at", "id"]),
    ("ix_orders_merchant", ["merchant_id", "created_at", "id"]),
    ("ix_orders_device", ["device_uuid", "created_at", "id"]),
]
_OPEN = "state IN ('requested', 'approved', 'owed')"
_FOLLOWED = "state IN ('approved', 'owed', 'refused')"
_UNRESOLVED = "state <> 'resolved'"


def upgrade() -> None:
    """Nobody has complained or asked for anything yet."""
    _replace(BEFORE, ADDED)
    known = set(sa.inspect(op.get_bind()).get_table_names())
    if "return_requests" not in known:
        _create_return_requests()
    if "claims" not in known:
        _create_claims()


def downgrade() -> None:
    """Complaints and their answers are lost; what was returned stays in the history of its order."""
    for table in ("claim_messages", "claims", "return_requests"):
        op.drop_table(table)
    _replace(ADDED, BEFORE)


def _replace(old: list[tuple[str, list[str]]], new: list[tuple[str, list[str]]]) -> None:
    known = {index["name"]: index["column_names"] for index in sa.inspect(op.get_bind()).get_indexes("orders")}
    for name, columns in old:
        if known.get(name) == columns:
            op.drop_index(name, "orders")
            del known[name]
    for name, columns in new:
        if name not in known:
            op.create_index(name, "orders", columns)


def _create_return_requests() -> None:
    op.create_table(
        "return_requests",
        sa.Column("id", sa.Integer(), autoincrement=True, nullable=False),
        sa.Column("order_id", sa.String(255), nullable=False),
        sa.Column("merchant_id", sa.String(64), nullable=False),
        sa.Column("kopecks", sa.Integer(), nullable=False),
        sa.Column("reason", sa.String(32), nullable=False),
        sa.Column("words", sa.String(500), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("requested_by", sa.String(64), nullable=False),
        sa.Column("requested_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("status_then", sa.String(16), nullable=False),
        sa.Column("given_then", sa.Integer(), nullable=False),
        sa.Column("way", sa.String(16), nullable=False),
        sa.Column("decided_by", sa.String(64), nullable=True),
        sa.Column("decided_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("decision", sa.String(500), nullable=False),
        sa.Column("back_at", sa.Integer(), nullable=True),
        sa.CheckConstraint(
            "state IN ('requested', 'approved', 'declined', 'expired', 'owed', 'returned', 'refused')",
            name=op.f("ck_return_requests_state"),
        ),
        sa.CheckConstraint(
            "reason IN ('not_poured', 'half_poured', 'bad_drink', 'wrong_drink', 'paid_twice', 'goodwill', 'other')",
            name=op.f("ck_return_requests_reason"),
        ),
        sa.CheckConstraint("kopecks > 0", name=op.f("ck_return_requests_kopecks")),
        sa.CheckConstraint(
            "decided_by IS NULL OR decided_by <> requested_by", name=op.f("ck_return_requests_two_persons")
        ),
        sa.CheckConstraint("way <> 'second_person' OR decided_by IS NOT NULL", name=op.f("ck_return_requests_way")),
        sa.ForeignKeyConstraint(["order_id"], ["orders.id"], name=op.f("fk_return_requests_order_id_orders")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_return_requests")),
    )
    op.create_index("ix_return_requests_order_id", "return_requests", ["order_id"])
    op.create_index("ix_return_requests_person", "return_requests", ["requested_by", "requested_at"])
    op.create_index("ix_return_requests_state", "return_requests", ["state", "expires_at"])
    _create_partial("uq_return_requests_one_open", "return_requests", ["order_id"], _OPEN, unique=True)
    _create_partial("ix_return_requests_followed", "return_requests", ["id"], _FOLLOWED)


def _create_claims() -> None:
    op.create_table(
        "claims",
        sa.Column("id", sa.Integer(), autoincrement=True, nullable=False),
        sa.Column("order_id", sa.String(255), nullable=False),
        sa.Column("merchant_id", sa.String(64), nullable=False),
        sa.Column("device_uuid", sa.String(64), nullable=False),
        sa.Column("kind", sa.String(32), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("language", sa.String(8), nullable=False),
        sa.Column("opened_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("changed_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint(
            "kind IN ('not_poured', 'half_poured', 'bad_drink', 'wrong_drink', 'money_not_back', 'other')",
            name=op.f("ck_claims_kind"),
        ),
        sa.CheckConstraint("state IN ('open', 'answered', 'resolved')", name=op.f("ck_claims_state")),
        sa.ForeignKeyConstraint(["order_id"], ["orders.id"], name=op.f("fk_claims_order_id_orders")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_claims")),
    )
    op.create_index("ix_claims_order_id", "claims", ["order_id"])
    op.create_index("ix_claims_state", "claims", ["state", "changed_at", "id"])
    _create_partial("uq_claims_one_open", "claims", ["order_id"], _UNRESOLVED, unique=True)
    op.create_table(
        "claim_messages",
        sa.Column("id", sa.Integer(), autoincrement=True, nullable=False),
        sa.Column("claim_id", sa.Integer(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("by", sa.String(64), nullable=False),
        sa.Column("words", sa.String(1000), nullable=False),
        sa.ForeignKeyConstraint(["claim_id"], ["claims.id"], name=op.f("fk_claim_messages_claim_id_claims")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_claim_messages")),
    )
    op.create_index("ix_claim_messages_claim_id", "claim_messages", ["claim_id"])


def _create_partial(name: str, table: str, columns: list[str], where: str, *, unique: bool = False) -> None:
    only = sa.text(where)
    op.create_index(name, table, columns, unique=unique, postgresql_where=only, sqlite_where=only)
