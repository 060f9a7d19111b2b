"""Tables of an order: the order, its history, its make commands, its payments, its ledger.

The database holds what it can: one live payment and one live command per order; history and ledger only grow.
"""

from datetime import datetime
from typing import Any

from sqlalchemy import JSON, Boolean, CheckConstraint, ForeignKey, Index, Integer, String, Text, false, text
from sqlalchemy.orm import Mapped, mapped_column

from cloud.database import beginnings
from cloud.database.base import SERIAL, Base
from cloud.orders.states import Status

MOVED = ("held", "captured", "canceled", "refunded")
FAILED_TO_MOVE = ("create_failed", "capture_failed", "cancel_failed", "refund_failed")
_KINDS = ", ".join(f"'{kind}'" for kind in MOVED + FAILED_TO_MOVE)
UNFINISHED = "state IN ('creating', 'pending', 'held')"
"""Payments whose end is open. Like the next three, an index's condition; queries repeat it word for word."""
MONEY_BESIDE = "captured > refunded AND (NOT live OR problem <> '')"
"""Payments with money that cannot be their order's own."""
NOT_EARNED = "captured > refunded AND NOT earned"
"""Payments with money of which it is not known for certain that their order was poured."""
TAKEN_IN_PART = "captured > 0 AND captured < amount"
"""Payments of whose hold a part was taken, in the provider's cabinet: few."""
GIVEN_BACK = "given_back > 0"
NOT_POURED = "status = 'make_failed'"
_HAS_ENDED = "finished_at IS NOT NULL"
_REFUNDED = "kind = 'refunded'"
_STATUSES = ", ".join(f"'{status.value}'" for status in Status)


def _where(condition: str, on_sqlite: str = "") -> dict[str, Any]:
    """Of an index that holds few of its table's rows. SQLite asks for a bare boolean as a number."""
    return {"postgresql_where": text(condition), "sqlite_where": text(on_sqlite or condition)}


class Order(Base):
    """One drink asked for. `version` grows with its changes, a return's aside; by `due_at` its status moves."""

    __tablename__ = "orders"
    __table_args__ = (
        CheckConstraint(f"status IN ({_STATUSES})", name="status"),
        CheckConstraint("size IN (0, 1, 2)", name="size"),
        CheckConstraint("price >= 0", name="price"),
        CheckConstraint("given_back >= 0 AND given_back <= price", name="given_back"),
        Index("ix_orders_status", "status", "created_at", "id"),
        Index("ix_orders_created", "created_at", "id"),
        Index("ix_orders_merchant", "merchant_id", "created_at", "id"),
        Index("ix_orders_device", "device_uuid", "created_at", "id"),
        Index("ix_orders_device_ended", "device_uuid", "finished_at", **_where(_HAS_ENDED)),
        Index("ix_orders_drink", "device_uuid", "drink_no", "size", "created_at"),
        Index("ix_orders_waits_for_person", "id", **_where("waits_for_person", "waits_for_person = 1")),
        Index("ix_orders_given_back", "id", **_where(GIVEN_BACK)),
        Index("ix_orders_goodwill", "created_at", "id", **_where("goodwill", "goodwill = 1")),
        Index("ix_orders_goodwill_of", "merchant_id", "created_at", "id", **_where("goodwill", "goodwill = 1")),
        Index("ix_orders_not_poured", "merchant_id", "created_at", "id", **_where(NOT_POURED)),
        beginnings.index("ix_orders_beginnings", "id"),
    )

    id: Mapped[str] = mapped_column(String(255), primary_key=True)
    device_uuid: Mapped[str] = mapped_column(ForeignKey("devices.device_uuid"))
    merchant_id: Mapped[str] = mapped_column(String(64))
    drink_no: Mapped[str] = mapped_column(String(128))
    drink_name: Mapped[str] = mapped_column(String(255))
    size: Mapped[int] = mapped_column(Integer)
    price: Mapped[int] = mapped_column(Integer)
    """Kopecks, from our own catalogue at the moment of the scan."""
    is_test: Mapped[bool] = mapped_column(Boolean, default=False)
    """No sale (promise 10): a cup of a test device, or a free drink (`pour_again.py`)."""
    payment_scenario: Mapped[str] = mapped_column(String(32))
    status: Mapped[str] = mapped_column(String(16), default=Status.CREATED.value)
    reason: Mapped[str] = mapped_column(String(128), default="")
    """Why it failed: `rejected:<code>`, `failed:<code>`, `expired`, `no_ack`, `no_outcome`, `unknown`, `not_sent`..."""
    stage: Mapped[str] = mapped_column(String(16), default="")
    """In `make_pending`: `sent`, `accepted`, then the machine's own stages. Once poured: by whose word."""
    progress: Mapped[int] = mapped_column(Integer, default=0)
    """Percent, as the machine tells it; advisory."""
    uncertain: Mapped[bool] = mapped_column(Boolean, default=False)
    """`make_failed`, and nobody can say that nothing was poured."""
    goodwill: Mapped[bool] = mapped_column(Boolean, default=False)
    """Poured and returned."""
    version: Mapped[int] = mapped_column(Integer, default=1)
    created_at: Mapped[datetime]
    expires_at: Mapped[datetime]
    due_at: Mapped[datetime | None] = mapped_column(default=None, index=True)
    return_after: Mapped[datetime | None] = mapped_column(default=None, index=True)
    """Uncertain: until then evidence is waited for before money goes back."""
    waits_for_person: Mapped[bool] = mapped_column(Boolean, default=False, server_default=false())
    """Uncertain, and a person decides, or the closing hold does.

    This machine has had its returns of the day, or a restored database has forgotten what became of the drink.
    """
    given_back: Mapped[int] = mapped_column(Integer, default=0, server_default="0")
    """Kopecks a person decided to return though the drink was poured; part of the price or all of it."""
    restored_at: Mapped[datetime | None] = mapped_column(default=None)
    """When a restore may have lost what became of it: only its machine's word decides (`restored_order.py`)."""
    paid_at: Mapped[datetime | None] = mapped_column(default=None)
    finished_at: Mapped[datetime | None] = mapped_column(default=None)
    language: Mapped[str] = mapped_column(String(8), default="ru")
    opened_by: Mapped[str | None] = mapped_column(String(24), default=None)
    """The tag of the code that opened it (`order_ids.py`), or `free`; None for orders older than this column.

    A free one was opened by no code: its drink is poured for nothing (`pour_again.py`).
    """
    brought_back_at: Mapped[datetime | None] = mapped_column(default=None)
    """When somebody looked for it in the archive (`archive.py`): it stays for a while."""
    claimed_at: Mapped[datetime | None] = mapped_column(default=None)
    """When a phone that scanned it first came back with its capability: from then on only such a one names e-mails."""


