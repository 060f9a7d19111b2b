"""Keeps the outbox's promises to the provider, with the same bytes and key until the answer is known.

`step(now)` claims what is due; each call is made outside any transaction; its outcome is settled in one.
"""

import logging
from collections.abc import Callable
from datetime import datetime, timedelta
from functools import partial
from urllib.parse import quote

from sqlalchemy.orm import Session

from cloud.db import Database
from cloud.loops import Clock, Crew
from cloud.orders import outbox, paying
from cloud.orders.change import locked
from cloud.orders.models import Order, Payment
from cloud.orders.outbox import Claim, Lane, OutboxRow, Task
from cloud.orders.rules import Rules
from cloud.orders.settlement import DONE, REFUSED, settle_money
from cloud.payments.believing import news_of
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
    may_replay,
    next_ask,
)
from cloud.payments.provider import InvalidRequest, NewPayment, Operation, PreparedCall, Provider
from cloud.payments.shops import NoCredential, Shops

log = logging.getLogger("cloud.payments.cashier")

LEASE_S = 120.0
"""Longer than the slowest call (5 s to connect, 35 s to answer), so that no other worker repeats a call under way."""
NO_CREDENTIAL_RETRY_S = 60.0
LOST = "lost"
"""Verdict of a call whose outcome was never learnt while its key lived: a person must look."""


