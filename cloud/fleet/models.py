"""Tables of the fleet. Nobody here knows of orders or payments; notes are stored cleaned (see `notes.py`)."""

from datetime import date, datetime
from typing import Any

from sqlalchemy import JSON, Boolean, Date, Float, ForeignKey, Integer, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from cloud.db import Base

DEVICE_STATUSES = ("active", "closed", "test")
CONTROLS = ("agent", "tmetr-api")
SCENARIOS = ("Yookassa", "YookassaReceipt", "TBank", "Custom")


class Merchant(Base):
    """Owns machines and is paid for their drinks."""

    __tablename__ = "merchants"

    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    name: Mapped[str] = mapped_column(String(255))
    contact_email: Mapped[str] = mapped_column(String(255), default="")
    valid_until: Mapped[date | None] = mapped_column(Date, default=None)
    """The contract's last day; after it no new order is accepted."""


class Credential(Base):
    """A merchant's account at a provider, for one payment scenario. The secret is encrypted (`vault.py`)."""

    __tablename__ = "credentials"

    merchant_id: Mapped[str] = mapped_column(ForeignKey("merchants.id"), primary_key=True)
    scenario: Mapped[str] = mapped_column(String(32), primary_key=True)
    account_id: Mapped[str] = mapped_column(String(64))
    secret: Mapped[str] = mapped_column(Text)
    capture: Mapped[str] = mapped_column(String(16), default="on_dispense")
    status_check: Mapped[str] = mapped_column(String(16), default="polling")
    version: Mapped[int] = mapped_column(Integer, default=1)
    """Grows with each change, so that running workers notice."""


class Device(Base):
    """One coffee machine. What the buyer is told is HTML already cleaned on the way in."""

    __tablename__ = "devices"

    device_uuid: Mapped[str] = mapped_column(String(64), primary_key=True)
    merchant_id: Mapped[str] = mapped_column(ForeignKey("merchants.id"), index=True)
    location: Mapped[str] = mapped_column(String(255), default="")
    payment_scenario: Mapped[str] = mapped_column(String(32))
    control: Mapped[str] = mapped_column(String(16), default="agent")
    status: Mapped[str] = mapped_column(String(16), default="active")
    logo_url: Mapped[str] = mapped_column(String(1024), default="")
    client_info: Mapped[str | None] = mapped_column(Text, default=None)
    client_info_pending: Mapped[str | None] = mapped_column(Text, default=None)
    client_info_paid: Mapped[str | None] = mapped_column(Text, default=None)
    client_info_not_paid: Mapped[str | None] = mapped_column(Text, default=None)
    client_info_make_pending: Mapped[str | None] = mapped_column(Text, default=None)
    client_info_manual_make: Mapped[str | None] = mapped_column(Text, default=None)
    client_info_successful: Mapped[str | None] = mapped_column(Text, default=None)
    client_info_make_failed: Mapped[str | None] = mapped_column(Text, default=None)
    client_error_info: Mapped[str | None] = mapped_column(Text, default=None)


class DeviceLive(Base):
    """What the device last said of itself. Only its own messages write here (product.md 4, 17)."""

    __tablename__ = "device_live"

    device_uuid: Mapped[str] = mapped_column(ForeignKey("devices.device_uuid"), primary_key=True)
    online: Mapped[bool] = mapped_column(Boolean, default=False)
    session_id: Mapped[str] = mapped_column(String(255), default="")
    seen_at: Mapped[datetime | None] = mapped_column(default=None)
    agent_version: Mapped[str] = mapped_column(String(64), default="")
    state: Mapped[dict[str, Any] | None] = mapped_column(JSON, default=None)
    """The last `state` message, whole."""
    frame_error_ratio: Mapped[float] = mapped_column(Float, default=0.0)


class Drink(Base):
    """A drink of one device, by the id the machine knows."""

    __tablename__ = "drinks"

    device_uuid: Mapped[str] = mapped_column(ForeignKey("devices.device_uuid"), primary_key=True)
    drink_no: Mapped[str] = mapped_column(String(128), primary_key=True)
    name: Mapped[str] = mapped_column(String(255))
    position: Mapped[int] = mapped_column(Integer, default=0)
    price_small: Mapped[int | None] = mapped_column(Integer, default=None)
    """Kopecks; a size without a price is not sold."""
    price_medium: Mapped[int | None] = mapped_column(Integer, default=None)
    price_large: Mapped[int | None] = mapped_column(Integer, default=None)

    def price(self, size: int) -> int | None:
        """Kopecks for size 0, 1, 2; None when it is not sold."""
        return (self.price_small, self.price_medium, self.price_large)[size]


NOTE_FIELDS = tuple(name for name in Device.__table__.columns.keys() if name.startswith("client_"))  # noqa: SIM118
"""The merchant's texts for the buyer, `client_info...` and `client_error_info`."""
