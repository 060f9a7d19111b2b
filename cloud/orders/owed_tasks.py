"""Turn what is owed (`money.owed`) into tasks in the outbox, and withdraw those no longer right.

Runs after every change of an order or a payment, in the same transaction. No act gets two open tasks.
"""

import logging
from collections.abc import Sequence
from datetime import datetime, timedelta

from cloud.orders import order_tasks, outbox
from cloud.orders.ledger import record_failed
from cloud.orders.locked_order import LockedOrder
from cloud.orders.models import Payment
from cloud.orders.money import Due, PaymentSnapshot, PaymentState, ReturnPolicy, owed, paying_payment, to_return
from cloud.orders.outbox import OutboxRow
from cloud.orders.states import STILL_OPEN, Status
from cloud.orders.tasks import BY_HAND, FOR_A_PERSON, RETURNS, Lane, Task, may_be_done, refusals
from cloud.orders.waiting_return import return_waits

log = logging.getLogger("cloud.orders.money")

KEY_PREFIX = {Task.CAPTURE: "cap", Task.CANCEL: "can", Task.REFUND: "ref"}
FIRST_RETRY_S = 60.0
LAST_RETRY_S = 3600.0
MOST_DOUBLINGS = 10


def settle_money(locked: LockedOrder, now: datetime) -> None:
    """Make the open tasks of the order's money exactly those that are owed now."""
    order = locked.order
    if not locked.payments:
        return
    status, pays = Status(order.status), paying_payment(locked.payments)
    for payment in locked.payments:
        is_kept = not to_return(payment, payment is pays, status, order.given_back)
        payment.earned = status is Status.SUCCESSFUL and payment.captured > 0 and is_kept
    payments = [snapshot_of(payment) for payment in locked.payments]
    returns_from = order.return_after if order.uncertain else None
    dues = owed(status, payments, ReturnPolicy(returns_from, order.waits_for_person, order.given_back))
    if not dues and len(payments) == 1 and status in STILL_OPEN:
        return  # such an order has never owed anything
    rows = [row for row in locked.tasks if row.task in KEY_PREFIX]
    wanted = {(due.payment_id, due.task.value) for due in dues}
    for row in rows:
        if row.settled_at is None and (row.subject, row.task) not in wanted:
            order_tasks.withdraw_tasks(locked, {Task(row.task)}, now, row.subject)
    for due in dues:
        _add_or_amend(locked, due, [r for r in rows if (r.subject, r.task) == (due.payment_id, due.task.value)], now)
    if status is Status.SUCCESSFUL:
        order.goodwill = _is_given_back(pays, rows)


def settle_as_poured(locked: LockedOrder, stage: str, now: datetime) -> None:
    """The drink is poured for certain, whatever was thought before: its money is earned. `stage`: by whose word."""
    order = locked.order
    if order.waits_for_person or order.return_after is not None:
        _stop_returns(locked, now)
    order.uncertain, order.return_after, order.waits_for_person = False, None, False
    order.progress, order.stage = 100, stage
    settle_money(locked, now)


def _stop_returns(locked: LockedOrder, now: datetime) -> None:
    """Nobody has begun one, unless a restored database has forgotten it: of that only the provider can tell."""
    pays = paying_payment(locked.payments)
    if pays is None:
        return
    for task in RETURNS:
        if not order_tasks.stop_task(locked, task, pays.id, now):
            pays.next_check_at = now


def _is_given_back(pays: Payment | None, rows: Sequence[OutboxRow]) -> bool:
    """Whether the money of a poured order went back, or may be on its way."""
    if pays is None:
        return False
    if pays.refunded > 0 or pays.state == PaymentState.CANCELED:
        return True
    back = Task.CANCEL if pays.state == PaymentState.HELD else Task.REFUND
    return any((row.subject, row.task, row.settled_at) == (pays.id, back, None) and may_be_done(row) for row in rows)


