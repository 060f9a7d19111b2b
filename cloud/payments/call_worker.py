"""Calls providers as the outbox asks, with the same bytes and key until the outcome is known.

`step(now)` claims what is due; each call is sent outside any transaction; `call_decision` says what follows from its
answer, and `call_results` writes that down.
"""

import logging
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from functools import partial

from sqlalchemy.orm import Session

from cloud.background.loops import Clock, PoolClosed, ThreadPool
from cloud.database.database import Database
from cloud.database.transaction import Transaction
from cloud.orders import order_tasks, outbox, paying
from cloud.orders.locked_order import LockedOrder, lock_order
from cloud.orders.models import Order, Payment
from cloud.orders.order_limits import OrderLimits
from cloud.orders.order_tasks import LaneWorker
from cloud.orders.outbox import Lease, OutboxRow
from cloud.orders.owed_tasks import awaits_decision
from cloud.orders.tasks import REFUSED, Task
from cloud.payments import call_decision, due_calls, openings
from cloud.payments.admission import Gate, Launcher, Store, Waiting, Work
from cloud.payments.budget import ENDING, HeldBack
from cloud.payments.call_answers import Answer, Question
from cloud.payments.call_decision import Attempt, Call, Decision, Investigate, Retry, Send, Settled, Went, held_back
from cloud.payments.call_results import CallResults
from cloud.payments.facts import PaymentFacts, RefundFacts
from cloud.payments.lookup import count_refunds, counted_refunds, look_for, went_back_since
from cloud.payments.openings import Openings
from cloud.payments.outcomes import LEASE_OVER, Outcome
from cloud.payments.prepared_calls import prepare, prepared
from cloud.payments.provider import InvalidRequest, Provider
from cloud.payments.provider_clients import NoCredential, ProviderClients

log = logging.getLogger("cloud.payments.call_worker")

LEASE_S = 60.0
"""Longer than the slowest call (5 s to connect, 35 s to answer), so that no other worker repeats a call under way."""
IDLE_S = 60.0
NO_CREDENTIAL_RETRY_S = 60.0
BUYERS_PATIENCE_S = 3.0
"""So long a press waits until its call may begin; then the worker that looks for due calls makes it."""


Subject = tuple[OutboxRow, Payment, Order]
"""A task and what it is about."""


