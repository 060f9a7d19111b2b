"""Tables of the fleet. Nobody here knows of orders or payments; notes are stored cleaned (see `notes.py`)."""

from datetime import date, datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import JSON, Boolean, Date, Float, ForeignKey, Index, Integer, String, Text, text
from sqlalchemy.orm import Mapped, mapped_column

from cloud.database.base import Base
from cloud.fleet.zones import DEFAULT as DEFAULT_ZONE

DEVICE_STATUSES = ("active", "closed", "test")
PRICE_SOURCES = ("catalogue", "tmetr")
UNOBSERVED = ("return", "trust")
PROVIDER_OF = {"Yookassa": "yookassa", "YookassaReceipt": "yookassa", "TBank": "tbank", "Custom": "custom"}
"""By payment scenario; `YookassaReceipt` sends a fiscal receipt with each payment."""
SCENARIOS = tuple(PROVIDER_OF)


class Control(StrEnum):
    """What drives a machine. The words are those of fleet files."""

    AGENT = "agent"
    TMETR_API = "tmetr-api"
    """It takes a command and tells no outcome."""


class Merchant(Base):
    """Owns machines and is paid for their drinks."""

    __tablename__ = "merchants"

    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    name: Mapped[str] = mapped_column(String(255))
    contact_email: Mapped[str] = mapped_column(String(255), default="")
    valid_until: Mapped[date | None] = mapped_column(Date, default=None)
    """The contract's last day; after it no new order is accepted."""
    zone: Mapped[str] = mapped_column(String(64), default=DEFAULT_ZONE, server_default=DEFAULT_ZONE)
    """The time zone its books are kept in: an IANA name (`zones.py`)."""


class AccountTerms:
    """What an account at a provider is used with. The secret is encrypted (`vault.py`)."""

    secret: Mapped[str] = mapped_column(Text)
    capture: Mapped[str] = mapped_column(String(16), default="on_dispense")
    status_check: Mapped[str] = mapped_column(String(16), default="polling")
    page_url: Mapped[str] = mapped_column(String(1024), default="", server_default="")
    """Custom: the merchant's own payment page; with it go `status_url` and `action_url` (docs/custom-payments.md)."""
    status_url: Mapped[str] = mapped_column(String(1024), default="", server_default="")
    action_url: Mapped[str] = mapped_column(String(1024), default="", server_default="")
    receipt: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True), default=None)
    """What this merchant's fiscal receipts say (`receipt_terms.py`); only scenarios with receipts have it."""
    version: Mapped[int] = mapped_column(Integer, default=1)
    """Grows with each change, so that running workers notice."""


class Credential(AccountTerms, Base):
    """The account a merchant's payments of one scenario are opened at."""

    __tablename__ = "credentials"
    __table_args__ = (
        Index(
            "uq_credentials_custom_account",
            "account_id",
            unique=True,
            postgresql_where=text("scenario = 'Custom'"),
            sqlite_where=text("scenario = 'Custom'"),
        ),
    )

    merchant_id: Mapped[str] = mapped_column(ForeignKey("merchants.id"), primary_key=True)
    scenario: Mapped[str] = mapped_column(String(32), primary_key=True)
    account_id: Mapped[str] = mapped_column(String(64))


class FormerCredential(AccountTerms, Base):
    """An account a merchant has left. Nothing is opened there any more; what was is followed to its end."""

    __tablename__ = "former_credentials"

    merchant_id: Mapped[str] = mapped_column(ForeignKey("merchants.id"), primary_key=True)
    scenario: Mapped[str] = mapped_column(String(32), primary_key=True)
    account_id: Mapped[str] = mapped_column(String(64), primary_key=True)


class Closable:
    """What a person or the breaker can take out of sale (`closing.py`); no file says anything of it."""

    closed_since: Mapped[datetime | None] = mapped_column(default=None)
    closed_by: Mapped[str] = mapped_column(String(128), default="", server_default="")
    """A person's name, or `closing.BREAKER`."""
    closed_why: Mapped[str] = mapped_column(String(255), default="", server_default="")
    """A person's words; of the breaker the reasons of the orders that failed, oldest first."""
    opened_at: Mapped[datetime | None] = mapped_column(default=None)
    """When it was last opened again: what failed before counts no more."""


