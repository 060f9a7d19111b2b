"""What follows from the end of a call to a provider: settled, tried again, looked into, or left to a person.

Each end is written in one transaction, under the lock of its order, and only by who still holds the call.
"""

import logging
from collections.abc import Callable
from datetime import datetime, timedelta
from functools import partial

from sqlalchemy.orm import Session

from cloud.background.loops import Clock
from cloud.database.database import Database
from cloud.database.group_commit import when_it_fails
from cloud.orders import order_tasks, paying
from cloud.orders.ledger import record_failed
from cloud.orders.locked_order import key_of, open_docket
from cloud.orders.outbox import OutboxRow
from cloud.orders.owed_tasks import settle_money
from cloud.orders.rules import Rules
from cloud.orders.tasks import BY_HAND, DONE, LOST, REFUSED, Task
from cloud.payments.facts import PaymentFacts, RefundFacts, RefundStatus
from cloud.payments.outcomes import (
    AuthError,
    NotOurs,
    NotSent,
    Ok,
    Outcome,
    RateLimited,
    Rejected,
    Unknown,
    next_ask,
)
from cloud.payments.verification import news_of

log = logging.getLogger("cloud.payments.call_worker")

ASK_AGAIN_S = 300.0
LISTED_AFTER = timedelta(minutes=5)
"""So long after its order's end an opening whose answer was lost is looked for in the provider's list."""
ASK_LIST_AGAIN_S = 60.0
GIVE_UP_OPENING = timedelta(days=3)
"""Nobody was ever shown where to pay it: an order does not wait longer for a provider that cannot be asked."""