class CallWorker:
    """One per process; `owner` names its leases."""

    def __init__(
        self, database: Database, clients: ProviderClients, rules: OrderLimits, public_url: str, owner: str,
        pool: ThreadPool, jitter: Callable[[], float], clock: Clock, openings: Openings | None = None,
    ) -> None:  # fmt: skip
        self._database = database
        self._clients = clients
        self._public_url = public_url
        self._lease = Lease(owner, LEASE_S)
        self._pool = pool
        self._launcher = Launcher(clients.admission, clients.gate_of, pool)
        self._clock = clock
        self._results = CallResults(database, rules, jitter, clock)
        self._openings = openings or Openings(database, owner, clock)

    def step(self, now: datetime) -> datetime:
        """Begin due calls as they may begin; when to look again."""
        idle = now + timedelta(seconds=IDLE_S)
        if self._pool.free <= 0:
            return idle  # a freed slot wakes us
        with self._database.read() as session:
            waiting, later = due_calls.waiting(session, now)
        again = self._launcher.begin(waiting, now, self._take)
        return min((at for at in (again, later) if at is not None), default=idle)

    def open(self, row: OutboxRow) -> None:
        """Open a payment that the caller has claimed in its name. It goes on without the buyer."""
        self._openings.hold(row.key)
        self._pool.submit(partial(self._open, row))

    def wait_for_opening(self, payment_id: str, patience_s: float) -> None:
        """Until this process has done opening it, or for so long."""
        self._openings.wait(paying.create_key(payment_id), patience_s)

    def _open(self, row: OutboxRow) -> None:
        try:
            with self._database.read() as session:
                subject = _subject(session, row)
            self._carry_out_within(*subject)
        finally:
            self._openings.let_go(row.key)

    def _carry_out_within(self, row: OutboxRow, payment: Payment, order: Order) -> None:
        """In this thread, if it may begin soon; else it is due again when it may."""
        gate = self._clients.gate_of(payment)
        admission = self._clients.admission
        priority = due_calls.PRIORITIES[row.task]
        permit = admission.admit_within(gate, priority, BUYERS_PATIENCE_S) if gate is not None else None
        if isinstance(permit, HeldBack):
            self._results.apply(row, held_back(permit.wait_s))
            return
        try:
            store = self._carry_out(row, payment, order)
        finally:
            if permit is not None:
                admission.end(permit)
        store()

    def lane_worker(self) -> LaneWorker:
        """Given a task by `order_tasks.add_task`: it is written with its call, and called after the commit."""
        return LaneWorker(self._lease, self._prepare_at_once)

    def _prepare_at_once(self, locked: LockedOrder, row: OutboxRow) -> Callable[[], None] | None:
        if row.task == Task.CREATE or self._pool.free <= 0:  # a new payment is the checkout's
            return None
        if awaits_decision(locked, row):
            return None
        payment = locked.payment(row.subject)
        try:
            provider = self._clients.of_payment(payment, locked.tx)
            prepare(locked.tx.connection, provider, row, payment, locked.order, self._public_url)
        except (NoCredential, InvalidRequest):
            return None  # the worker that looks for due calls says so and acts on it
        return partial(self._begin, provider.gate, row, payment, locked.order)

    def _begin(self, gate: Gate, row: OutboxRow, payment: Payment, order: Order) -> None:
        """Once a task that was taken in its own commit is written. What may not begin here is given back."""
        permit = self._clients.admission.admit(gate, due_calls.PRIORITIES[row.task])
        if isinstance(permit, HeldBack):
            self._give_back(row, 0.0 if permit.why == ENDING else permit.wait_s)
            return
        try:
            self._launcher.submit(permit, partial(self._carry_out, row, payment, order))
        except PoolClosed:
            self._give_back(row, 0.0)

    def _give_back(self, row: OutboxRow, wait_s: float) -> None:
        self._results.apply(row, held_back(wait_s), deferred=True)

    def claim_new(
        self, tx: Transaction, payment: Payment, order: Order, provider: Provider, now: datetime, language: str = ""
    ) -> OutboxRow:
        """In the transaction that starts a payment: write down its call and take it, so that nobody else sends it."""
        row = order_tasks.task_of(lock_order(tx, order.id), paying.create_key(payment.id))
        prepare(tx.connection, provider, row, payment, order, self._public_url, language)
        outbox.claim_row(row, Lease(self._lease.owner, openings.LEASE_S), now)
        return row

    def take_over(self, tx: Transaction, payment: Payment, now: datetime) -> OutboxRow | None:
        """An opening that nobody is at: taken, so that the caller opens it. Its bytes and key stay as they are."""
        row = order_tasks.task_of(lock_order(tx, payment.order_id), paying.create_key(payment.id))
        if not outbox.is_free(row, now):
            return None
        outbox.claim_row(row, Lease(self._lease.owner, openings.LEASE_S), now)
        return row

    def _take(self, of: Waiting, limit: int) -> Sequence[Work]:
        subjects = self._database.transact(self._claim_some, of, limit)
        return [partial(self._hold_and_carry_out, *subject) for subject in subjects]

    def _claim_some(self, tx: Transaction, of: Waiting, limit: int) -> list[Subject]:
        """By the moment it is done: to the old one of a process that stood still, the leases of others mean nothing."""
        now = self._clock()
        lease_s = openings.LEASE_S if of.kind in {Task.CREATE, due_calls.STALE} else LEASE_S
        rows = due_calls.claim(tx, of, now, Lease(self._lease.owner, lease_s, limit))
        return [_subject(tx.session, row) for row in rows]

    def _hold_and_carry_out(self, row: OutboxRow, payment: Payment, order: Order) -> Store | None:
        """An opening's lease is short, and renewed until what came of it is stored."""
        if row.task != Task.CREATE:
            return self._carry_out(row, payment, order)
        with self._openings.holding(row.key):
            self._carry_out(row, payment, order)()
        return None

    def _carry_out(self, row: OutboxRow, payment: Payment, order: Order) -> Store:
        """Ask until the table of `call_decision` says how it ends for now."""
        answer: Answer | None = None
        was_refused, went_back = self._earlier_returns(row)
        decision: Decision = call_decision.begin(
            self._call_of(row, order), was_refused=was_refused, went_back=went_back
        )
        try:
            while isinstance(decision, Investigate | Send):
                asked = decision.question if isinstance(decision, Investigate) else Question.SEND
                answer = self._ask(asked, row, payment, order)
                decision = call_decision.decide(self._call_of(row, order), asked, answer)
        except NoCredential as error:
            log.error("%s", error, extra={"order_id": row.order_id})
            answer, decision = None, Retry(Attempt.DID_NOTHING, NO_CREDENTIAL_RETRY_S, str(error))
        except InvalidRequest as error:
            log.error("call would be refused: %s", error, extra={"order_id": row.order_id})
            answer, decision = None, Settled(REFUSED, error.parameter)
        return partial(self._results.apply, row, decision, answer)

    def _call_of(self, row: OutboxRow, order: Order) -> Call:
        return call_decision.call_of(row, order.expires_at, self._clock())

    def _earlier_returns(self, row: OutboxRow) -> tuple[bool, Went]:
        """Whether another call for this return was refused, and what went back since it was first tried."""
        if row.task != Task.REFUND:
            return False, Went.NOTHING
        with self._database.read() as session:
            earlier = outbox.of_order(session, row.order_id, frozenset({Task.REFUND}))
            went_back = went_back_since(session, row)
        return any((other.subject, other.verdict) == (row.subject, REFUSED) for other in earlier), went_back

    def _ask(self, asked: Question, row: OutboxRow, payment: Payment, order: Order) -> Answer:
        """One question to the provider, outside any transaction. Raises `NoCredential`, `InvalidRequest`."""
        provider = self._clients.of_payment(payment)
        if asked is Question.SEND:
            return self._send(provider, row, payment, order)
        with self._database.read() as session:
            counted = counted_refunds(session, payment.id)
        if asked is Question.COUNT:
            return count_refunds(provider, payment, counted)
        return look_for(provider, row, payment, counted)

    def _send(
        self, provider: Provider, row: OutboxRow, payment: Payment, order: Order
    ) -> Outcome[PaymentFacts] | Outcome[RefundFacts]:
        if row.reference:
            return provider.fetch_refund(row.reference)
        if row.call_body is None:
            with self._database.read() as session:
                prepare(session.connection(), provider, row, payment, order, self._public_url)
            self._database.transact(outbox.write_down, row)
        call = prepared(row)
        return provider.send(call) if call.is_ours_at(self._clock()) else LEASE_OVER


def _subject(session: Session, row: OutboxRow) -> Subject:
    return row, session.get_one(Payment, row.subject), session.get_one(Order, row.order_id)
