"""The facts a verdict rests on, read for one order or for a page of them: four questions, however many orders."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from cloud.console.orders.verdict import Facts, Returning
from cloud.fleet.models import Device
from cloud.orders.models import Movement, Order, Payment
from cloud.orders.money import ReturnPolicy, owed
from cloud.orders.outbox import OutboxRow
from cloud.orders.owed_tasks import snapshot_of
from cloud.orders.pour_again import FREE
from cloud.orders.states import Status
from cloud.orders.tasks import FOR_A_PERSON, RETURNS, Task, may_be_done, refusals

MONEY_TASKS = (Task.CAPTURE.value, Task.CANCEL.value, Task.REFUND.value)


@dataclass(frozen=True)
class OrderSummary:
    """One order as a list shows it."""

    order_id: str
    merchant_id: str
    device_uuid: str
    location: str
    zone: str
    drink_name: str
    price: int
    facts: Facts


def summaries_of(session: Session, order_ids: Sequence[str]) -> dict[str, OrderSummary]:
    """Each of these orders, by its id."""
    ids = sorted(set(order_ids))
    payments, moves = _by_order(session, Payment, ids), _by_order(session, Movement, ids)
    tasks = _by_order(session, OutboxRow, ids)
    asked = select(Order, Device.location, Device.zone).join(Device, Device.device_uuid == Order.device_uuid)
    return {
        order.id: OrderSummary(
            order.id, order.merchant_id, order.device_uuid, location, zone, order.drink_name, order.price,
            facts_of(order, payments[order.id], tasks[order.id], moves[order.id]),
        )
        for order, location, zone in session.execute(asked.where(Order.id.in_(ids)))
    }  # fmt: skip


def facts_of(order: Order, payments: Sequence[Payment], tasks: Sequence[OutboxRow], moves: Sequence[Movement]) -> Facts:
    """What the verdict rests on."""
    status, paid = Status(order.status), [snapshot_of(payment) for payment in payments]
    dues = owed(status, paid, ReturnPolicy(given_back=order.given_back))
    owed_back = {due.payment_id: due.amount for due in dues if due.task in RETURNS}
    by_payment: dict[str, list[OutboxRow]] = defaultdict(list)
    for row in tasks:
        if row.task in RETURNS:
            by_payment[row.subject].append(row)
    return Facts(
        status=status,
        price=order.price,
        reason=order.reason,
        stage=order.stage,
        uncertain=order.uncertain,
        waits_for_person=order.waits_for_person,
        is_free=order.opened_by == FREE,
        payments=paid,
        returning={
            payment_id: _returning(rows, owed_back.get(payment_id, 0)) for payment_id, rows in by_payment.items()
        },
        finished_at=order.finished_at,
        money_at=max((move.at for move in moves), default=None),
        returns_at=order.return_after,
    )


def _returning(tasks: Sequence[OutboxRow], kopecks: int) -> Returning:
    """Of one payment's returns: what becomes of the `kopecks` that are owed."""
    open_ones = [row for row in tasks if row.settled_at is None]
    refused = (refusals(row.verdict for row in tasks if row.task == one.task) for one in open_ones)
    return Returning(
        is_open=bool(open_ones),
        has_begun=any(may_be_done(row) for row in open_ones),
        refusals=max(refused, default=0),
        is_for_person=kopecks > 0 and any(row.verdict in FOR_A_PERSON for row in tasks),
        kopecks=kopecks or max((row.amount for row in open_ones), default=0),
    )


def _by_order(session: Session, kind: Any, ids: list[str]) -> dict[str, list[Any]]:
    found = defaultdict(list)
    for row in session.scalars(select(kind).where(kind.order_id.in_(ids)).order_by(kind.id)):
        found[row.order_id].append(row)
    return found