class OrderChange(Base):
    """One row for each change, written in the same transaction. Never updated."""

    __tablename__ = "order_changes"

    id: Mapped[int] = mapped_column(SERIAL, primary_key=True, autoincrement=True)
    order_id: Mapped[str] = mapped_column(ForeignKey("orders.id"), index=True)
    version: Mapped[int] = mapped_column(Integer)
    at: Mapped[datetime]
    actor: Mapped[str] = mapped_column(String(64))
    """Who: `buyer`, `provider`, `device`, `clock`, `courier`, or an operator's address."""
    event: Mapped[str] = mapped_column(String(32))
    status_before: Mapped[str] = mapped_column(String(16))
    status_after: Mapped[str] = mapped_column(String(16))
    reason: Mapped[str] = mapped_column(String(128), default="")
    evidence: Mapped[dict[str, Any] | None] = mapped_column(JSON, default=None)


class MakeCommand(Base):
    """One instruction to pour an order's drink. Its id derives from order and attempt: a repeat is the same."""

    __tablename__ = "make_commands"
    __table_args__ = (
        Index(
            "uq_make_commands_one_live",
            "order_id",
            unique=True,
            postgresql_where=text("live"),
            sqlite_where=text("live"),
        ),
        Index("ix_make_commands_device", "device_uuid", "issued_at"),
    )

    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    order_id: Mapped[str] = mapped_column(ForeignKey("orders.id"), index=True)
    device_uuid: Mapped[str] = mapped_column(String(64))
    attempt: Mapped[int] = mapped_column(Integer)
    issued_at: Mapped[datetime]
    deadline_at: Mapped[datetime]
    live: Mapped[bool] = mapped_column(Boolean, default=True)
    """Its outcome is still awaited."""
    published_at: Mapped[datetime | None] = mapped_column(default=None)
    accepted_at: Mapped[datetime | None] = mapped_column(default=None)
    result: Mapped[str | None] = mapped_column(String(16), default=None)
    revision: Mapped[int] = mapped_column(Integer, default=0)
    code: Mapped[str] = mapped_column(String(64), default="")
    out: Mapped[str] = mapped_column(String(16), default="")
    evidence: Mapped[dict[str, Any] | None] = mapped_column(JSON, default=None)
    finished_at: Mapped[datetime | None] = mapped_column(default=None)


