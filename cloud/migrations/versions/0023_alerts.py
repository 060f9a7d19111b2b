"""Alerts: incidents, channels and what each was told."""

from datetime import UTC, datetime

import sqlalchemy as sa
from alembic import op

revision = "0023"
down_revision = "0022"
branch_labels = None
depends_on = None

WATCHES = ("incidents", "usual_weeks", "presses:telegram", "presses:max")
TABLES = (
    "alert_channels",
    "alert_link_codes",
    "alert_mutes",
    "alert_people",
    "alert_rules",
    "alert_watch",
    "daily_summaries",
    "incidents",
    "usual_hours",
    "alert_deliveries",
    "alert_messages",
)


def upgrade() -> None:
    """Nobody is told anything until a channel is set up."""
    if "incidents" in sa.inspect(op.get_bind()).get_table_names():
        return
    op.create_table(
        "alert_channels",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("merchant_id", sa.String(length=64), nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("name", sa.String(length=64), nullable=False),
        sa.Column("address", sa.String(length=1024), nullable=False),
        sa.Column("secret", sa.Text(), nullable=False),
        sa.Column("language", sa.String(length=8), nullable=False),
        sa.Column("zone", sa.String(length=64), nullable=False),
        sa.Column("least", sa.String(length=16), nullable=False),
        sa.Column("is_second", sa.Boolean(), nullable=False),
        sa.Column("summary", sa.Boolean(), nullable=False),
        sa.Column("quiet_begin", sa.Time(), nullable=True),
        sa.Column("quiet_end", sa.Time(), nullable=True),
        sa.Column("pierces", sa.Boolean(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("broken_since", sa.DateTime(timezone=True), nullable=True),
        sa.Column("broken_why", sa.String(length=128), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_alert_channels")),
    )
    op.create_index(op.f("ix_alert_channels_merchant_id"), "alert_channels", ["merchant_id"], unique=False)
    op.create_table(
        "alert_link_codes",
        sa.Column("code_hash", sa.String(length=64), nullable=False),
        sa.Column("purpose", sa.String(length=16), nullable=False),
        sa.Column("value", sa.String(length=255), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("code_hash", name=op.f("pk_alert_link_codes")),
    )
    op.create_table(
        "alert_mutes",
        sa.Column("merchant_id", sa.String(length=64), nullable=False),
        sa.Column("device_uuid", sa.String(length=64), nullable=False),
        sa.Column("until", sa.DateTime(timezone=True), nullable=False),
        sa.Column("by", sa.String(length=64), nullable=False),
        sa.Column("why", sa.String(length=255), nullable=False),
        sa.PrimaryKeyConstraint("merchant_id", "device_uuid", name=op.f("pk_alert_mutes")),
    )
    op.create_table(
        "alert_people",
        sa.Column("messenger", sa.String(length=16), nullable=False),
        sa.Column("user", sa.String(length=64), nullable=False),
        sa.Column("who", sa.String(length=255), nullable=False),
        sa.Column("linked_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("messenger", "user", name=op.f("pk_alert_people")),
    )
    op.create_index(op.f("ix_alert_people_who"), "alert_people", ["who"], unique=False)
    op.create_table(
        "alert_rules",
        sa.Column("merchant_id", sa.String(length=64), nullable=False),
        sa.Column("kind", sa.String(length=32), nullable=False),
        sa.Column("enabled", sa.Boolean(), nullable=False),
        sa.Column("pending_s", sa.Float(), nullable=True),
        sa.PrimaryKeyConstraint("merchant_id", "kind", name=op.f("pk_alert_rules")),
    )
    op.create_table(
        "alert_watch",
        sa.Column("name", sa.String(length=32), nullable=False),
        sa.Column("looked_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("holder", sa.String(length=64), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_alert_watch")),
    )
    op.create_table(
        "daily_summaries",
        sa.Column("merchant_id", sa.String(length=64), nullable=False),
        sa.Column("day", sa.Date(), nullable=False),
        sa.PrimaryKeyConstraint("merchant_id", "day", name=op.f("pk_daily_summaries")),
    )
    op.create_table(
        "incidents",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("fingerprint", sa.String(length=255), nullable=False),
        sa.Column("kind", sa.String(length=32), nullable=False),
        sa.Column("merchant_id", sa.String(length=64), nullable=False),
        sa.Column("subject", sa.String(length=128), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("since", sa.DateTime(timezone=True), nullable=False),
        sa.Column("present", sa.Boolean(), nullable=False),
        sa.Column("changed_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("facts", sa.JSON(), nullable=False),
        sa.Column("opened_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("resolved_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("flips", sa.JSON(), nullable=False),
        sa.Column("unstable", sa.Boolean(), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("acknowledged_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("acknowledged_by", sa.String(length=64), nullable=False),
        sa.Column("snoozed_until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("group_id", sa.String(length=32), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_incidents")),
    )
    op.create_index("ix_incidents_merchant", "incidents", ["merchant_id", "opened_at"], unique=False)
    op.create_index("ix_incidents_resolved", "incidents", ["resolved_at"], unique=False)
    op.create_index(
        "uq_incidents_open",
        "incidents",
        ["fingerprint"],
        unique=True,
        postgresql_where=sa.text("state <> 'resolved'"),
        sqlite_where=sa.text("state <> 'resolved'"),
    )
    op.create_table(
        "usual_hours",
        sa.Column("device_uuid", sa.String(length=64), nullable=False),
        sa.Column("hour", sa.Integer(), nullable=False),
        sa.Column("cups", sa.Float(), nullable=False),
        sa.ForeignKeyConstraint(
            ["device_uuid"], ["devices.device_uuid"], name=op.f("fk_usual_hours_device_uuid_devices")
        ),
        sa.PrimaryKeyConstraint("device_uuid", "hour", name=op.f("pk_usual_hours")),
    )
    op.create_table(
        "alert_deliveries",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False),
        sa.Column("channel_id", sa.String(length=32), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("what", sa.String(length=64), nullable=False),
        sa.Column("result", sa.String(length=16), nullable=False),
        sa.Column("detail", sa.String(length=128), nullable=False),
        sa.ForeignKeyConstraint(
            ["channel_id"],
            ["alert_channels.id"],
            name=op.f("fk_alert_deliveries_channel_id_alert_channels"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_alert_deliveries")),
    )
    op.create_index("ix_alert_deliveries_at", "alert_deliveries", ["at"], unique=False)
    op.create_index("ix_alert_deliveries_channel", "alert_deliveries", ["channel_id", "id"], unique=False)
    op.create_table(
        "alert_messages",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("channel_id", sa.String(length=32), nullable=False),
        sa.Column("incident_id", sa.String(length=32), nullable=True),
        sa.Column("purpose", sa.String(length=16), nullable=False),
        sa.Column("subject", sa.String(length=255), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("word", sa.String(length=16), nullable=False),
        sa.Column("told_revision", sa.Integer(), nullable=False),
        sa.Column("told_unstable", sa.Boolean(), nullable=False),
        sa.Column("told_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("changed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("can_change", sa.Boolean(), nullable=False),
        sa.Column("held", sa.Boolean(), nullable=False),
        sa.Column("ref", sa.String(length=255), nullable=False),
        sa.Column("sendings", sa.Integer(), nullable=False),
        sa.Column("task_due_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("not_before", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(
            ["channel_id"],
            ["alert_channels.id"],
            name=op.f("fk_alert_messages_channel_id_alert_channels"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["incident_id"], ["incidents.id"], name=op.f("fk_alert_messages_incident_id_incidents"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_alert_messages")),
        sa.UniqueConstraint("incident_id", "channel_id", name="uq_alert_messages_once"),
    )
    op.create_index("ix_alert_messages_channel", "alert_messages", ["channel_id"], unique=False)
    watch = sa.table(
        "alert_watch", sa.column("name"), sa.column("looked_at", sa.DateTime(timezone=True)), sa.column("holder")
    )
    never = datetime(1970, 1, 1, tzinfo=UTC)
    op.bulk_insert(watch, [{"name": name, "looked_at": never, "holder": ""} for name in WATCHES])


def downgrade() -> None:
    """Channels, and what they were told, are forgotten."""
    for table in reversed(TABLES):
        op.drop_table(table)
