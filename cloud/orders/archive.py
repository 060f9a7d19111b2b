"""Where finished orders rest: each is one row, packed with everything that belongs to it, and is brought back whole.

Code that finds no order, or no payment, looks here before it says that there is none. `archiving.py` says which may
rest. That a ledger leaves and comes back to the kopeck is held by the database (`cloud/migrations/append_only.py`).
"""

import logging
import zlib
from collections.abc import Collection, Mapping
from datetime import datetime, timedelta
from typing import Any

import msgspec
from sqlalchemy import Connection, Index, Integer, LargeBinary, String, Table, delete, exists, insert, or_, select, text
from sqlalchemy.orm import Mapped, Session, mapped_column

from cloud.database import beginnings
from cloud.database.base import Base
from cloud.database.plain_rows import table_of
from cloud.database.transaction import Transaction
from cloud.orders import order_hours

log = logging.getLogger("cloud.orders.archive")

Row = dict[str, Any]
Parts = dict[str, list[Row]]
"""The rows of an order, by table."""
TABLES = (
    "orders", "order_changes", "make_commands", "payments", "movements", "commissions", "receipts", "outbox",
    "return_requests", "claims", "claim_messages",
)  # fmt: skip
"""What belongs to an order, each after what it refers to."""
_OF = {"orders": "id", "commissions": "payment_id", "claim_messages": "claim_id"}
"""What names an order in its rows, or what of it they belong to, where that is not `order_id`."""
_BELONGS_TO = {"commissions": "payments", "claim_messages": "claims"}
RENUMBERED = frozenset({"order_changes", "movements", "commissions", "receipts", "outbox", "claim_messages"})
"""Nobody knows these rows by their numbers, which may be another's meanwhile."""
SHORT = timedelta(days=14)
"""Nearly every order has ended, its drink and its money, so soon after its scan."""
_LASTS = "long_until IS NOT NULL"


class ArchivedOrder(Base):
    """One order at rest."""

    __tablename__ = "archived_orders"
    __table_args__ = (
        Index("ix_archived_orders_merchant", "merchant_id", "begins_at"),
        Index("ix_archived_orders_device", "device_uuid", "begins_at"),
        Index("ix_archived_orders_long", "long_until", postgresql_where=text(_LASTS), sqlite_where=text(_LASTS)),
        beginnings.index("ix_archived_orders_beginnings", "order_id"),
    )

    order_id: Mapped[str] = mapped_column(String(255), primary_key=True)
    merchant_id: Mapped[str] = mapped_column(String(64))
    device_uuid: Mapped[str] = mapped_column(String(64))
    status: Mapped[str] = mapped_column(String(16))
    begins_at: Mapped[datetime]
    """Nothing of it was before that."""
    long_until: Mapped[datetime | None] = mapped_column(default=None)
    """When its drink had ended and its last money moved, where that was more than `SHORT` later."""
    captured: Mapped[int] = mapped_column(Integer)
    refunded: Mapped[int] = mapped_column(Integer)
    archived_at: Mapped[datetime]
    packed: Mapped[bytes] = mapped_column(LargeBinary)


class ArchivedPayment(Base):
    """By which of its ids a payment at rest is found."""

    __tablename__ = "archived_payments"

    id: Mapped[str] = mapped_column(String(32), primary_key=True)
    provider_payment_id: Mapped[str | None] = mapped_column(String(64), index=True, default=None)
    order_id: Mapped[str] = mapped_column(String(255), index=True)


_archived, _payments = table_of(ArchivedOrder), table_of(ArchivedPayment)


def put_away(tx: Transaction, order_ids: Collection[str], now: datetime) -> set[str]:
    """Pack these orders. The caller holds them and their payments locked, and has seen that nothing of them moves.

    Returns those that are left out: one of that number rests already. A program from before the archive finds none,
    and makes the order anew.
    """
    connection = tx.connection
    twins = set(connection.scalars(select(_archived.c.order_id).where(_archived.c.order_id.in_(order_ids))))
    parts = _read(connection, [order_id for order_id in order_ids if order_id not in twins])
    if not parts:
        return twins
    connection.execute(insert(_archived), [_packed_row(order_id, rows, now) for order_id, rows in parts.items()])
    payments = [
        {name: row[name] for name in ("id", "provider_payment_id", "order_id")}
        for rows in parts.values()
        for row in rows["payments"]
    ]
    if payments:
        connection.execute(insert(_payments), payments)
    order_hours.put_to_rest(tx, [row for rows in parts.values() for row in rows["orders"]])
    for name in reversed(TABLES):
        connection.execute(delete(_table(name)).where(_owner(name).in_(_owners(parts, name))))
    return twins


