"""Tables of alerts: incidents, channels, what each channel was told, deliveries, mutes, summaries, usual weeks."""

from datetime import datetime, time
from typing import Any

from sqlalchemy import (
    JSON,
    Boolean,
    Date,
    Float,
    ForeignKey,
    Index,
    Integer,
    String,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy import Time as TimeOfDay
from sqlalchemy.orm import Mapped, mapped_column

from cloud.alerts.kinds import Severity
from cloud.database.base import SERIAL, Base

_NOT_RESOLVED = "state <> 'resolved'"
END_UNTOLD = "word <> '' AND word <> 'resolved'"
"""Of a message: something was told with it, and the end was not."""


class IncidentRow(Base):
    """One trouble (`incident.py`). Of one fingerprint, at most one is not over."""

    __tablename__ = "incidents"
    __table_args__ = (
        Index(
            "uq_incidents_open", "fingerprint", unique=True,
            postgresql_where=text(_NOT_RESOLVED), sqlite_where=text(_NOT_RESOLVED),
        ),
        Index("ix_incidents_merchant", "merchant_id", "opened_at"),
        Index("ix_incidents_resolved", "resolved_at"),
    )  # fmt: skip

    id: Mapped[str] = mapped_column(String(32), primary_key=True)
    fingerprint: Mapped[str] = mapped_column(String(255))
    kind: Mapped[str] = mapped_column(String(32))
    merchant_id: Mapped[str] = mapped_column(String(64))
    """Empty: it concerns the whole service."""
    subject: Mapped[str] = mapped_column(String(128))
    """The machine, the shop or the channel it is about; empty where the kind says all."""
    state: Mapped[str] = mapped_column(String(16))
    since: Mapped[datetime]
    present: Mapped[bool] = mapped_column(Boolean)
    changed_at: Mapped[datetime]
    facts: Mapped[dict[str, Any]] = mapped_column(JSON)
    opened_at: Mapped[datetime | None] = mapped_column(default=None)
    resolved_at: Mapped[datetime | None] = mapped_column(default=None)
    flips: Mapped[list[str]] = mapped_column(JSON)
    unstable: Mapped[bool] = mapped_column(Boolean, default=False)
    revision: Mapped[int] = mapped_column(Integer, default=1)
    acknowledged_at: Mapped[datetime | None] = mapped_column(default=None)
    acknowledged_by: Mapped[str] = mapped_column(String(64), default="")
    snoozed_until: Mapped[datetime | None] = mapped_column(default=None)
    group_id: Mapped[str] = mapped_column(String(32), default="")


class Channel(Base):
    """Where a merchant, or the platform (no merchant), is told. Its secret is encrypted (`cloud/fleet/vault.py`)."""

    __tablename__ = "alert_channels"

    id: Mapped[str] = mapped_column(String(32), primary_key=True)
    merchant_id: Mapped[str] = mapped_column(String(64), index=True)
    kind: Mapped[str] = mapped_column(String(16))
    """`telegram`, `max`, `email`, `webhook`."""
    name: Mapped[str] = mapped_column(String(64))
    address: Mapped[str] = mapped_column(String(1024))
    secret: Mapped[str] = mapped_column(Text, default="")
    language: Mapped[str] = mapped_column(String(8), default="ru")
    zone: Mapped[str] = mapped_column(String(64), default="Europe/Moscow")
    least: Mapped[str] = mapped_column(String(16), default=Severity.NOTICE.value)
    is_second: Mapped[bool] = mapped_column(Boolean, default=False)
    summary: Mapped[bool] = mapped_column(Boolean, default=True)
    """Whether the daily summary goes here."""
    quiet_begin: Mapped[time | None] = mapped_column(TimeOfDay, default=None)
    quiet_end: Mapped[time | None] = mapped_column(TimeOfDay, default=None)
    pierces: Mapped[bool] = mapped_column(Boolean, default=True)
    created_at: Mapped[datetime]
    broken_since: Mapped[datetime | None] = mapped_column(default=None)
    """It refused a message for good; a test that arrives ends that."""
    broken_why: Mapped[str] = mapped_column(String(128), default="")
    failing_since: Mapped[datetime | None] = mapped_column(default=None)
    """Every attempt since then has failed, though none for good: more are made."""
    failing_why: Mapped[str] = mapped_column(String(128), default="", server_default="")

    def works_again(self) -> None:
        """Nothing is known against it any more."""
        self.broken_since, self.broken_why = None, ""
        self.fails_no_more()

    def fails_no_more(self) -> None:
        """It has answered, or nothing is tried any more."""
        self.failing_since, self.failing_why = None, ""


class AlertMessage(Base):
    """What one channel was told: of an incident, or once (a test, a summary), whose text is then kept here."""

    __tablename__ = "alert_messages"
    __table_args__ = (
        UniqueConstraint("incident_id", "channel_id", name="uq_alert_messages_once"),
        Index("ix_alert_messages_channel", "channel_id"),
        Index(
            "ix_alert_messages_end_untold", "incident_id",
            postgresql_where=text(END_UNTOLD), sqlite_where=text(END_UNTOLD),
        ),
    )  # fmt: skip

    id: Mapped[str] = mapped_column(String(32), primary_key=True)
    channel_id: Mapped[str] = mapped_column(ForeignKey("alert_channels.id", ondelete="CASCADE"))
    incident_id: Mapped[str | None] = mapped_column(ForeignKey("incidents.id", ondelete="CASCADE"), default=None)
    purpose: Mapped[str] = mapped_column(String(16))
    """`incident`, `test`, `summary`."""
    subject: Mapped[str] = mapped_column(String(255), default="")
    body: Mapped[str] = mapped_column(Text, default="")
    word: Mapped[str] = mapped_column(String(16), default="")
    """What was told last (`telling.Word`); empty: nothing yet."""
    told_revision: Mapped[int] = mapped_column(Integer, default=0)
    told_unstable: Mapped[bool] = mapped_column(Boolean, default=False)
    told_at: Mapped[datetime | None] = mapped_column(default=None)
    changed_at: Mapped[datetime | None] = mapped_column(default=None)
    can_change: Mapped[bool] = mapped_column(Boolean, default=True)
    held: Mapped[bool] = mapped_column(Boolean, default=False)
    """It waits for the end of the quiet hours."""
    ref: Mapped[str] = mapped_column(String(255), default="")
    sendings: Mapped[int] = mapped_column(Integer, default=0)
    """How many tasks it has had; the last one's key ends with this number."""
    task_due_at: Mapped[datetime | None] = mapped_column(default=None)
    """When the open task is due; empty: there is none."""
    not_before: Mapped[datetime | None] = mapped_column(default=None)
    """An attempt failed: when to try again at the earliest."""


class Delivery(Base):
    """The log of a channel: one row an attempt."""

    __tablename__ = "alert_deliveries"
    __table_args__ = (Index("ix_alert_deliveries_channel", "channel_id", "id"), Index("ix_alert_deliveries_at", "at"))

    id: Mapped[int] = mapped_column(SERIAL, primary_key=True, autoincrement=True)
    channel_id: Mapped[str] = mapped_column(ForeignKey("alert_channels.id", ondelete="CASCADE"))
    at: Mapped[datetime]
    what: Mapped[str] = mapped_column(String(64))
    result: Mapped[str] = mapped_column(String(16))
    detail: Mapped[str] = mapped_column(String(128), default="")


class Mute(Base):
    """Maintenance: about this merchant, or this machine of it, nobody is disturbed until then."""

    __tablename__ = "alert_mutes"

    merchant_id: Mapped[str] = mapped_column(String(64), primary_key=True)
    device_uuid: Mapped[str] = mapped_column(String(64), primary_key=True, default="")
    until: Mapped[datetime]
    by: Mapped[str] = mapped_column(String(64))
    why: Mapped[str] = mapped_column(String(255), default="")


class Rule(Base):
    """What a merchant has changed of a kind's defaults."""

    __tablename__ = "alert_rules"

    merchant_id: Mapped[str] = mapped_column(String(64), primary_key=True)
    kind: Mapped[str] = mapped_column(String(32), primary_key=True)
    enabled: Mapped[bool] = mapped_column(Boolean, default=True)
    pending_s: Mapped[float | None] = mapped_column(Float, default=None)


class UsualHour(Base):
    """Cups a machine usually sells in one hour of its week (`missed_cups.py`)."""

    __tablename__ = "usual_hours"

    device_uuid: Mapped[str] = mapped_column(ForeignKey("devices.device_uuid"), primary_key=True)
    hour: Mapped[int] = mapped_column(Integer, primary_key=True)
    cups: Mapped[float] = mapped_column(Float)
    zone: Mapped[str] = mapped_column(String(64), default="", server_default="")
    """In which the hours are counted. Empty, from programs before: the machine's."""


class DailySummary(Base):
    """A merchant's day was summed up: once."""

    __tablename__ = "daily_summaries"

    merchant_id: Mapped[str] = mapped_column(String(64), primary_key=True)
    day: Mapped[Any] = mapped_column(Date, primary_key=True)


class Watch(Base):
    """When each of the alerts' loops looked last: one worker looks at a time."""

    __tablename__ = "alert_watch"

    name: Mapped[str] = mapped_column(String(32), primary_key=True)
    looked_at: Mapped[datetime]
    holder: Mapped[str] = mapped_column(String(64), default="")