class Cashier:
    """One per process; `owner` names its leases."""

    def __init__(
        self, database: Database, shops: Shops, rules: Rules, public_url: str, owner: str, crew: Crew,
        jitter: Callable[[], float], clock: Clock,
    ) -> None:  # fmt: skip
        self._database = database
        self._shops = shops
        self._rules = rules
        self._public_url = public_url
        self._claim = Claim(owner, LEASE_S)
        self._crew = crew
        self._jitter = jitter
        self._clock = clock

    def step(self, now: datetime) -> datetime:
        """Take due promises as hands are free; when to look again."""
        free = self._crew.free
        if free > 0:
            for row in self._database.write(self._take, now, free):
                self._crew.submit(partial(self._keep, row))
        with self._database.read() as session:
            return outbox.next_due(session, Lane.PROVIDER) or now + timedelta(seconds=1)

    def keep_now(self, row: OutboxRow) -> None:
        """Keep one promise that the caller has claimed in this cashier's name: the buyer waits for it."""
        self._keep(row)

    def claim_new(
        self, session: Session, payment: Payment, order: Order, provider: Provider, now: datetime
    ) -> OutboxRow:
        """In the transaction that starts a payment: write down its call and take it, so that nobody else sends it."""
        row = next(r for r in outbox.of_order(session, order.id, frozenset({Task.CREATE})) if r.subject == payment.id)
        self._write_down(row, self._prepare_create(provider, payment, order, row.key))
        outbox.take(row, self._claim, now)
        return row

    def _take(self, session: Session, now: datetime, limit: int) -> list[OutboxRow]:
        return list(outbox.claim(session, Lane.PROVIDER, now, Claim(self._claim.owner, LEASE_S, limit)))

    def _keep(self, row: OutboxRow) -> None:
        with self._database.read() as session:
            payment = session.get_one(Payment, row.subject)
            order = session.get_one(Order, row.order_id)
        try:
            provider = self._shops.of_payment(payment)
            outcome = self._ask(provider, row, payment, order)
        except NoCredential as error:
            log.error("%s", error, extra={"order_id": row.order_id})
            self._database.write(self._later, row, NO_CREDENTIAL_RETRY_S, str(error), nothing_done=True)
        except InvalidRequest as error:
            log.error("call would be refused: %s", error, extra={"order_id": row.order_id})
            self._database.write(self._refused, row, error.parameter)
        else:
            self._settle(row, outcome)

    def _ask(
        self, provider: Provider, row: OutboxRow, payment: Payment, order: Order
    ) -> Outcome[PaymentFacts] | Outcome[RefundFacts]:
        if row.reference:
            return provider.fetch_refund(row.reference)
        if row.call_body is None:
            self._write_down(row, self._prepare(provider, row, payment, order))
            self._database.write(self._store_call, row)
        call = PreparedCall(Operation(row.task), row.call_path, row.key, row.call_body or b"")
        return provider.send(call)

    def _prepare(self, provider: Provider, row: OutboxRow, payment: Payment, order: Order) -> PreparedCall:
        provider_id = payment.provider_payment_id or ""
        match Task(row.task):
            case Task.CREATE:
                return self._prepare_create(provider, payment, order, row.key)
            case Task.CAPTURE:
                return provider.prepare_capture(provider_id, row.key)
            case Task.CANCEL:
                return provider.prepare_cancel(provider_id, row.key)
            case Task.REFUND:
                return provider.prepare_refund(provider_id, row.amount, row.key, f"Возврат по заказу {order.id}"[:250])
        raise InvalidRequest("task", f"{row.task} is nothing for a provider")

    def _prepare_create(self, provider: Provider, payment: Payment, order: Order, key: str) -> PreparedCall:
        asked = NewPayment(
            order_id=order.id,
            device_uuid=order.device_uuid,
            payment=payment.id,
            amount=payment.amount,
            description=f"{order.drink_name}, заказ {order.id}"[:128],
            return_url=f"{self._public_url}{status_page_path(order.id)}",
        )
        return provider.prepare_create(asked, key)

    @staticmethod
    def _write_down(row: OutboxRow, call: PreparedCall) -> None:
        row.call_path, row.call_body = call.path, call.body

    @staticmethod
    def _store_call(session: Session, row: OutboxRow) -> None:
        stored = session.get_one(OutboxRow, row.id)
        stored.call_path, stored.call_body = row.call_path, row.call_body

    def _settle(self, row: OutboxRow, outcome: Outcome[PaymentFacts] | Outcome[RefundFacts]) -> None:
        match outcome:
            case Ok(PaymentFacts() as facts):
                self._database.write(self._paid_facts, row, facts)
            case Ok(RefundFacts() as facts):
                self._database.write(self._refund_facts, row, facts)
            case Rejected(key_conflict=True):
                log.error("key %s is taken by another call", row.key, extra={"order_id": row.order_id})
                self._database.write(self._later, row, 300.0, "key conflict", nothing_done=False)
            case Rejected(code=code, parameter=parameter):
                log.error("provider refused %s: %s %s", row.task, code, parameter, extra={"order_id": row.order_id})
                self._database.write(self._refused, row, code)
            case NotOurs():
                log.error("provider does not know the payment to %s", row.task, extra={"order_id": row.order_id})
                self._database.write(self._refused, row, "not_ours")
            case AuthError() | RateLimited() | NotSent():
                self._try_again(row, outcome, nothing_done=True)
            case Unknown():
                self._try_again(row, outcome, nothing_done=False)

    def _try_again(
        self, row: OutboxRow, outcome: AuthError | RateLimited | NotSent | Unknown, nothing_done: bool
    ) -> None:
        retry_after = getattr(outcome, "retry_after_s", None)
        why = f"{type(outcome).__name__}: {getattr(outcome, 'why', '') or getattr(outcome, 'code', '')}"
        log.warning(
            "%s not known to be done (%s)", row.task, why, extra={"order_id": row.order_id, "attempt": row.attempts}
        )
        self._database.write(self._later, row, next_ask(row.attempts, retry_after, self._jitter), why, nothing_done)

    def _paid_facts(self, session: Session, row: OutboxRow, facts: PaymentFacts) -> None:
        now = self._clock()
        payment = session.get_one(Payment, row.subject)
        news = news_of(facts, payment)
        if news is None:
            outbox.put_off(session, row.id, row.claimed_by, now + timedelta(seconds=2), "unknown status")
            return
        outbox.settle(session, row.id, row.claimed_by, DONE, now)
        paying.payment_news(session, payment.id, news, self._rules, now)

    def _refund_facts(self, session: Session, row: OutboxRow, facts: RefundFacts) -> None:
        now = self._clock()
        if facts.status is RefundStatus.SUCCEEDED:
            outbox.settle(session, row.id, row.claimed_by, DONE, now)
            paying.refund_news(session, row.subject, facts.provider_refund_id, facts.amount, now)
        elif facts.status is RefundStatus.CANCELED:
            reason = (facts.cancellation.reason if facts.cancellation else None) or "canceled"
            log.error("refund was canceled by the provider: %s", reason, extra={"order_id": row.order_id})
            self._refused(session, row, reason)
        else:
            session.get_one(OutboxRow, row.id).reference = facts.provider_refund_id
            wait = next_ask(row.attempts, None, self._jitter)
            outbox.put_off(session, row.id, row.claimed_by, now + timedelta(seconds=wait), "refund pending")

    def _refused(self, session: Session, row: OutboxRow, code: str) -> None:
        """The provider's last word on this call. What is still owed is promised anew, later, under a new key."""
        now = self._clock()
        if not outbox.settle(session, row.id, row.claimed_by, REFUSED, now):
            return
        if row.task == Task.CREATE:
            paying.payment_refused(session, row.subject, code, now)
            return
        payment = session.get_one(Payment, row.subject)
        payment.next_check_at = now
        settle_money(session, locked(session, row.order_id), now)

    def _later(self, session: Session, row: OutboxRow, wait_s: float, why: str, nothing_done: bool) -> None:
        now = self._clock()
        stored = session.get_one(OutboxRow, row.id)
        stored.undone += nothing_done
        order = session.get_one(Order, row.order_id)
        never_sent = stored.undone >= stored.attempts
        if row.task == Task.CREATE and never_sent and now >= order.expires_at:
            self._refused(session, row, "unreachable")
        elif not may_replay(stored.first_tried_at or now, now):
            log.error("%s: outcome never learnt, a person must look", row.task, extra={"order_id": row.order_id})
            outbox.settle(session, row.id, row.claimed_by, LOST, now)
        else:
            outbox.put_off(session, row.id, row.claimed_by, now + timedelta(seconds=wait_s), why)


def status_page_path(order_id: str) -> str:
    """Where the buyer comes back to."""
    return f"/v1/order-status-page?order_id={quote(order_id, safe='')}"
