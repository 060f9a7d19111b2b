"""What a database that was restored from a backup knows of it: since when it remembers nothing, and what it lacks.

Outcomes of orders it does not have are kept here until the order is found at its provider again.
"""

from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, Index, Integer, LargeBinary, String, Text, and_, delete, func, select
from sqlalchemy.orm import Mapped, Session, mapped_column

from cloud.database.base import Base
from cloud.database.plain_rows import insert_if_new
from cloud.database.transaction import Transaction
from cloud.fleet import accounts
from cloud.fleet.accounts import Account
from protocol.messages import Outcome, decode_report, encode

SHOPS_ADDED_FOR = timedelta(days=30)
"""So long after a restore an account that is new here is read too: the newest fleet file may come late."""
MOST_UNCLAIMED = 500
"""Outcomes kept of one device that belong to no order; beyond it the oldest go."""


class Restore(Base):
    """One time this database was put back to an earlier state."""

    __tablename__ = "restores"

    id: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=True)
    as_of: Mapped[datetime]
    """The state it was put back to: what happened since it does not know."""
    restored_at: Mapped[datetime]
    begun_at: Mapped[datetime | None] = mapped_column(default=None)
    """When its open orders were marked; no program works before that."""
    finished_at: Mapped[datetime | None] = mapped_column(default=None)
    """When every shop's list had been read to its end."""


class RestoredShop(Base):
    """How far one shop's lists have been read after a restore."""

    __tablename__ = "restored_shops"

    restore_id: Mapped[int] = mapped_column(Integer, primary_key=True)
    merchant_id: Mapped[str] = mapped_column(String(64), primary_key=True)
    scenario: Mapped[str] = mapped_column(String(32), primary_key=True)
    account_id: Mapped[str] = mapped_column(String(64), primary_key=True)
    next_at: Mapped[datetime]
    """When to look (again); a lease while somebody does."""
    adopted: Mapped[int] = mapped_column(Integer, default=0, server_default="0")
    problem: Mapped[str] = mapped_column(Text, default="", server_default="")
    done_at: Mapped[datetime | None] = mapped_column(default=None)


class UnclaimedOutcome(Base):
    """What a device said became of an order that is not here."""

    __tablename__ = "unclaimed_outcomes"
    __table_args__ = (
        Index("uq_unclaimed_outcomes_once", "device_uuid", "command_id", "revision", unique=True),
        Index("ix_unclaimed_outcomes_order", "order_id"),
    )

    id: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=True)
    device_uuid: Mapped[str] = mapped_column(String(64))
    command_id: Mapped[str] = mapped_column(String(64))
    order_id: Mapped[str] = mapped_column(String(255))
    revision: Mapped[int] = mapped_column(Integer)
    said: Mapped[bytes] = mapped_column(LargeBinary)
    received_at: Mapped[datetime] = mapped_column(index=True)


def keep_unclaimed(tx: Transaction, device_uuid: str, said: Outcome, now: datetime) -> None:
    """Store it, so that the device may be told that we hold it."""
    theirs = UnclaimedOutcome.device_uuid == device_uuid
    row = {
        "device_uuid": device_uuid, "command_id": said.command_id, "order_id": said.order_id,
        "revision": said.revision, "said": encode(said), "received_at": now,
    }  # fmt: skip
    if not insert_if_new(tx.connection, UnclaimedOutcome, row):
        return
    if (tx.session.scalar(select(func.count()).where(theirs)) or 0) > MOST_UNCLAIMED:
        oldest = select(func.min(UnclaimedOutcome.id)).where(theirs).scalar_subquery()
        tx.session.execute(delete(UnclaimedOutcome).where(UnclaimedOutcome.id == oldest))


def take_unclaimed(tx: Transaction, order_id: str, device_uuid: str) -> list[Outcome]:
    """What this device said of this order before we had it, in the order it was said; kept no longer."""
    mine = (UnclaimedOutcome.order_id == order_id, UnclaimedOutcome.device_uuid == device_uuid)
    asked = select(UnclaimedOutcome.said).where(*mine).order_by(UnclaimedOutcome.id)
    said = [decode_report(kept) for kept in tx.session.scalars(asked)]
    tx.session.execute(delete(UnclaimedOutcome).where(*mine))
    return [one for one in said if isinstance(one, Outcome)]


def unfinished(session: Session) -> list[Restore]:
    """Restores whose lists have not all been read, oldest first."""
    return list(session.scalars(select(Restore).where(Restore.finished_at.is_(None)).order_by(Restore.id)))


def add_shops(tx: Transaction, restore: Restore, now: datetime) -> bool:
    """Have the lists of every account there is now read; whether there are any that were not to be yet."""
    key = (RestoredShop.merchant_id, RestoredShop.scenario, RestoredShop.account_id)
    there = {(merchant_id, scenario, account_id) for merchant_id, scenario, account_id
             in tx.session.execute(select(*key).where(RestoredShop.restore_id == restore.id))}  # fmt: skip
    lacking = sorted(accounts.versions(tx.session).keys() - there)
    for merchant_id, scenario, account_id in lacking:
        row = {
            "restore_id": restore.id, "merchant_id": merchant_id, "scenario": scenario, "account_id": account_id,
            "next_at": now,
        }  # fmt: skip
        insert_if_new(tx.connection, RestoredShop, row)
    return bool(lacking)


def add_new_shops(tx: Transaction, now: datetime) -> bool:
    """The same of accounts that came after a restore, which is then open again; whether there are any."""
    is_open = Restore.finished_at.is_(None) | (Restore.restored_at > now - SHOPS_ADDED_FOR)
    has_new = False
    for restore in tx.session.scalars(select(Restore).where(Restore.begun_at.is_not(None), is_open)).all():
        if add_shops(tx, restore, now):
            restore.finished_at = None
            has_new = True
    return has_new


def waits_for(session: Session, account: Account, now: datetime) -> bool:
    """Whether this account's lists are yet to be read."""
    is_young = Restore.restored_at > now - SHOPS_ADDED_FOR
    unread = select(RestoredShop.restore_id).join(Restore, Restore.id == RestoredShop.restore_id)
    return session.scalar(unread.where(_of(account), RestoredShop.done_at.is_(None), is_young).limit(1)) is not None


def _of(account: Account) -> ColumnElement[bool]:
    merchant_id, scenario, account_id = account
    return and_(
        RestoredShop.merchant_id == merchant_id,
        RestoredShop.scenario == scenario,
        RestoredShop.account_id == account_id,
    )


def what_is_lacking(session: Session) -> list[str]:
    """A sentence for each shop and restore that is still being worked off; empty on most days."""
    sentences = []
    for restore in unfinished(session):
        sentences.append(f"restored {restore.restored_at:%Y-%m-%d %H:%M} UTC to {restore.as_of:%Y-%m-%d %H:%M} UTC")
        shops = select(RestoredShop).where(RestoredShop.restore_id == restore.id, RestoredShop.done_at.is_(None))
        for shop in session.scalars(shops.order_by(RestoredShop.merchant_id, RestoredShop.account_id)):
            why = f": {shop.problem}" if shop.problem else ""
            sentences.append(f"  shop {shop.account_id} ({shop.scenario} of {shop.merchant_id}) is being read{why}")
    return sentences