class Payment(Base):
    """One attempt to pay an order at a provider. Amounts are kopecks; what moved is in the ledger, summed here."""

    __tablename__ = "payments"
    __table_args__ = (
        Index(
            "uq_payments_one_live",
            "order_id",
            unique=True,
            postgresql_where=text("live"),
            sqlite_where=text("live"),
        ),
        Index("ix_payments_next_check", "next_check_at"),
        Index("ix_payments_unfinished", "state", "started_at", **_where(UNFINISHED)),
        Index("ix_payments_money_beside", "order_id", **_where(MONEY_BESIDE)),
        Index("ix_payments_not_earned", "order_id", **_where(NOT_EARNED)),
        Index("ix_payments_taken_in_part", "order_id", **_where(TAKEN_IN_PART)),
        Index("ix_payments_shop", "merchant_id", "scenario", "account_id", "started_at"),
        CheckConstraint("amount >= 0 AND captured >= 0 AND refunded >= 0", name="amounts"),
    )

    id: Mapped[str] = mapped_column(String(32), primary_key=True)
    order_id: Mapped[str] = mapped_column(ForeignKey("orders.id"), index=True)
    merchant_id: Mapped[str] = mapped_column(String(64))
    scenario: Mapped[str] = mapped_column(String(32))
    account_id: Mapped[str] = mapped_column(String(64))
    """The shop it was opened at; an answer of another shop is never believed for it."""
    capture: Mapped[str] = mapped_column(String(16))
    status_check: Mapped[str] = mapped_column(String(16))
    """`polling`, `webhook` or `none`, frozen here."""
    amount: Mapped[int] = mapped_column(Integer)
    state: Mapped[str] = mapped_column(String(16))
    """`creating`, `pending`, `held`, `captured`, `canceled`, `refused` (see `money.PaymentState`)."""
    live: Mapped[bool] = mapped_column(Boolean, default=True)
    """It may still bring money, or has; paying the order again is impossible meanwhile."""
    provider_payment_id: Mapped[str | None] = mapped_column(String(64), unique=True, default=None)
    confirmation_url: Mapped[str] = mapped_column(Text, default="")
    method: Mapped[str] = mapped_column(String(32), default="")
    cancel_reason: Mapped[str] = mapped_column(String(64), default="")
    problem: Mapped[str] = mapped_column(String(64), default="")
    """What does not fit the order, in the words of `payments.facts.differences`: such money is only ever returned."""
    captured: Mapped[int] = mapped_column(Integer, default=0)
    refunded: Mapped[int] = mapped_column(Integer, default=0)
    """Returned for certain, whoever asked for it."""
    earned: Mapped[bool] = mapped_column(Boolean, default=False, server_default=false())
    """It has taken money, its order was poured and nothing of that is owed: nobody need look at it again."""
    started_at: Mapped[datetime]
    paid_at: Mapped[datetime | None] = mapped_column(default=None)
    hold_expires_at: Mapped[datetime | None] = mapped_column(default=None)
    next_check_at: Mapped[datetime | None] = mapped_column(default=None)
    """When to ask the provider again; None once its answer is final."""
    checks: Mapped[int] = mapped_column(Integer, default=0)
    """Failed asks in a row; a successful ask is no failure (docs/promises.md, mistake 7)."""
    key_refused: Mapped[bool] = mapped_column(Boolean, default=False, server_default=false())
    """Asked about it last, the provider did not accept our key; its next answer clears it."""
    told_at: Mapped[datetime | None] = mapped_column(default=None)
    """When a notification last named it; cleared once the provider's answer is believed.

    Such payments are asked about first.
    """
    times_told: Mapped[int] = mapped_column(Integer, default=0, server_default="0")
    """Questions its notifications put first, up to `payments.stale_answer.MAX_URGENT`: later ones do not."""


class Movement(Base):
    """One movement of money, append-only (kopecks, always positive). Of `..._failed` nothing moved.

    What the order cost its buyer is `captured` less `refunded`: its price or nothing, see `ledger.py`.
    """

    __tablename__ = "movements"
    __table_args__ = (
        Index("uq_movements_once", "payment_id", "kind", "reference", unique=True),
        Index("ix_movements_at", "at"),
        Index("ix_movements_refunded", "at", **_where(_REFUNDED)),
        CheckConstraint("amount >= 0", name="amount"),
        CheckConstraint(f"kind IN ({_KINDS})", name="kind"),
    )

    id: Mapped[int] = mapped_column(SERIAL, primary_key=True, autoincrement=True)
    payment_id: Mapped[str] = mapped_column(ForeignKey("payments.id"), index=True)
    order_id: Mapped[str] = mapped_column(String(255), index=True)
    kind: Mapped[str] = mapped_column(String(16))
    amount: Mapped[int] = mapped_column(Integer)
    reference: Mapped[str] = mapped_column(String(64), default="")
    """The provider's refund id, the key of a call that failed, or empty for what can happen once."""
    at: Mapped[datetime]
