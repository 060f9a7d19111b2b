"""The fiscal receipts (54-FZ) of an order's payments and refunds, and the buyer's address while it is needed.

Each use case runs in the caller's transaction. Nothing here asks a provider, and no address is ever logged.
"""

import logging
from collections.abc import Mapping
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from sqlalchemy import (
    JSON,
    Boolean,
    CheckConstraint,
    Connection,
    ForeignKey,
    Index,
    Integer,
    String,
    bindparam,
    exists,
    select,
    text,
    update,
)
from sqlalchemy.orm import Mapped, Session, mapped_column

from cloud.database.base import SERIAL, Base
from cloud.database.plain_rows import insert_if_new, plain, table_of
from cloud.database.transaction import Transaction
from cloud.fleet.models import Merchant
from cloud.fleet.receipt_email import MAX_EMAIL, is_email
from cloud.orders.locked_order import LockedOrder, lock_order
from cloud.orders.models import Payment
from cloud.orders.money import PaymentState
from cloud.orders.outbox import OutboxRow
from cloud.orders.states import FINAL, PAYABLE, Status
from cloud.orders.status_change import add_note
from cloud.orders.tasks import Lane

log = logging.getLogger("cloud.orders.receipts")

TOLD_FOR = timedelta(days=7)
"""From the last word on a receipt that is not registered: nobody tells us that it was issued by hand."""
LOOK_AGAIN_S = 60.0
"""How often a receipt is looked at that waits for its money, or whose address waits for the order's end."""


class ReceiptState(StrEnum):
    """How far one receipt has come."""

    WAITING = "waiting"
    """Its money has not been taken yet: nothing is registered before that."""
    PENDING = "pending"
    """Being registered with the tax authority."""
    SUCCEEDED = "succeeded"
    CANCELED = "canceled"
    """Certainly not registered: a person must act."""
    NOT_NEEDED = "not_needed"
    """No money was taken."""


_PAST_PAYING = FINAL - PAYABLE
SETTLED = frozenset({ReceiptState.SUCCEEDED, ReceiptState.CANCELED, ReceiptState.NOT_NEEDED})
_STATES = ", ".join(f"'{state.value}'" for state in ReceiptState)
UNREGISTERED = "(state = 'canceled' OR (state = 'pending' AND overdue))"
"""The merchant owes the tax authority these. An index's condition; queries repeat it word for word."""


class Receipt(Base):
    """One receipt: of a payment, or of a refund of it. Rows of one payment share its `terms` and `email`."""

    __tablename__ = "receipts"
    __table_args__ = (
        Index("uq_receipts_once", "payment_id", "reference", unique=True),
        Index("ix_receipts_next_check", "next_check_at"),
        Index(
            "ix_receipts_unregistered", "since", postgresql_where=text(UNREGISTERED), sqlite_where=text(UNREGISTERED)
        ),
        CheckConstraint(f"state IN ({_STATES})", name="state"),
    )

    id: Mapped[int] = mapped_column(SERIAL, primary_key=True, autoincrement=True)
    order_id: Mapped[str] = mapped_column(String(255), index=True)
    payment_id: Mapped[str] = mapped_column(ForeignKey("payments.id"))
    reference: Mapped[str] = mapped_column(String(64), default="")
    """The provider's id of the refund; empty for the payment's own receipt."""
    amount: Mapped[int] = mapped_column(Integer)
    """Of the payment's own: what is asked for, and once it is taken, that."""
    terms: Mapped[dict[str, Any]] = mapped_column(JSON)
    """What was sold and how it is taxed, frozen when the payment began: its refunds say the same."""
    email: Mapped[str] = mapped_column(String(MAX_EMAIL), default="")
    """What the buyer gave; erased when it is needed no more. Empty on a refund's row."""
    state: Mapped[str] = mapped_column(String(16))
    since: Mapped[datetime | None] = mapped_column(default=None)
    """Since when it is awaited; of one that is decided or given up, since then."""
    overdue: Mapped[bool] = mapped_column(Boolean, default=False)
    """Not registered for so long that a person was called."""
    given_up: Mapped[bool] = mapped_column(Boolean, default=False)
    """Nobody asks about it any more, and no last word was heard."""
    checks: Mapped[int] = mapped_column(Integer, default=0)
    next_check_at: Mapped[datetime | None] = mapped_column(default=None)
    """When to look again; None once nothing is left to do."""


