"""The loop over requests to return money: those nobody decided expire, those decided are followed to their end."""

import logging
from collections.abc import Sequence
from datetime import datetime, timedelta

from sqlalchemy import select, text
from sqlalchemy.orm import Session

from cloud.database.database import Database
from cloud.database.transaction import Transaction
from cloud.orders.locked_order import LockedOrder, lock_order
from cloud.orders.models import Payment
from cloud.orders.money import REFUSALS_FOR_A_PERSON, PaymentState, paying_payment
from cloud.orders.outbox import OutboxRow
from cloud.orders.return_requests import IS_FOLLOWED, IS_OPEN, ReturnRequest
from cloud.orders.return_rules import MoneyNow, RequestState, state_after
from cloud.orders.states import Status
from cloud.orders.status_change import add_note
from cloud.orders.tasks import FOR_A_PERSON, RETURNS, refusals

log = logging.getLogger("cloud.orders.return_followup")

LOOK_AT_LEAST_S = 5.0
BATCH = 100
REFUSED_FOR = timedelta(days=30)
"""A refusal is looked at so long: the shop's balance may be filled."""
NEWEST = 2**31 - 1
"""No request has a higher number."""
Found = tuple[int, str]
"""A request and its order."""


class ReturnFollowup:
    """Steps over the requests that are followed; many workers may run it, each order is judged under its lock.

    A batch at a time, each step where the last one stopped: however many stay as they are, each has its turn.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._moving_after = ""
        """The order up to which those on their way have been looked at."""
        self._refused_before = NEWEST
        """The request down to which those refused have been."""

    def step(self, now: datetime) -> datetime:
        """Move what is due; when to look again."""
        with self._database.read() as session:
            waits = (ReturnRequest.state == RequestState.REQUESTED.value) & (ReturnRequest.expires_at <= now)
            expired = session.execute(select(ReturnRequest.id, ReturnRequest.order_id).where(waits).limit(BATCH)).all()
            followed = [*self._moving(session), *self._refused(session, now)]
        for request_id, order_id in [*expired, *followed]:
            self._judge(request_id, order_id, now)
        return now + timedelta(seconds=LOOK_AT_LEAST_S)

    def _moving(self, session: Session) -> list[Found]:
        """Decided, and on their way however long that takes: no other return of their orders can be asked for."""
        is_decided = ReturnRequest.state != RequestState.REQUESTED.value
        next_ones = select(ReturnRequest.id, ReturnRequest.order_id).where(
            text(IS_OPEN), is_decided, ReturnRequest.order_id > self._moving_after
        )
        rows = session.execute(next_ones.order_by(ReturnRequest.order_id).limit(BATCH)).all()
        self._moving_after = rows[-1].order_id if len(rows) == BATCH else ""
        return [(row.id, row.order_id) for row in rows]

    def _refused(self, session: Session, now: datetime) -> list[Found]:
        """From the newest on, so that the old ones need not be read."""
        is_refused = ReturnRequest.state == RequestState.REFUSED.value
        next_ones = select(ReturnRequest.id, ReturnRequest.order_id, ReturnRequest.requested_at).where(
            text(IS_FOLLOWED), is_refused, ReturnRequest.id < self._refused_before
        )
        rows = session.execute(next_ones.order_by(ReturnRequest.id.desc()).limit(BATCH)).all()
        lately = [row for row in rows if row.requested_at > now - REFUSED_FOR]
        self._refused_before = lately[-1].id if len(lately) == BATCH else NEWEST
        return [(row.id, row.order_id) for row in lately]

    def _judge(self, request_id: int, order_id: str, now: datetime) -> None:
        """One request that cannot be judged must not stop all others."""
        try:
            self._database.transact(follow, request_id, order_id, now)
        except Exception:
            log.exception("a request to return money could not be judged", extra={"order_id": order_id})


def follow(tx: Transaction, request_id: int, order_id: str, now: datetime) -> None:
    """Bring one request to where its order's money is."""
    locked = lock_order(tx, order_id)
    request = tx.session.get_one(ReturnRequest, request_id, populate_existing=True)
    before = RequestState(request.state)
    if before is RequestState.REQUESTED:
        if now >= request.expires_at:
            request.state, request.decided_at = RequestState.EXPIRED.value, now
            add_note(locked, "return_request_expired", "clock", now, request.reason, {"kopecks": request.kopecks})
        return
    money = money_of(locked, request)
    after = state_after(money)
    if after is before:
        return
    request.state = after.value
    request.decision = "poured_after_all" if money.is_void else ""
    if after is RequestState.REFUSED:
        facts = {"order_id": order_id, "kopecks": request.kopecks}
        tx.log_after_commit(log.error, "a return that was decided does not go", extra=facts)


def money_of(locked: LockedOrder, request: ReturnRequest) -> MoneyNow:
    """What has become of the money so far."""
    payment = paying_payment(locked.payments)
    if payment is None:
        return MoneyNow(is_back=False, has_task=False, is_hopeless=False, is_void=True)
    tasks = [row for row in locked.tasks if row.task in RETURNS and row.subject == payment.id]
    has_task = any(row.settled_at is None for row in tasks)
    poured_after_all = request.back_at is None and locked.order.status == Status.SUCCESSFUL
    is_back = _is_back(payment, request)
    return MoneyNow(is_back, has_task, _is_hopeless(tasks), poured_after_all and not has_task and not is_back)


def _is_back(payment: Payment, request: ReturnRequest) -> bool:
    if payment.state == PaymentState.CANCELED.value:
        return True
    return payment.refunded >= (payment.captured if request.back_at is None else request.back_at) > 0


def _is_hopeless(tasks: Sequence[OutboxRow]) -> bool:
    refused = max(refusals(row.verdict for row in tasks if row.task == act) for act in RETURNS)
    return refused >= REFUSALS_FOR_A_PERSON or any(row.verdict in FOR_A_PERSON for row in tasks)
