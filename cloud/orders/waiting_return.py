"""The return of an uncertain order waits until its outcome is decided.

The machine's word decides, the end of the grace (`making.end_grace`) or a person; never the clock of the worker that
calls providers. The task of the return may be written before; no worker begins it.
"""

from sqlalchemy import and_, exists, or_
from sqlalchemy.orm import aliased

from cloud.orders.models import Order, Payment
from cloud.orders.money import PaymentState
from cloud.orders.outbox import OutboxRow
from cloud.orders.states import Status
from cloud.orders.tasks import RETURNS

_earlier = aliased(Payment)
PAYS = and_(
    Payment.problem == "",
    Payment.paid_at.is_not(None),
    ~exists().where(
        _earlier.order_id == Payment.order_id,
        _earlier.problem == "",
        or_(
            _earlier.paid_at < Payment.paid_at, and_(_earlier.paid_at == Payment.paid_at, _earlier.id < Payment.id)
        ),
    ),
)  # fmt: skip
"""The payment is the one that pays its order, the first that fits: `money.paying_payment`."""
RETURN_WAITS = and_(
    Order.status == Status.MAKE_FAILED.value, or_(Order.waits_for_person, Order.return_after.is_not(None))
)
AWAITS_DECISION = and_(
    OutboxRow.task.in_(RETURNS),
    PAYS,
    or_(Payment.state == PaymentState.HELD.value, Payment.captured > Payment.refunded),
    exists().where(Order.id == OutboxRow.order_id, RETURN_WAITS).correlate(OutboxRow),
)
"""The same as `owed_tasks.awaits_decision`, of a task joined with its payment."""


def return_waits(order: Order) -> bool:
    """Whether the order is uncertain and its money has not begun to go back."""
    return order.status == Status.MAKE_FAILED and (order.waits_for_person or order.return_after is not None)