_receipt = table_of(Receipt)
_OF_PAYMENT = select(_receipt).where(_receipt.c.payment_id == bindparam("payment"), _receipt.c.reference == "")
_MERCHANTS_EMAIL = select(Merchant.contact_email).where(Merchant.id == bindparam("merchant"))


def begin(tx: Transaction, payment: Payment, terms: Mapping[str, Any], email: str, now: datetime) -> None:
    """Add the receipt that this payment will carry. The payment itself must be written already."""
    tx.session.add(
        Receipt(
            order_id=payment.order_id, payment_id=payment.id, amount=payment.amount, terms=dict(terms), email=email,
            state=ReceiptState.WAITING.value, next_check_at=now + timedelta(seconds=LOOK_AGAIN_S),
        )
    )  # fmt: skip
    tx.session.flush()


def of_payment(connection: Connection, payment_id: str) -> Receipt | None:
    """The payment's own receipt, to look at; None when it carries none."""
    found = connection.execute(_OF_PAYMENT, {"payment": payment_id}).first()
    return plain(Receipt, found) if found is not None else None


def receiver(connection: Connection, receipt: Receipt, payment: Payment) -> str:
    """Where it is sent: to the merchant, where no buyer's address is known (any more)."""
    return receipt.email or connection.execute(_MERCHANTS_EMAIL, {"merchant": payment.merchant_id}).scalar_one()


def has_no_receiver(connection: Connection, payment: Payment) -> bool:
    """Another receipt of this payment could be sent to nobody."""
    own = of_payment(connection, payment.id)
    return own is not None and not is_email(receiver(connection, own, payment))


def remembered_email(session: Session, order_id: str) -> str:
    """The address the buyer gave for an earlier payment of this order, while it is kept; else ""."""
    given = select(Receipt.email).where(Receipt.order_id == order_id, Receipt.email != "").order_by(Receipt.id.desc())
    return session.scalar(given.limit(1)) or ""


def state_of(session: Session, order_id: str) -> str:
    """How the newest receipt of the order stands; "" when it has none."""
    newest = select(Receipt.state).where(Receipt.order_id == order_id).order_by(Receipt.id.desc()).limit(1)
    return session.scalar(newest) or ""


def expect_refund(tx: Transaction, payment_id: str, refund_id: str, amount: int, now: datetime) -> None:
    """Follow the receipt of a refund that succeeded, if its payment carried one."""
    own = of_payment(tx.connection, payment_id)
    if own is None:
        return
    values = {
        "order_id": own.order_id, "payment_id": payment_id, "reference": refund_id, "amount": amount,
        "terms": own.terms, "email": "", "state": ReceiptState.PENDING.value, "since": now, "overdue": False,
        "given_up": False, "checks": 0, "next_check_at": now,
    }  # fmt: skip
    insert_if_new(tx.connection, Receipt, values)


def look(tx: Transaction, receipt_id: int, now: datetime) -> Payment | None:
    """Settle what can be without the provider; return the payment to ask about when it cannot."""
    locked, receipt = _held(tx, receipt_id)
    payment = locked.payment(receipt.payment_id)
    if receipt.state == ReceiptState.WAITING:
        _watch_money(receipt, payment, now)
    if receipt.state == ReceiptState.PENDING and not receipt.given_up:
        return payment
    if receipt.given_up or receipt.state in SETTLED:
        _close(locked, receipt, now)
    return None


def record_pending(tx: Transaction, receipt_id: int, again_at: datetime) -> None:
    """Record that the provider has not said its last word, and ask again later."""
    _, receipt = _held(tx, receipt_id)
    receipt.checks += 1
    receipt.next_check_at = again_at


def postpone_check(tx: Transaction, receipt_id: int, again_at: datetime) -> None:
    """Ask later: we held the question back ourselves, so no check is counted."""
    _held(tx, receipt_id)[1].next_check_at = again_at


def mark_overdue(tx: Transaction, receipt_id: int, now: datetime) -> None:
    """Mark a receipt so long unregistered that a person must ask the provider; logged once."""
    locked, receipt = _held(tx, receipt_id)
    if not receipt.overdue:
        receipt.overdue = True
        _write_history(locked, receipt, "receipt_overdue", now)
        tx.log_after_commit(
            log.error, "fiscal receipt is still not registered: ask the provider", extra=_facts(receipt)
        )