def bring_back(tx: Transaction, order_ids: Collection[str], now: datetime | None = None) -> list[str]:
    """Have those of these orders that rest among the living again; which. With `now` they stay there for a while.

    One whose number another lives under goes on resting.
    """
    connection, living = tx.connection, _table("orders").c.id
    wanted = select(_archived.c.order_id, _archived.c.packed).where(_archived.c.order_id.in_(order_ids))
    wanted = wanted.where(~exists().where(living == _archived.c.order_id))
    found = connection.execute(wanted.order_by(_archived.c.order_id).with_for_update()).all()
    if not found:
        return []
    orders: list[Row] = []
    for _, packed in found:
        parts = unpack(packed)
        orders += parts["orders"]
        parts["orders"][0]["brought_back_at"] = now
        for name in TABLES:
            if rows := [_insertable(name, row) for row in parts.get(name, ())]:
                connection.execute(insert(_table(name)), rows)
    order_hours.taken_from_rest(tx, orders)
    brought = [order_id for order_id, _ in found]
    connection.execute(delete(_payments).where(_payments.c.order_id.in_(brought)))
    connection.execute(delete(_archived).where(_archived.c.order_id.in_(brought)))
    for order_id in brought:
        tx.log_after_commit(log.info, "brought back from the archive", extra={"order_id": order_id})
    return brought


def bring_back_payments(tx: Transaction, names: Collection[str], now: datetime | None = None) -> list[str]:
    """The same for the orders of payments, each named by our id or its provider's."""
    names = {name for name in names if name}
    order_ids = set(tx.connection.scalars(_of_payments(names))) if names else set()
    return bring_back(tx, order_ids, now) if order_ids else []


def holds(session: Session, order_id: str) -> bool:
    """Whether this order rests here."""
    return session.scalar(select(_archived.c.order_id).where(_archived.c.order_id == order_id)) is not None


def has_payment(session: Session, payment_id: str) -> bool:
    """Whether a payment of ours rests here."""
    return session.scalar(select(_payments.c.id).where(_payments.c.id == payment_id)) is not None


def named(session: Session, name: str, limit: int) -> list[tuple[str, str, str]]:
    """Orders at rest that this may name: their id or its beginning, or a payment's. With merchant and machine."""
    alike = beginnings.begins(session, ArchivedOrder.order_id, name)
    whose = select(_archived.c.order_id, _archived.c.merchant_id, _archived.c.device_uuid)
    found = session.execute(whose.where(_archived.c.order_id.in_(_of_payments([name]))).limit(limit)).all()
    found = found or session.execute(whose.where(alike).limit(limit)).all()
    return [(order_id, merchant_id, device_uuid) for order_id, merchant_id, device_uuid in found]


def pack(parts: Parts) -> bytes:
    """The rows as they are stored."""
    return zlib.compress(msgspec.msgpack.encode(parts))


def unpack(packed: bytes) -> Parts:
    """The rows as they were."""
    parts: Parts = msgspec.msgpack.decode(zlib.decompress(packed), type=Parts)
    return parts


def known_columns(kind: str, row: Mapping[str, Any]) -> Row:
    """Of a packed row what its table has today."""
    columns = _table(kind).columns
    return {name: value for name, value in row.items() if name in columns}


def _packed_row(order_id: str, parts: Parts, now: datetime) -> Row:
    order = parts["orders"][0]
    moments = [order["created_at"], *(row["started_at"] for row in parts["payments"])]
    moments += [row["at"] for row in parts["movements"]]
    moments.append(order["finished_at"] or order["created_at"])
    begins, last = min(moments), max(moments)
    packed = pack(parts)
    if unpack(packed) != parts:
        raise ValueError(f"order {order_id} cannot be packed")
    return {
        "order_id": order_id, "merchant_id": order["merchant_id"], "device_uuid": order["device_uuid"],
        "status": order["status"], "begins_at": begins, "long_until": last if last - begins > SHORT else None,
        "captured": _sum(parts, "captured"), "refunded": _sum(parts, "refunded"), "archived_at": now, "packed": packed,
    }  # fmt: skip


def _sum(parts: Parts, kind: str) -> int:
    return sum(row["amount"] for row in parts["movements"] if row["kind"] == kind)


def _read(connection: Connection, order_ids: Collection[str]) -> dict[str, Parts]:
    found: dict[str, Parts] = {order_id: {name: [] for name in TABLES} for order_id in order_ids}
    for name in TABLES:
        owners = _owners(found, name)
        asked = select(_table(name)).where(_owner(name).in_(owners)).order_by(*_table(name).primary_key)
        for row in connection.execute(asked).mappings():
            found[owners[row[_owner(name).key]]][name].append(dict(row))
    return found


def _owners(found: Mapping[str, Parts], name: str) -> dict[Any, str]:
    """What rows of a table may belong to, and the order that is."""
    if name not in _BELONGS_TO:
        return {order_id: order_id for order_id in found}
    return {row["id"]: order_id for order_id, parts in found.items() for row in parts[_BELONGS_TO[name]]}


def _insertable(kind: str, row: Row) -> Row:
    known = known_columns(kind, row)
    if kind in RENUMBERED:
        del known["id"]
    return known


def _of_payments(names: Collection[str]) -> Any:
    is_named = or_(_payments.c.id.in_(names), _payments.c.provider_payment_id.in_(names))
    return select(_payments.c.order_id).where(is_named)


def _table(name: str) -> Table:
    """By name: the packages of some of these tables are above this one."""
    return Base.metadata.tables[name]


def _owner(name: str) -> Any:
    return _table(name).c[_OF.get(name, "order_id")]
