"""Tables of reconciliation: one row a shop (or a merchant's machines) and day, its findings, machines' counts by day.

No look removes a finding: what a later one no longer sees is closed, and says by whom.
"""

from datetime import date, datetime
from enum import StrEnum

from sqlalchemy import BigInteger, Boolean, Date, ForeignKey, Index, Integer, String, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from cloud.database.base import Base


class State(StrEnum):
    """How a finding stands."""

    OPEN = "open"
    """Unexplained: a person must look."""
    MENDING = "mending"
    """The provider is being asked again; the next look tells whether that was all."""
    EXPLAINED = "explained"
    """Named, and as it should be."""
    CLOSED = "closed"


class Reconciliation(Base):
    """One day of one shop; with no scenario, of a merchant's machines. Due while `next_at` is set, done without."""

    __tablename__ = "reconciliations"
    __table_args__ = (
        UniqueConstraint("day", "merchant_id", "scenario", "account_id", name="uq_reconciliations_once"),
        Index(
            "ix_reconciliations_due",
            "next_at",
            postgresql_where=text("next_at IS NOT NULL"),
            sqlite_where=text("next_at IS NOT NULL"),
        ),
    )

    id: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=True)
    day: Mapped[date] = mapped_column(Date)
    merchant_id: Mapped[str] = mapped_column(String(64))
    scenario: Mapped[str] = mapped_column(String(32), default="")
    account_id: Mapped[str] = mapped_column(String(64), default="")
    next_at: Mapped[datetime | None] = mapped_column(default=None)
    """When a worker is to look (again); while one looks, the end of its lease."""
    rounds: Mapped[int] = mapped_column(Integer, default=0)
    """Looks that ended with something being mended, one after the other."""
    ran_at: Mapped[datetime | None] = mapped_column(default=None)
    complete: Mapped[bool] = mapped_column(Boolean, default=False)
    """Everything that was to be compared was."""
    problem: Mapped[str] = mapped_column(String(255), default="")
    payments_there: Mapped[int] = mapped_column(Integer, default=0)
    payments_here: Mapped[int] = mapped_column(Integer, default=0)
    refunds_there: Mapped[int] = mapped_column(Integer, default=0)
    taken_there: Mapped[int] = mapped_column(BigInteger, default=0)
    """Kopecks."""
    taken_here: Mapped[int] = mapped_column(BigInteger, default=0)
    returned_there: Mapped[int] = mapped_column(BigInteger, default=0)
    returned_here: Mapped[int] = mapped_column(BigInteger, default=0)
    machines: Mapped[int | None] = mapped_column(Integer, default=None)
    """Of a look at machines: how many there were. None for a shop, and of days looked at before this was kept."""
    compared: Mapped[int | None] = mapped_column(Integer, default=None)
    """How many of them told what could be compared."""


class FoundDifference(Base):
    """One finding. The same difference seen again is the same row: its fingerprint is the kind and what it is about."""

    __tablename__ = "reconciliation_findings"
    __table_args__ = (
        UniqueConstraint(
            "merchant_id", "scenario", "account_id", "fingerprint", name="uq_reconciliation_findings_once"
        ),
        Index("ix_reconciliation_findings_state", "state"),
        Index("ix_reconciliation_findings_day", "day"),
    )  # fmt: skip

    id: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=True)
    merchant_id: Mapped[str] = mapped_column(String(64))
    scenario: Mapped[str] = mapped_column(String(32), default="")
    account_id: Mapped[str] = mapped_column(String(64), default="")
    fingerprint: Mapped[str] = mapped_column(String(160))
    day: Mapped[date] = mapped_column(Date)
    kind: Mapped[str] = mapped_column(String(32))
    order_id: Mapped[str] = mapped_column(String(255), default="")
    payment_id: Mapped[str] = mapped_column(String(64), default="")
    provider_id: Mapped[str] = mapped_column(String(64), default="")
    """The provider's id of the payment, or of the refund."""
    device_uuid: Mapped[str] = mapped_column(String(64), default="")
    here: Mapped[int | None] = mapped_column(BigInteger, default=None)
    """Kopecks, or cups, by our ledger."""
    there: Mapped[int | None] = mapped_column(BigInteger, default=None)
    """The same by the provider's list, or the machine's counters."""
    detail: Mapped[str] = mapped_column(String(500), default="")
    state: Mapped[str] = mapped_column(String(16))
    first_seen_at: Mapped[datetime]
    last_seen_at: Mapped[datetime]
    closed_at: Mapped[datetime | None] = mapped_column(default=None)
    closed_by: Mapped[str] = mapped_column(String(255), default="")
    """`reconciliation` when it was gone at a later look, else the operator who settled it."""
    closed_note: Mapped[str] = mapped_column(String(500), default="")


class DeviceCount(Base):
    """A machine's lifetime counts in the first quiet moment of a day: its beginning, and the end of what was before."""

    __tablename__ = "device_counts"

    device_uuid: Mapped[str] = mapped_column(ForeignKey("devices.device_uuid"), primary_key=True)
    day: Mapped[date] = mapped_column(Date, primary_key=True)
    at: Mapped[datetime]
    total: Mapped[int] = mapped_column(BigInteger)
    paid: Mapped[int] = mapped_column(BigInteger)
    free: Mapped[int] = mapped_column(BigInteger)
    test: Mapped[int] = mapped_column(BigInteger)
    judged_for: Mapped[date | None] = mapped_column(Date, default=None)
    """The day in whose reconciliation the cups up to here were compared."""