class Device(Closable, Base):
    """One coffee machine. What the buyer is told is HTML already cleaned on the way in."""

    __tablename__ = "devices"

    device_uuid: Mapped[str] = mapped_column(String(64), primary_key=True)
    merchant_id: Mapped[str] = mapped_column(ForeignKey("merchants.id"), index=True)
    location: Mapped[str] = mapped_column(String(255), default="")
    serial_no: Mapped[str] = mapped_column(String(64), default="", server_default="")
    """On the machine's plate: what a receipt and a service contract name it by."""
    payment_scenario: Mapped[str] = mapped_column(String(32))
    control: Mapped[str] = mapped_column(String(16), default=Control.AGENT.value)
    price_source: Mapped[str] = mapped_column(String(16), default="catalogue", server_default="catalogue")
    """What names a drink's price: our catalogue, or the Tmetr API, asked at each scan."""
    unobserved: Mapped[str] = mapped_column(String(16), default="", server_default="")
    """What becomes of a paid drink whose outcome this machine can never tell: its money returns, or it is trusted.

    Empty: its merchant has not chosen, and it returns.
    """
    status: Mapped[str] = mapped_column(String(16), default="active")
    zone: Mapped[str] = mapped_column(String(64), default=DEFAULT_ZONE, server_default=DEFAULT_ZONE)
    """The time zone its days are counted in: an IANA name."""
    updating_until: Mapped[datetime | None] = mapped_column(default=None)
    """Its agent is being updated and nothing is sold of it: a lease (`update_lock.py`)."""
    logo_url: Mapped[str] = mapped_column(String(1024), default="")
    qr: Mapped[str] = mapped_column(String(16), default="any", server_default="any")
    """`signed`: a QR code without the machine's signature opens no order (docs/qr-codes.md)."""
    qr_key_version: Mapped[int] = mapped_column(Integer, default=1, server_default="1")
    """Another number is another key; codes made with the old one are refused at once."""
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
    """What the device last said of itself; without an agent, its last heartbeat as the Tmetr API tells it.

    Nothing else writes here (docs/promises.md, mistake 17).
    """

    __tablename__ = "device_live"

    device_uuid: Mapped[str] = mapped_column(ForeignKey("devices.device_uuid"), primary_key=True)
    online: Mapped[bool] = mapped_column(Boolean, default=False)
    session_id: Mapped[str] = mapped_column(String(255), default="")
    sessions: Mapped[list[Any] | None] = mapped_column(JSON(none_as_null=True), default=None)
    """The last runs of its agent, each with its latest connect, newest last (`sessions.py`)."""
    two_agents_since: Mapped[datetime | None] = mapped_column(default=None)
    """Two of them take turns: nothing is sold until a person resumes."""
    seen_at: Mapped[datetime | None] = mapped_column(default=None)
    agent_version: Mapped[str] = mapped_column(String(64), default="")
    state: Mapped[dict[str, Any] | None] = mapped_column(JSON, default=None)
    """The last `state` message, whole."""
    frame_error_ratio: Mapped[float] = mapped_column(Float, default=0.0)
    look_at: Mapped[datetime | None] = mapped_column(default=None)
    """A machine that cannot speak up: when the Tmetr API is to be asked about it again."""


class Drink(Closable, Base):
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
    receipt: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True), default=None)
    """Where its fiscal receipt differs from the merchant's others."""

    def price(self, size: int) -> int | None:
        """Kopecks for size 0, 1, 2; None when it is not sold."""
        return (self.price_small, self.price_medium, self.price_large)[size]


NOTE_FIELDS = tuple(name for name in Device.__table__.columns.keys() if name.startswith("client_"))  # noqa: SIM118
"""The merchant's texts for the buyer, `client_info...` and `client_error_info`."""
