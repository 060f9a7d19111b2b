"""Support access: for an hour and for a reason, a platform admin may touch one merchant's money. Its people see it."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import select
from sqlalchemy.orm import Session

from cloud.access.models import SupportAccess, User
from cloud.access.person import Person, Scope
from cloud.database.transaction import Transaction

LASTS = timedelta(hours=1)


@dataclass(frozen=True)
class OpenAccess:
    """One that is open now, as it is shown to the people whose money it concerns."""

    id: int
    user_id: str
    name: str
    merchant_id: str
    why: str
    until: datetime


def open_access(tx: Transaction, admin: Person, merchant_id: str, why: str, now: datetime) -> SupportAccess:
    """Open it, or open it anew. The journal's entry is the caller's."""
    end_access(tx, admin.user_id, merchant_id, now)
    row = SupportAccess(user_id=admin.user_id, merchant_id=merchant_id, why=why[:500], opened_at=now, until=now + LASTS)
    tx.session.add(row)
    return row


def end_access(tx: Transaction, user_id: str, merchant_id: str, now: datetime) -> None:
    """End it before its hour is over: by the admin himself, or by an owner who does not want it."""
    query = select(SupportAccess).where(
        SupportAccess.user_id == user_id, SupportAccess.merchant_id == merchant_id, SupportAccess.ended_at.is_(None)
    )
    for row in tx.session.scalars(query):
        row.ended_at = now


def open_now(session: Session, scope: Scope, now: datetime) -> list[OpenAccess]:
    """Those open at the merchants of a scope."""
    query = (
        select(SupportAccess, User)
        .join(User, User.id == SupportAccess.user_id)
        .where(SupportAccess.until > now, SupportAccess.ended_at.is_(None), scope.where(SupportAccess.merchant_id))
        .order_by(SupportAccess.id)
    )
    return [
        OpenAccess(row.id, user.id, user.name or user.email, row.merchant_id, row.why, row.until)
        for row, user in session.execute(query)
    ]