def _add_or_amend(locked: LockedOrder, due: Due, earlier: list[OutboxRow], now: datetime) -> None:
    order = locked.order
    pause_s = pause_after(refusals(row.verdict for row in earlier))
    due_at = max(due.not_before or now, now + timedelta(seconds=pause_s))
    open_task = next((row for row in earlier if row.settled_at is None), None)
    if open_task is not None and open_task.amount != due.amount and open_task.attempts and _take_back(locked, due, now):
        open_task = None
    if any(row.verdict in FOR_A_PERSON for row in earlier):
        _leave_the_rest(locked, due, earlier, now)
        return
    if open_task is None:
        key = f"{KEY_PREFIX[due.task]}-{due.payment_id}-{len(earlier) + 1}"
        order_tasks.add_task(locked, due.task, key, due.payment_id, now, due.amount, due_at)
        facts = {"order_id": order.id, "kopecks": due.amount}
        locked.tx.log_after_commit(log.info, "%s owed: %s", due.task.value, due.why, extra=facts)
    else:
        order_tasks.amend_task(locked, open_task, due.amount, due_at)
        locked.tx.notify(outbox.topic(Lane.PROVIDER))  # what is due may have waited for this very decision


def _leave_the_rest(locked: LockedOrder, due: Due, earlier: list[OutboxRow], now: datetime) -> None:
    """Another sum is to go back than was left to a person: tell the person again, and send nothing."""
    if due.task is not Task.REFUND:
        return
    left = next(row for row in reversed(earlier) if row.verdict in FOR_A_PERSON)
    payment = locked.payment(due.payment_id)
    moves = [move for move in locked.movements if move.payment_id == payment.id]
    left_at = next((place for place, move in enumerate(moves) if move.reference == left.key), -1)  # by no clock
    back_since = sum(move.amount for move in moves[left_at + 1 :] if move.kind == "refunded")
    if back_since + due.amount == left.amount:
        payment.next_check_at = payment.next_check_at or now  # the drink may have come out meanwhile: asking had ended
        return
    key = f"{KEY_PREFIX[due.task]}-{due.payment_id}-{len(earlier) + 1}"
    order_tasks.leave_to_person(locked, due.task, key, due.payment_id, due.amount, now)
    record_failed(locked, payment, due.task, due.amount, now, key)
    payment.next_check_at = now
    locked.tx.log_after_commit(
        log.error, "a person must do it there: %s", due.task.value, extra={"order_id": locked.order.id}
    )


def pause_after(times: int) -> float:
    """Seconds until what was refused so often is asked for again."""
    doublings = min(times - 1, MOST_DOUBLINGS)  # a shop may be refused for months: no power may outgrow a number
    return min(FIRST_RETRY_S * 2**doublings, LAST_RETRY_S) if times else 0.0


def _take_back(locked: LockedOrder, due: Due, now: datetime) -> bool:
    """Its bytes are written down for another sum: as long as they have certainly not been sent, they never will be."""
    return order_tasks.withdraw_tasks(locked, {due.task}, now, due.payment_id)


def is_paid_for(locked: LockedOrder) -> bool:
    """The payment that pays the order still holds or has money of the buyer's."""
    pays = paying_payment(locked.payments)
    return pays is not None and (pays.state == PaymentState.HELD or pays.captured > pays.refunded)


def money_is_gone(locked: LockedOrder) -> bool:
    """The order has payments and none of them pays for it any more; a free drink has no money that could go."""
    return bool(locked.payments) and not is_paid_for(locked)


def snapshot_of(payment: Payment) -> PaymentSnapshot:
    """The payment as the pure rules see it."""
    return PaymentSnapshot(
        id=payment.id,
        state=PaymentState(payment.state),
        amount=payment.amount,
        captured=payment.captured,
        refunded=payment.refunded,
        problem=payment.problem,
        paid_at=payment.paid_at,
    )


def awaits_decision(locked: LockedOrder, row: OutboxRow) -> bool:
    """The task is a return nobody may begin yet. Money beside the order's own goes back at once."""
    if row.task not in RETURNS or not return_waits(locked.order):
        return False
    pays = paying_payment(locked.payments)
    return pays is not None and row.subject == pays.id and is_paid_for(locked)


def awaits_manual_return(locked: LockedOrder, payment: Payment) -> bool:
    """A person is to return money of this payment where we cannot, and it is not all back yet."""
    order, pays = locked.order, payment is paying_payment(locked.payments)
    if not to_return(payment, pays, Status(order.status), order.given_back):
        return False
    return any((row.subject, row.verdict) == (payment.id, BY_HAND) for row in locked.tasks if row.task in RETURNS)
