"""The ledger: one row for each movement of money, and for each attempt that failed, never changed. Kopecks.

What an order cost its buyer, `captured` less `refunded`, is its price or nothing once all is settled (promise 4).
"""

from datetime import datetime
from typing import Any

from cloud.database.plain_rows import fresh
from cloud.orders.locked_order import LockedOrder
from cloud.orders.models import Movement, Payment
from cloud.orders.money import PaymentState
from cloud.orders.tasks import Task


def record(locked: LockedOrder, payment: Payment, kind: str, amount: int, now: datetime, reference: str = "") -> None:
    """Add one movement to the ledger, unless exactly this one is in it already."""
    locked.add(fresh(Movement, **_movement(payment, kind, amount, now, reference)), once=True)


def record_refund(locked: LockedOrder, payment: Payment, refund_id: str, amount: int, now: datetime) -> bool:
    """Record a refund that is final at the provider, whoever asked for it; false when the ledger has it already."""
    known = [move for move in locked.movements if (move.payment_id, move.kind) == (payment.id, "refunded")]
    if any(move.reference == refund_id for move in known):
        return False
    record(locked, payment, "refunded", amount, now, refund_id)
    payment.refunded = amount + sum(move.amount for move in known)
    if payment.refunded >= payment.captured:
        payment.live = False
    return True


def record_failed(locked: LockedOrder, payment: Payment, task: Task, amount: int, now: datetime, key: str) -> None:
    """A call that certainly moved nothing, or of which nobody can learn any more whether it did."""
    record(locked, payment, f"{task.value}_failed", amount, now, key)


def balance(payment: Payment) -> int:
    """Kopecks of the buyer's that are held or taken by this payment now."""
    return payment.amount if payment.state == PaymentState.HELD else payment.captured - payment.refunded


def _movement(payment: Payment, kind: str, amount: int, now: datetime, reference: str) -> dict[str, Any]:
    what = {"payment_id": payment.id, "order_id": payment.order_id, "kind": kind, "amount": amount}
    return what | {"reference": reference, "at": now}