def record_decision(tx: Transaction, receipt_id: int, state: ReceiptState, now: datetime) -> None:
    """Record the provider's last word on the registration."""
    locked, receipt = _held(tx, receipt_id)
    if receipt.state in SETTLED:
        return
    receipt.state, receipt.since = state.value, now
    _write_history(locked, receipt, f"receipt_{state.value}", now)
    if state is ReceiptState.CANCELED:
        tx.log_after_commit(log.error, "fiscal receipt was not registered: a person must act", extra=_facts(receipt))
    else:
        tx.log_after_commit(log.info, "fiscal receipt registered", extra=_facts(receipt))
    _close(locked, receipt, now)


def give_up(tx: Transaction, receipt_id: int, now: datetime) -> None:
    """Ask about it no more; it stays pending, as the provider left it."""
    locked, receipt = _held(tx, receipt_id)
    receipt.given_up, receipt.since = True, now
    _close(locked, receipt, now)


def _watch_money(receipt: Receipt, payment: Payment, now: datetime) -> None:
    money = PaymentState(payment.state)
    if money is PaymentState.CAPTURED:
        receipt.amount = payment.captured  # of a hold a part may be taken, in the provider's cabinet
        receipt.state, receipt.since = ReceiptState.PENDING.value, now
    elif money in {PaymentState.CANCELED, PaymentState.REFUSED}:
        receipt.state = ReceiptState.NOT_NEEDED.value
    else:
        receipt.next_check_at = now + timedelta(seconds=LOOK_AGAIN_S)


def _close(locked: LockedOrder, receipt: Receipt, now: datetime) -> None:
    """Nothing is left to do once no address is kept; until the order is at rest it may be needed for a refund."""
    if receipt.email == "":
        receipt.next_check_at = None
    elif is_at_rest(locked, now):
        forget(locked.tx, locked.order.id)
        receipt.next_check_at = None
    else:
        receipt.next_check_at = now + timedelta(seconds=LOOK_AGAIN_S)


def is_at_rest(locked: LockedOrder, now: datetime) -> bool:
    """No payment can be started, no money moves any more, and no receipt is waited for."""
    order, session = locked.order, locked.tx.session
    retry_is_over = order.status == Status.NOT_PAID and now >= order.expires_at
    if Status(order.status) not in _PAST_PAYING and not retry_is_over:
        return False
    session.flush()
    moving = exists().where(
        OutboxRow.order_id == order.id, OutboxRow.lane == Lane.PROVIDER.value, OutboxRow.settled_at.is_(None)
    )
    open_states = (ReceiptState.WAITING.value, ReceiptState.PENDING.value)
    awaited = exists().where(Receipt.order_id == order.id, Receipt.state.in_(open_states), Receipt.given_up.is_(False))
    return not session.scalar(select(moving | awaited))


def forget(tx: Transaction, order_id: str) -> None:
    """Erase the address wherever it was written, the bytes of settled calls included: nobody sends those again."""
    tx.session.execute(update(Receipt).where(Receipt.order_id == order_id).values(email=""))
    settled = (OutboxRow.order_id == order_id, OutboxRow.lane == Lane.PROVIDER.value, OutboxRow.settled_at.is_not(None))
    tx.session.execute(update(OutboxRow).where(*settled).values(call_body=None))
    tx.log_after_commit(log.info, "the buyer's address is erased", extra={"order_id": order_id})


def _write_history(locked: LockedOrder, receipt: Receipt, event: str, now: datetime) -> None:
    """A line in the order's history; its status stays."""
    what = {"payment": receipt.payment_id, "refund": receipt.reference, "kopecks": receipt.amount}
    add_note(locked, event, "provider", now, evidence=what)


def _held(tx: Transaction, receipt_id: int) -> tuple[LockedOrder, Receipt]:
    """The receipt as it is now, its order locked first: everybody locks in this order."""
    receipt = tx.session.get_one(Receipt, receipt_id)
    locked = lock_order(tx, receipt.order_id)
    tx.session.flush()  # what is not written yet must not be read over
    tx.session.refresh(receipt)
    return locked, receipt


def _facts(receipt: Receipt) -> dict[str, object]:
    return {"order_id": receipt.order_id, "payment": receipt.payment_id, "refund": receipt.reference}
