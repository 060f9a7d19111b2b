"""What providers sent us, stored before it is judged."""

from datetime import datetime

from sqlalchemy import Index, Integer, String, Text, text
from sqlalchemy.orm import Mapped, mapped_column

from cloud.database.base import SERIAL, Base

ERASED = "{}"
"""The body of a notification whose buyer was forgotten."""


class StoredNotification(Base):
    """One notification as it came. A hint only: to handle it is to ask the provider (promise 5)."""

    __tablename__ = "provider_news"
    __table_args__ = (
        Index(
            "ix_provider_news_open",
            "received_at",
            postgresql_where=text("handled_at IS NULL"),
            sqlite_where=text("handled_at IS NULL"),
        ),
    )

    id: Mapped[int] = mapped_column(SERIAL, primary_key=True, autoincrement=True)
    provider: Mapped[str] = mapped_column(String(16))
    dedupe_key: Mapped[str] = mapped_column(String(255), unique=True)
    provider_payment_id: Mapped[str] = mapped_column(String(64), default="", index=True)
    account_id: Mapped[str] = mapped_column(String(64), default="", server_default="")
    """The shop it says it speaks of: where to ask, nothing more."""
    our_payment: Mapped[str] = mapped_column(String(32), default="", server_default="")
    """Our own payment that it names; such a one was hardly forged."""
    body: Mapped[str] = mapped_column(Text)
    received_at: Mapped[datetime]
    times: Mapped[int] = mapped_column(Integer, default=1)
    """How often the same came; redelivery is normal for 24 hours."""
    look_at: Mapped[datetime]
    """When to try to place it, while `handled_at` is empty."""
    handled_at: Mapped[datetime | None] = mapped_column(default=None)
    verdict: Mapped[str] = mapped_column(String(64), default="")
