"""What providers keep of the payments they took, by their own word; rows are only added.

It is between provider and merchant, so it is no movement of the buyer's ledger. A payment without a row is one whose
provider has not said: unknown, which is not nothing, and never worked out from a rate.
"""

from collections.abc import Collection
from datetime import datetime

from sqlalchemy import CheckConstraint, ForeignKey, Integer, String, select
from sqlalchemy.orm import Mapped, Session, mapped_column

from cloud.database.base import SERIAL, Base
from cloud.database.plain_rows import fresh
from cloud.database.transaction import Transaction


class Commission(Base):
    """Kopecks kept of one captured payment, VAT on them included. A refund does not give them back."""

    __tablename__ = "commissions"
    __table_args__ = (CheckConstraint("amount >= 0", name="amount"),)

    id: Mapped[int] = mapped_column(SERIAL, primary_key=True, autoincrement=True)
    payment_id: Mapped[str] = mapped_column(String(32), ForeignKey("payments.id"), unique=True)
    amount: Mapped[int] = mapped_column(Integer)
    told_at: Mapped[datetime]


def record_income(tx: Transaction, payment_id: str, captured: int, income: int | None, now: datetime) -> None:
    """The shop receives `income` of what was captured; its first word stays. What cannot be is not believed."""
    if income is not None and 0 <= income <= captured:
        kept = fresh(Commission, payment_id=payment_id, amount=captured - income, told_at=now)
        tx.rows.add(kept, once=True)


def told_of(session: Session, payment_ids: Collection[str]) -> set[str]:
    """Of which of these payments the commission is known."""
    return set(session.scalars(select(Commission.payment_id).where(Commission.payment_id.in_(payment_ids))))
