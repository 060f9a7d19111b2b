"""Tables of rolled up sales: a machine's day and its zone, a merchant's day, how far growing tables have been read."""

from datetime import date, datetime
from typing import Any

from sqlalchemy import JSON, BigInteger, Date, ForeignKey, Index, Integer, String
from sqlalchemy.orm import Mapped, mapped_column

from cloud.database.base import Base
from cloud.orders.sales_figures import Figures


class SalesDay(Base):
    """One machine on one day; a day without an order or a movement has no row."""

    __tablename__ = "sales_days"
    __table_args__ = (
        Index("ix_sales_days_sums", "merchant_id", "day", "device_uuid", "cups", "failed", "taken", "returned"),
    )

    device_uuid: Mapped[str] = mapped_column(ForeignKey("devices.device_uuid"), primary_key=True)
    day: Mapped[date] = mapped_column(Date, primary_key=True)
    merchant_id: Mapped[str] = mapped_column(String(64), primary_key=True)
    """Whose money it was: a machine may change hands."""
    cups: Mapped[int] = mapped_column(Integer)
    failed: Mapped[int] = mapped_column(Integer)
    taken: Mapped[int] = mapped_column(BigInteger)
    returned: Mapped[int] = mapped_column(BigInteger)
    parts: Mapped[dict[str, Any]] = mapped_column(JSON)
    """`Figures.stored`."""

    @property
    def figures(self) -> Figures:
        return Figures.restored(self.cups, self.taken, self.returned, self.parts)


class MerchantDay(Base):
    """All machines of a merchant on one day, each by its own midnight: the sum of its `SalesDay`s."""

    __tablename__ = "merchant_days"

    merchant_id: Mapped[str] = mapped_column(String(64), primary_key=True)
    day: Mapped[date] = mapped_column(Date, primary_key=True)
    cups: Mapped[int] = mapped_column(Integer)
    failed: Mapped[int] = mapped_column(Integer)
    taken: Mapped[int] = mapped_column(BigInteger)
    returned: Mapped[int] = mapped_column(BigInteger)
    parts: Mapped[dict[str, Any]] = mapped_column(JSON)
    """`Figures.stored`."""

    @property
    def figures(self) -> Figures:
        return Figures.restored(self.cups, self.taken, self.returned, self.parts)


class SalesZone(Base):
    """In which zone a machine's days are counted; where they are being counted anew, from which day on to which."""

    __tablename__ = "sales_zones"

    device_uuid: Mapped[str] = mapped_column(String(64), primary_key=True)
    zone: Mapped[str] = mapped_column(String(64))
    rules: Mapped[str] = mapped_column(String(32), default="", server_default="")
    """Of the zone, by which they are counted (`zones.rules_of`). Empty, from programs before: those of the moment."""
    rules_since: Mapped[datetime | None] = mapped_column(default=None)
    """When other rules were met; None once all days were counted by these, or are on the way."""
    first_day: Mapped[date | None] = mapped_column(Date, default=None)
    """From here to `last_day` days were counted anew the last time: what that left in no day lies between."""
    next_day: Mapped[date | None] = mapped_column(Date, default=None)
    """How far that has come; None when it is done."""
    last_day: Mapped[date | None] = mapped_column(Date, default=None)


class SalesMark(Base):
    """How far a growing table has been rolled up."""

    __tablename__ = "sales_marks"

    name: Mapped[str] = mapped_column(String(32), primary_key=True)
    number: Mapped[int] = mapped_column(BigInteger, default=0)
