"""Write what `call_decision` decided, in one transaction under the order's lock, if the worker still holds the call."""

import logging
from collections.abc import Callable
from datetime import datetime, timedelta
from functools import partial

from cloud.background.loops import Clock
from cloud.database.database import Database
from cloud.database.deferred_writes import on_failure
from cloud.database.transaction import Transaction
from cloud.orders import order_tasks, paying
from cloud.orders.ledger import record_failed
from cloud.orders.locked_order import LockedOrder, lock_order, order_key
from cloud.orders.order_limits import OrderLimits
from cloud.orders.outbox import OutboxRow, topic
from cloud.orders.owed_tasks import settle_money
from cloud.orders.tasks import BY_HAND, DONE, LOST, REFUSED, Lane, Task
from cloud.payments.call_answers import Answer
from cloud.payments.call_decision import Attempt, Final, NeedsPerson, Retry, Settled, call_of, within_patience
from cloud.payments.expected import expected_of
from cloud.payments.facts import PaymentFacts, RefundFacts
from cloud.payments.outcomes import AuthError, NotOurs, Ok, Rejected, next_ask
from cloud.payments.verification import answer_of

log = logging.getLogger("cloud.payments.call_worker")

Facts = PaymentFacts | RefundFacts


class CallResults:
    """Writes what calls have come to."""

    def __init__(self, database: Database, rules: OrderLimits, jitter: Callable[[], float], clock: Clock) -> None:
        self._database = database
        self._rules = rules
        self._jitter = jitter
        self._clock = clock

    def apply(self, row: OutboxRow, decision: Final, answer: Answer | None = None, *, deferred: bool = False) -> None:
        """Write one decision. Nobody waits for an answer about a payment that the buyer does not see."""
        _log(row, decision, answer)
        facts = answer.value if isinstance(answer, Ok) else None
        wait_s = self._wait_s(row, decision) if isinstance(decision, Retry) else 0.0
        if deferred or (isinstance(facts, PaymentFacts) and row.task != Task.CREATE):
            written = self._database.transact(
                self._write, row, decision, facts, wait_s, key=order_key(row.order_id), deferred=True
            )
            on_failure(written, partial(_not_stored, row))
        else:
            self._database.transact(self._write, row, decision, facts, wait_s)

    def _wait_s(self, row: OutboxRow, retry: Retry) -> float:
        if retry.attempt is Attempt.NONE:
            return retry.at_least_s or 0.0
        return retry.wait_s or next_ask(row.attempts, retry.at_least_s, self._jitter)

    def _write(self, tx: Transaction, row: OutboxRow, decision: Final, facts: Facts | None, wait_s: float) -> None:
        now, locked = self._clock(), lock_order(tx, row.order_id)
        if isinstance(decision, Retry):
            decision = _retry(locked, row, decision, facts, now + timedelta(seconds=wait_s), now)
        match decision:
            case Settled(verdict=verdict) if verdict == DONE:
                self._done(locked, row, facts, now)
            case Settled(verdict, code) | NeedsPerson(verdict, code):
                _not_done(locked, row, verdict, code, now)

    def _done(self, locked: LockedOrder, row: OutboxRow, facts: Facts | None, now: datetime) -> None:
        is_ours = order_tasks.settle_task(locked, row.key, row.claimed_by, DONE, now)
        if row.task == Task.CREATE and not is_ours:
            return  # another process may have opened another payment meanwhile: the buyer must not see this page
        if isinstance(facts, RefundFacts):
            paying.record_refund_succeeded(locked.tx, row.subject, facts.provider_refund_id, facts.amount, now)
        elif facts is not None and (answer := answer_of(facts, expected_of(locked.payment(row.subject)))) is not None:
            paying.record_payment_answer(locked.tx, row.subject, answer, self._rules, now)
        if row.task == Task.REFUND:
            settle_money(locked, now)  # it may have been all that stood in the way of the next


def _retry(
    locked: LockedOrder, row: OutboxRow, retry: Retry, facts: Facts | None, due_at: datetime, now: datetime
) -> Final:
    """Put it off, unless it is an opening that has waited long enough."""
    if retry.attempt is Attempt.DID_NOTHING:
        order_tasks.mark_no_effect(locked, row.key)
    elif retry.attempt is Attempt.NONE:
        order_tasks.mark_not_begun(locked, row.key)
        locked.tx.notify(topic(Lane.PROVIDER))  # no loop has seen it due, if it was claimed as it was written
    stored = order_tasks.task_of(locked, row.key)
    final = within_patience(retry, call_of(stored, locked.order.expires_at, now))
    if final is retry:
        if isinstance(facts, RefundFacts):
            stored.reference = facts.provider_refund_id
        if retry.ask_payment:
            paying.ask_soon(locked.tx, row.subject, now)
        if not _is_taken_anew(stored, row):
            order_tasks.reschedule(locked, row.key, row.claimed_by, due_at, retry.why)
    return final


def _is_taken_anew(stored: OutboxRow, row: OutboxRow) -> bool:
    """By this very process, when the lease was over: that attempt is under way. An opening's lease is renewed."""
    return row.task != Task.CREATE and stored.claimed_until != row.claimed_until


def _not_done(locked: LockedOrder, row: OutboxRow, verdict: str, code: str, now: datetime) -> None:
    """The last word on this call. What is still owed gets a new task, under a new key, unless a person must act."""
    if not order_tasks.settle_task(locked, row.key, row.claimed_by, verdict, now):
        return
    if verdict == LOST:  # sending it again could now do it twice; what a question can still tell is asked
        words = "%s: outcome never learnt, a person must look"
        locked.tx.log_after_commit(log.error, words, row.task, extra={"order_id": row.order_id})
    record_failed(locked, locked.payment(row.subject), Task(row.task), row.amount, now, row.key)
    if row.task == Task.CREATE:
        paying.record_payment_refused(locked.tx, row.subject, code, now)
        return
    paying.ask_soon(locked.tx, row.subject, now)
    settle_money(locked, now)


def _log(row: OutboxRow, decision: Final, answer: Answer | None) -> None:
    """What the provider said, for the person who must mend it."""
    about = {"order_id": row.order_id}
    match decision, answer:
        case NeedsPerson(verdict=verdict), _ if verdict == BY_HAND:
            log.error("a person must do it there: %s", row.task, extra=about)
        case Settled(verdict=verdict), Rejected(code=code, parameter=parameter) if verdict == REFUSED:
            log.error("provider refused %s: %s %s", row.task, code, parameter, extra=about)
        case Settled(verdict=verdict), NotOurs() if verdict == REFUSED:
            log.error("provider does not know the payment to %s", row.task, extra=about)
        case Settled(verdict=verdict, code=code), Ok() if verdict == REFUSED:
            log.error("refund was canceled by the provider: %s", code, extra=about)
        case Retry(why=why), Rejected() | NotOurs():
            log.error("%s not known to be done (%s)", row.task, why, extra=about)
        case Retry(wait_s=None, is_seen=False, why=why, attempt=attempt), _ if attempt is not Attempt.NONE:
            if isinstance(answer, AuthError):
                log.error("provider refuses our key: %s", row.task, extra=about)
            log.warning("%s not known to be done (%s)", row.task, why, extra=about | {"attempt": row.attempts})


def _not_stored(row: OutboxRow, error: Exception) -> None:
    """What could not be settled is asked for again when its lease ends, with the same bytes under the same key."""
    log.error("the provider's answer could not be stored", exc_info=error, extra={"order_id": row.order_id})
