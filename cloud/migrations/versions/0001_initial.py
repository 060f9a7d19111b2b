"""The tables as they first were: fleet, orders with their history and ledger, outbox, providers' news, workers."""

import sqlalchemy as sa
from alembic import op

from cloud.migrations.append_only import protect

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

EIGHT = ("created", "pending", "paid", "make_pending", "manual_make", "successful", "not_paid", "failed")


def upgrade() -> None:
    """From nothing."""
    _fleet()
    _orders()
    _elsewhere()
    protect("order_changes")
    protect("movements")


def downgrade() -> None:
    """To nothing: every order, every kopeck's history is gone."""
    for table in (
        "workers",
        "provider_news",
        "outbox",
        "movements",
        "payments",
        "order_changes",
        "make_commands",
        "orders",
        "drinks",
        "device_live",
        "devices",
        "credentials",
        "merchants",
    ):
        op.drop_table(table)
    if op.get_context().dialect.name == "postgresql":
        op.execute("DROP FUNCTION refuse_change()")


def _fleet() -> None:
    op.create_table(
        "merchants",
        sa.Column("id", sa.String(64), nullable=False),
        sa.Column("name", sa.String(255), nullable=False),
        sa.Column("contact_email", sa.String(255), nullable=False),
        sa.Column("valid_until", sa.Date(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_merchants")),
    )
    op.create_table(
        "credentials",
        sa.Column("merchant_id", sa.String(64), nullable=False),
        sa.Column("scenario", sa.String(32), nullable=False),
        sa.Column("account_id", sa.String(64), nullable=False),
        sa.Column("secret", sa.Text(), nullable=False),
        sa.Column("capture", sa.String(16), nullable=False),
        sa.Column("status_check", sa.String(16), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["merchant_id"], ["merchants.id"], name=op.f("fk_credentials_merchant_id_merchants")),
        sa.PrimaryKeyConstraint("merchant_id", "scenario", name=op.f("pk_credentials")),
    )
    op.create_table(
        "devices",
        sa.Column("device_uuid", sa.String(64), nullable=False),
        sa.Column("merchant_id", sa.String(64), nullable=False),
        sa.Column("location", sa.String(255), nullable=False),
        sa.Column("payment_scenario", sa.String(32), nullable=False),
        sa.Column("control", sa.String(16), nullable=False),
        sa.Column("status", sa.String(16), nullable=False),
        sa.Column("logo_url", sa.String(1024), nullable=False),
        sa.Column("client_info", sa.Text(), nullable=True),
        sa.Column("client_info_pending", sa.Text(), nullable=True),
        sa.Column("client_info_paid", sa.Text(), nullable=True),
        sa.Column("client_info_not_paid", sa.Text(), nullable=True),
        sa.Column("client_info_make_pending", sa.Text(), nullable=True),
        sa.Column("client_info_manual_make", sa.Text(), nullable=True),
        sa.Column("client_info_successful", sa.Text(), nullable=True),
        sa.Column("client_error_info", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(["merchant_id"], ["merchants.id"], name=op.f("fk_devices_merchant_id_merchants")),
        sa.PrimaryKeyConstraint("device_uuid", name=op.f("pk_devices")),
    )
    op.create_index(op.f("ix_devices_merchant_id"), "devices", ["merchant_id"])
    op.create_table(
        "device_live",
        sa.Column("device_uuid", sa.String(64), nullable=False),
        sa.Column("online", sa.Boolean(), nullable=False),
        sa.Column("session_id", sa.String(255), nullable=False),
        sa.Column("seen_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("agent_version", sa.String(64), nullable=False),
        sa.Column("state", sa.JSON(), nullable=True),
        sa.Column("frame_error_ratio", sa.Float(), nullable=False),
        sa.ForeignKeyConstraint(
            ["device_uuid"], ["devices.device_uuid"], name=op.f("fk_device_live_device_uuid_devices")
        ),
        sa.PrimaryKeyConstraint("device_uuid", name=op.f("pk_device_live")),
    )
    op.create_table(
        "drinks",
        sa.Column("device_uuid", sa.String(64), nullable=False),
        sa.Column("drink_no", sa.String(128), nullable=False),
        sa.Column("name", sa.String(255), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("price_small", sa.Integer(), nullable=True),
        sa.Column("price_medium", sa.Integer(), nullable=True),
        sa.Column("price_large", sa.Integer(), nullable=True),
        sa.ForeignKeyConstraint(["device_uuid"], ["devices.device_uuid"], name=op.f("fk_drinks_device_uuid_devices")),
        sa.PrimaryKeyConstraint("device_uuid", "drink_no", name=op.f("pk_drinks")),
    )


def _orders() -> None:
    op.create_table(
        "orders",
        sa.Column("id", sa.String(255), nullable=False),
        sa.Column("device_uuid", sa.String(64), nullable=False),
        sa.Column("merchant_id", sa.String(64), nullable=False),
        sa.Column("drink_no", sa.String(128), nullable=False),
        sa.Column("drink_name", sa.String(255), nullable=False),
        sa.Column("size", sa.Integer(), nullable=False),
        sa.Column("price", sa.Integer(), nullable=False),
        sa.Column("is_test", sa.Boolean(), nullable=False),
        sa.Column("payment_scenario", sa.String(32), nullable=False),
        sa.Column("status", sa.String(16), nullable=False),
        sa.Column("reason", sa.String(128), nullable=False),
        sa.Column("stage", sa.String(16), nullable=False),
        sa.Column("progress", sa.Integer(), nullable=False),
        sa.Column("uncertain", sa.Boolean(), nullable=False),
        sa.Column("goodwill", sa.Boolean(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("due_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("return_after", sa.DateTime(timezone=True), nullable=True),
        sa.Column("paid_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("language", sa.String(8), nullable=False),
        sa.CheckConstraint("price >= 0", name=op.f("ck_orders_price")),
        sa.CheckConstraint("size IN (0, 1, 2)", name=op.f("ck_orders_size")),
        sa.CheckConstraint(sa.column("status").in_(EIGHT), name=op.f("ck_orders_status")),
        sa.ForeignKeyConstraint(["device_uuid"], ["devices.device_uuid"], name=op.f("fk_orders_device_uuid_devices")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_orders")),
    )
    op.create_index(op.f("ix_orders_device_uuid"), "orders", ["device_uuid"])
    op.create_index(op.f("ix_orders_due_at"), "orders", ["due_at"])
    op.create_index(op.f("ix_orders_merchant_id"), "orders", ["merchant_id"])
    op.create_index(op.f("ix_orders_return_after"), "orders", ["return_after"])
    op.create_table(
        "make_commands",
        sa.Column("id", sa.String(64), nullable=False),
        sa.Column("order_id", sa.String(255), nullable=False),
        sa.Column("device_uuid", sa.String(64), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("issued_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("deadline_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("live", sa.Boolean(), nullable=False),
        sa.Column("published_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("accepted_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("result", sa.String(16), nullable=True),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("code", sa.String(64), nullable=False),
        sa.Column("out", sa.String(16), nullable=False),
        sa.Column("evidence", sa.JSON(), nullable=True),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(["order_id"], ["orders.id"], name=op.f("fk_make_commands_order_id_orders")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_make_commands")),
    )
    op.create_index(op.f("ix_make_commands_order_id"), "make_commands", ["order_id"])
    _index_where("live", "uq_make_commands_one_live", "make_commands", ["order_id"], unique=True)
    op.create_table(
        "order_changes",
        sa.Column("id", sa.Integer(), autoincrement=True, nullable=False),
        sa.Column("order_id", sa.String(255), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("actor", sa.String(64), nullable=False),
        sa.Column("event", sa.String(32), nullable=False),
        sa.Column("status_before", sa.String(16), nullable=False),
        sa.Column("status_after", sa.String(16), nullable=False),
        sa.Column("reason", sa.String(128), nullable=False),
        sa.Column("evidence", sa.JSON(), nullable=True),
        sa.ForeignKeyConstraint(["order_id"], ["orders.id"], name=op.f("fk_order_changes_order_id_orders")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_order_changes")),
    )
    op.create_index(op.f("ix_order_changes_order_id"), "order_changes", ["order_id"])
    op.create_table(
        "payments",
        sa.Column("id", sa.String(32), nullable=False),
        sa.Column("order_id", sa.String(255), nullable=False),
        sa.Column("merchant_id", sa.String(64), nullable=False),
        sa.Column("scenario", sa.String(32), nullable=False),
        sa.Column("account_id", sa.String(64), nullable=False),
        sa.Column("capture", sa.String(16), nullable=False),
        sa.Column("status_check", sa.String(16), nullable=False),
        sa.Column("amount", sa.Integer(), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("live", sa.Boolean(), nullable=False),
        sa.Column("provider_payment_id", sa.String(64), nullable=True),
        sa.Column("confirmation_url", sa.Text(), nullable=False),
        sa.Column("method", sa.String(32), nullable=False),
        sa.Column("cancel_reason", sa.String(64), nullable=False),
        sa.Column("problem", sa.String(64), nullable=False),
        sa.Column("captured", sa.Integer(), nullable=False),
        sa.Column("refunded", sa.Integer(), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("paid_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("hold_expires_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("next_check_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("checks", sa.Integer(), nullable=False),
        sa.CheckConstraint("amount >= 0 AND captured >= 0 AND refunded >= 0", name=op.f("ck_payments_amounts")),
        sa.ForeignKeyConstraint(["order_id"], ["orders.id"], name=op.f("fk_payments_order_id_orders")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_payments")),
        sa.UniqueConstraint("provider_payment_id", name=op.f("uq_payments_provider_payment_id")),
    )
    op.create_index(op.f("ix_payments_next_check"), "payments", ["next_check_at"])
    op.create_index(op.f("ix_payments_order_id"), "payments", ["order_id"])
    _index_where("live", "uq_payments_one_live", "payments", ["order_id"], unique=True)
    op.create_table(
        "movements",
        sa.Column("id", sa.Integer(), autoincrement=True, nullable=False),
        sa.Column("payment_id", sa.String(32), nullable=False),
        sa.Column("order_id", sa.String(255), nullable=False),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("amount", sa.Integer(), nullable=False),
        sa.Column("reference", sa.String(64), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("amount >= 0", name=op.f("ck_movements_amount")),
        sa.ForeignKeyConstraint(["payment_id"], ["payments.id"], name=op.f("fk_movements_payment_id_payments")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_movements")),
    )
    op.create_index(op.f("ix_movements_order_id"), "movements", ["order_id"])
    op.create_index(op.f("ix_movements_payment_id"), "movements", ["payment_id"])
    op.create_index(op.f("uq_movements_once"), "movements", ["payment_id", "kind", "reference"], unique=True)


def _elsewhere() -> None:
    op.create_table(
        "outbox",
        sa.Column("id", sa.Integer(), autoincrement=True, nullable=False),
        sa.Column("lane", sa.String(16), nullable=False),
        sa.Column("task", sa.String(16), nullable=False),
        sa.Column("key", sa.String(64), nullable=False),
        sa.Column("order_id", sa.String(255), nullable=False),
        sa.Column("subject", sa.String(64), nullable=False),
        sa.Column("amount", sa.Integer(), nullable=False),
        sa.Column("call_path", sa.String(255), nullable=False),
        sa.Column("call_body", sa.LargeBinary(), nullable=True),
        sa.Column("reference", sa.String(64), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("due_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("undone", sa.Integer(), nullable=False),
        sa.Column("first_tried_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("claimed_by", sa.String(64), nullable=False),
        sa.Column("claimed_until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("settled_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("verdict", sa.String(64), nullable=False),
        sa.Column("last_error", sa.String(255), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_outbox")),
        sa.UniqueConstraint("key", name=op.f("uq_outbox_key")),
    )
    _index_where("settled_at IS NULL", "ix_outbox_due", "outbox", ["lane", "due_at"])
    op.create_index(op.f("ix_outbox_order_id"), "outbox", ["order_id"])
    op.create_index(op.f("ix_outbox_subject"), "outbox", ["subject"])
    op.create_table(
        "provider_news",
        sa.Column("id", sa.Integer(), autoincrement=True, nullable=False),
        sa.Column("provider", sa.String(16), nullable=False),
        sa.Column("dedupe_key", sa.String(255), nullable=False),
        sa.Column("provider_payment_id", sa.String(64), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("received_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("times", sa.Integer(), nullable=False),
        sa.Column("look_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("handled_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("verdict", sa.String(64), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_provider_news")),
        sa.UniqueConstraint("dedupe_key", name=op.f("uq_provider_news_dedupe_key")),
    )
    _index_where("handled_at IS NULL", "ix_provider_news_open", "provider_news", ["received_at"])
    op.create_index(op.f("ix_provider_news_provider_payment_id"), "provider_news", ["provider_payment_id"])
    op.create_table(
        "workers",
        sa.Column("id", sa.String(64), nullable=False),
        sa.Column("seen_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("broker_connected", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_workers")),
    )


def _index_where(condition: str, name: str, table: str, columns: list[str], unique: bool = False) -> None:
    where = sa.text(condition)
    op.create_index(name, table, columns, unique=unique, postgresql_where=where, sqlite_where=where)