class CallResults:
    """Writes what calls have come to."""

    def __init__(self, database: Database, rules: Rules, jitter: Callable[[], float], clock: Clock) -> None:
        self._database = database
        self._rules = rules
        self._jitter = jitter
        self._clock = clock

    def settle(self, row: OutboxRow, outcome: Outcome[PaymentFacts] | Outcome[RefundFacts]) -> None:
        match outcome:
            case Ok(PaymentFacts() as facts) if row.task == Task.CREATE:
                self._database.write(self._paid_facts, row, facts)
            case Ok(PaymentFacts() as facts):
                settled = self._database.write_soon(key_of(row.order_id), self._paid_facts, row, facts)
                when_it_fails(settled, partial(_not_stored, row))
            case Ok(RefundFacts() as facts):
                self._database.write(self._refund_facts, row, facts)
            case Rejected(key_conflict=True):
                log.error("key %s is taken by another call", row.key, extra={"order_id": row.order_id})
                self._database.write(self.later, row, ASK_AGAIN_S, "key conflict", nothing_done=False)
            case Rejected() | NotOurs() if row.reference:  # no word about the refund itself: it may be under way
                log.error("provider does not tell of refund %s", row.reference, extra={"order_id": row.order_id})
                self._database.write(self.later, row, ASK_AGAIN_S, "refund not told of", nothing_done=False)
            case Rejected(code=code) if code == BY_HAND:
                log.error("a person must do it there: %s", row.task, extra={"order_id": row.order_id})
                self._database.write(self.refused, row, code, BY_HAND)
            case Rejected(code=code, parameter=parameter):
                log.error("provider refused %s: %s %s", row.task, code, parameter, extra={"order_id": row.order_id})
                self._database.write(self.refused, row, code)
            case NotOurs():
                log.error("provider does not know the payment to %s", row.task, extra={"order_id": row.order_id})
                self._database.write(self.refused, row, "not_ours")
            case AuthError() | RateLimited() | NotSent():
                if isinstance(outcome, AuthError):
                    log.error("provider refuses our key: %s", row.task, extra={"order_id": row.order_id})
                self.try_again(row, outcome, nothing_done=True)
            case Unknown():
                self.try_again(row, outcome, nothing_done=False)

    def try_again(
        self, row: OutboxRow, outcome: AuthError | RateLimited | NotSent | Unknown, nothing_done: bool
    ) -> None:
        if isinstance(outcome, NotSent) and outcome.held_back:
            self._database.write(self.held_back, row, outcome.retry_after_s or 0.0)
            return
        retry_after = getattr(outcome, "retry_after_s", None)
        why = f"{type(outcome).__name__}: {getattr(outcome, 'why', '') or getattr(outcome, 'code', '')}"
        log.warning(
            "%s not known to be done (%s)", row.task, why, extra={"order_id": row.order_id, "attempt": row.attempts}
        )
        self._database.write(self.later, row, next_ask(row.attempts, retry_after, self._jitter), why, nothing_done)

    def _paid_facts(self, session: Session, row: OutboxRow, facts: PaymentFacts) -> None:
        now = self._clock()
        docket = open_docket(session, row.order_id)
        news = news_of(facts, docket.payment(row.subject))
        if news is None or (row.task != Task.CREATE and news.state not in paying.FINAL_STATES):
            wait = next_ask(row.attempts, None, self._jitter)
            order_tasks.put_off(docket, row.key, row.claimed_by, now + timedelta(seconds=wait), "not done yet")
            return
        order_tasks.settle(docket, row.key, row.claimed_by, DONE, now)
        paying.payment_news(session, row.subject, news, self._rules, now)

    def _refund_facts(self, session: Session, row: OutboxRow, facts: RefundFacts) -> None:
        now = self._clock()
        docket = open_docket(session, row.order_id)
        if facts.status is RefundStatus.SUCCEEDED:
            order_tasks.settle(docket, row.key, row.claimed_by, DONE, now)
            paying.refund_news(session, row.subject, facts.provider_refund_id, facts.amount, now)
            settle_money(docket, now)  # told of before, it may have been all that stood in the way of the next
        elif facts.status is RefundStatus.CANCELED:
            reason = (facts.cancellation.reason if facts.cancellation else None) or "canceled"
            log.error("refund was canceled by the provider: %s", reason, extra={"order_id": row.order_id})
            self.refused(session, row, reason)
        else:
            order_tasks.of(docket, row.key).reference = facts.provider_refund_id
            wait = next_ask(row.attempts, None, self._jitter)
            order_tasks.put_off(docket, row.key, row.claimed_by, now + timedelta(seconds=wait), "refund pending")

    def refused(self, session: Session, row: OutboxRow, code: str, verdict: str = REFUSED) -> None:
        """The provider's last word on this call. What is still owed is promised anew, later, under a new key."""
        now = self._clock()
        docket = open_docket(session, row.order_id)
        if not order_tasks.settle(docket, row.key, row.claimed_by, verdict, now):
            return
        record_failed(docket, docket.payment(row.subject), Task(row.task), row.amount, now, row.key)
        if row.task == Task.CREATE:
            paying.payment_refused(session, row.subject, code, now)
            return
        paying.ask_soon(session, row.subject, now)
        settle_money(docket, now)

    def later(self, session: Session, row: OutboxRow, wait_s: float, why: str, nothing_done: bool) -> None:
        now = self._clock()
        docket = open_docket(session, row.order_id)
        if nothing_done:
            order_tasks.nothing_done(docket, row.key)
        stored = order_tasks.of(docket, row.key)
        never_sent = stored.undone >= stored.attempts
        if row.task == Task.CREATE and never_sent and now >= docket.order.expires_at:
            self.refused(session, row, "unreachable")
        elif row.task == Task.CREATE and now - row.created_at >= GIVE_UP_OPENING:
            self.lost(session, row, now)
        else:
            order_tasks.put_off(docket, row.key, row.claimed_by, now + timedelta(seconds=wait_s), why)

    def nothing_found(self, session: Session, row: OutboxRow) -> None:
        """Too late to open it, and an attempt may have opened it all the same: not before that would be listed."""
        if self._clock() < open_docket(session, row.order_id).order.expires_at + LISTED_AFTER:
            self.later(session, row, ASK_LIST_AGAIN_S, "nothing listed yet", nothing_done=False)
        else:
            self.refused(session, row, paying.EXPIRED)

    def held_back(self, session: Session, row: OutboxRow, wait_s: float) -> None:
        """We may not call now. Nothing was tried: it counts as no attempt, and no pause grows."""
        docket = open_docket(session, row.order_id)
        order_tasks.not_begun(docket, row.key)
        order_tasks.put_off(docket, row.key, row.claimed_by, self._clock() + timedelta(seconds=wait_s), "held back")

    def count_first(self, session: Session, row: OutboxRow, nothing_done: bool) -> None:
        """The provider tells of returns our ledger lacks: what is still owed is known when they are in it."""
        paying.ask_soon(session, row.subject, self._clock())
        self.later(session, row, ASK_AGAIN_S, "returns not counted yet", nothing_done)

    @staticmethod
    def lost(session: Session, row: OutboxRow, now: datetime) -> None:
        """Sending it again could now do it twice. What a question can still tell is asked."""
        log.error("%s: outcome never learnt, a person must look", row.task, extra={"order_id": row.order_id})
        docket = open_docket(session, row.order_id)
        if not order_tasks.settle(docket, row.key, row.claimed_by, LOST, now):
            return
        record_failed(docket, docket.payment(row.subject), Task(row.task), row.amount, now, row.key)
        if row.task == Task.CREATE:  # nobody was ever shown where to pay it, and its hour is long over
            paying.payment_refused(session, row.subject, LOST, now)
        else:
            paying.ask_soon(session, row.subject, now)


def _not_stored(row: OutboxRow, error: Exception) -> None:
    """What could not be settled is asked for again when its lease ends, with the same bytes under the same key."""
    log.error("the provider's answer could not be stored", exc_info=error, extra={"order_id": row.order_id})
