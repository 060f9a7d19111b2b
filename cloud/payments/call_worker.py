"""Keeps the outbox's promises to the provider, with the same bytes and key until the answer is known.

`step(now)` claims what is due; each call is made outside any transaction; its outcome is settled in one.
"""

import logging
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from functools import partial
from urllib.parse import quote

from sqlalchemy.orm import Session

from cloud.background.loops import Clock, Crew
from cloud.database.database import Database
from cloud.orders import order_tasks, outbox, paying
from cloud.orders.locked_order import Docket, open_docket
from cloud.orders.models import Order, Payment
from cloud.orders.order_tasks import AtHand
from cloud.orders.outbox import Claim, OutboxRow
from cloud.orders.rules import Rules
from cloud.orders.tasks import REFUSED, Task
from cloud.payments import due_calls, openings
from cloud.payments.admission import Dispatcher, Waiting, Work
from cloud.payments.budget import Refusal
from cloud.payments.call_results import ASK_AGAIN_S, CallResults
from cloud.payments.facts import PaymentFacts, RefundFacts
from cloud.payments.lookup import NotCounted, NothingDone, counted_refunds, look_for, refunds_not_counted
from cloud.payments.openings import Openings
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
)
from cloud.payments.provider import InvalidRequest, NewPayment, Operation, PreparedCall, Provider
from cloud.payments.provider_clients import NoCredential, Shops
from cloud.payments.receipts import carried as receipts_carried

log = logging.getLogger("cloud.payments.call_worker")

LEASE_S = 60.0
"""Longer than the slowest call (5 s to connect, 35 s to answer), so that no other worker repeats a call under way."""
IDLE_S = 60.0
NO_CREDENTIAL_RETRY_S = 60.0
BUYERS_PATIENCE_S = 3.0
"""So long a press waits until its call may begin; then whoever looks for due calls makes it."""


Subject = tuple[OutboxRow, Payment, Order]
"""A promise and what it is about."""


class Cashier:
    """One per process; `owner` names its leases."""

    def __init__(
        self, database: Database, shops: Shops, rules: Rules, public_url: str, owner: str, crew: Crew,
        jitter: Callable[[], float], clock: Clock, openings: Openings | None = None,
    ) -> None:  # fmt: skip
        self._database = database
        self._shops = shops
        self._public_url = public_url
        self._claim = Claim(owner, LEASE_S)
        self._crew = crew
        self._dispatcher = Dispatcher(shops.admission, shops.gate_of, crew)
        self._clock = clock
        self._results = CallResults(database, rules, jitter, clock)
        self._openings = openings or Openings(database, owner, clock)

    def step(self, now: datetime) -> datetime:
        """Begin due calls as they may begin; when to look again."""
        idle = now + timedelta(seconds=IDLE_S)
        if self._crew.free <= 0:
            return idle  # a freed slot rings
        with self._database.read() as session:
            waiting, later = due_calls.waiting(session, now)
        again = self._dispatcher.begin(waiting, now, partial(self._take, now))
        return min((at for at in (again, later) if at is not None), default=idle)

    def open(self, row: OutboxRow) -> None:
        """Open a payment that the caller has claimed in this cashier's name. It goes on without the buyer."""
        self._openings.hold(row.key)
        self._crew.submit(partial(self._open, row))

    def wait_for_opening(self, payment_id: str, patience_s: float) -> None:
        """Until this process has done opening it, or for so long."""
        self._openings.wait(paying.create_key(payment_id), patience_s)

    def _open(self, row: OutboxRow) -> None:
        try:
            with self._database.read() as session:
                subject = _subject(session, row)
            self._keep_within(*subject)
        finally:
            self._openings.let_go(row.key)

    def _keep_within(self, row: OutboxRow, payment: Payment, order: Order) -> None:
        """In this thread, if it may begin soon; else it is due again when it may."""
        gate = self._shops.gate_of(payment)
        admission = self._shops.admission
        priority = due_calls.PRIORITIES[row.task]
        permit = admission.admit_within(gate, priority, BUYERS_PATIENCE_S) if gate is not None else None
        if isinstance(permit, Refusal):
            self._database.write(self._results.held_back, row, permit.wait_s)
            return
        try:
            self._keep(row, payment, order)
        finally:
            if permit is not None:
                admission.end(permit)

    def at_hand(self) -> AtHand:
        """For `promises.know_at_hand`: what is due at once is written with its call, and called after the commit."""
        return AtHand(self._claim, self._prepare_at_once)

    def _prepare_at_once(self, docket: Docket, row: OutboxRow) -> Callable[[], None] | None:
        if row.task == Task.CREATE or self._crew.free <= 0:  # a new payment is the checkout's
            return None
        payment = docket.payment(row.subject)
        try:
            provider = self._shops.of_payment(payment, docket.session)
            self._write_down(row, self._prepare(docket.session, provider, row, payment, docket.order))
        except (NoCredential, InvalidRequest):
            return None  # told of, and acted on, by who looks for it
        return partial(self._begin, row, payment, docket.order)

    def _begin(self, row: OutboxRow, payment: Payment, order: Order) -> None:
        """Once a promise that was taken in its own commit is written."""
        gate = self._shops.gate_of(payment)
        permit = self._shops.admission.admit(gate, due_calls.PRIORITIES[row.task]) if gate is not None else None
        if isinstance(permit, Refusal):
            self._crew.submit(partial(self._database.write, self._results.held_back, row, permit.wait_s))
        elif permit is None:
            self._crew.submit(partial(self._keep, row, payment, order))
        else:
            self._dispatcher.submit(permit, partial(self._keep, row, payment, order))

    def claim_new(
        self, session: Session, payment: Payment, order: Order, provider: Provider, now: datetime
    ) -> OutboxRow:
        """In the transaction that starts a payment: write down its call and take it, so that nobody else sends it."""
        row = order_tasks.of(open_docket(session, order.id), paying.create_key(payment.id))
        self._write_down(row, self._prepare_create(session, provider, payment, order, row.key))
        order_tasks.take(row, Claim(self._claim.owner, openings.LEASE_S), now)
        return row

    def take_over(self, session: Session, payment: Payment, now: datetime) -> OutboxRow | None:
        """An opening that nobody is at: taken, so that the caller opens it. Its bytes and key stay as they are."""
        row = order_tasks.of(open_docket(session, payment.order_id), paying.create_key(payment.id))
        if not outbox.is_free(row, now):
            return None
        order_tasks.take(row, Claim(self._claim.owner, openings.LEASE_S), now)
        return row

    def _take(self, now: datetime, of: Waiting, limit: int) -> Sequence[Work]:
        subjects = self._database.write(self._claim_some, of, now, limit)
        return [partial(self._keep_held, *subject) for subject in subjects]

    def _claim_some(self, session: Session, of: Waiting, now: datetime, limit: int) -> list[Subject]:
        lease_s = openings.LEASE_S if of.kind in {Task.CREATE, due_calls.STALE} else LEASE_S
        rows = due_calls.claim(session, of, now, Claim(self._claim.owner, lease_s, limit))
        return [_subject(session, row) for row in rows]

    def _keep_held(self, row: OutboxRow, payment: Payment, order: Order) -> None:
        """An opening's lease is short, and renewed as long as it takes."""
        if row.task != Task.CREATE:
            self._keep(row, payment, order)
            return
        with self._openings.holding(row.key):
            self._keep(row, payment, order)

    def _keep(self, row: OutboxRow, payment: Payment, order: Order) -> None:
        try:
            now = self._clock()
            is_too_late = row.task == Task.CREATE and now >= order.expires_at
            if is_too_late and not _was_begun(row):
                self._database.write(self._results.refused, row, paying.EXPIRED)
                return
            provider = self._shops.of_payment(payment)
            if is_too_late or _may_not_be_sent(row, now):
                self._look(provider, row, payment)
                return
            if not self._may_be_asked_anew(provider, row, payment):
                return
            outcome = self._ask(provider, row, payment, order)
        except NoCredential as error:
            log.error("%s", error, extra={"order_id": row.order_id})
            self._database.write(self._results.later, row, NO_CREDENTIAL_RETRY_S, str(error), nothing_done=True)
        except InvalidRequest as error:
            log.error("call would be refused: %s", error, extra={"order_id": row.order_id})
            self._database.write(self._results.refused, row, error.parameter)
        else:
            if _is_in_doubt(row, outcome):
                self._look(provider, row, payment)
            else:
                self._results.settle(row, outcome)

    def _look(self, provider: Provider, row: OutboxRow, payment: Payment) -> None:
        """It may have been done, and may not be sent again: the provider's own books tell."""
        with self._database.read() as session:
            counted = counted_refunds(session, payment.id)
        match look_for(provider, row, payment, counted):
            case NothingDone() if row.task != Task.CREATE:
                self._database.write(self._results.refused, row, "not_found")
            case NothingDone() if not _may_not_be_sent(row, self._clock()):
                self._database.write(self._results.nothing_found, row)
            case NothingDone() | Rejected() | NotOurs():
                self._database.write(self._results.lost, row, self._clock())
            case NotCounted():
                self._database.write(self._results.count_first, row, nothing_done=False)
            case AuthError() | RateLimited() | NotSent() | Unknown() as unanswered:
                self._results.try_again(row, unanswered, nothing_done=False)
            case Ok() as found:
                self._results.settle(row, found)

    def _may_be_asked_anew(self, provider: Provider, row: OutboxRow, payment: Payment) -> bool:
        """Before a return refused under another key is asked for: do the provider's books hold none that ours lack?"""
        if row.task != Task.REFUND or row.reference or _was_begun(row):
            return True
        with self._database.read() as session:
            earlier = outbox.of_order(session, row.order_id, frozenset({Task.REFUND}))
            counted = counted_refunds(session, payment.id)
        if not any((other.subject, other.verdict) == (row.subject, REFUSED) for other in earlier):
            return True
        match refunds_not_counted(provider, payment, counted):
            case Ok(value=lacking) if not lacking:
                return True
            case Ok():
                self._database.write(self._results.count_first, row, nothing_done=True)
            case AuthError() | RateLimited() | NotSent() | Unknown() as unanswered:
                self._results.try_again(row, unanswered, nothing_done=True)
            case Rejected() | NotOurs():
                log.error("provider does not tell of refunds", extra={"order_id": row.order_id})
                self._database.write(self._results.later, row, ASK_AGAIN_S, "refunds not told of", nothing_done=True)
        return False

    def _ask(
        self, provider: Provider, row: OutboxRow, payment: Payment, order: Order
    ) -> Outcome[PaymentFacts] | Outcome[RefundFacts]:
        if row.reference:
            return provider.fetch_refund(row.reference)
        if row.call_body is None:
            with self._database.read() as session:
                self._write_down(row, self._prepare(session, provider, row, payment, order))
            self._database.write(outbox.write_down, row)
        call = PreparedCall(Operation(row.task), row.call_path, row.key, row.call_body or b"")
        return provider.send(call)

    def _prepare(
        self, session: Session, provider: Provider, row: OutboxRow, payment: Payment, order: Order
    ) -> PreparedCall:
        provider_id = payment.provider_payment_id or ""
        match Task(row.task):
            case Task.CREATE:
                return self._prepare_create(session, provider, payment, order, row.key)
            case Task.CAPTURE:
                return provider.prepare_capture(provider_id, row.key)
            case Task.CANCEL:
                return provider.prepare_cancel(provider_id, row.key)
            case Task.REFUND:
                receipt = receipts_carried.for_refund(session, payment, row.amount)
                words = f"Возврат по заказу {order.id}"[:250]
                return provider.prepare_refund(provider_id, row.amount, row.key, words, receipt)
        raise InvalidRequest("task", f"{row.task} is nothing for a provider")

    def _prepare_create(
        self, session: Session, provider: Provider, payment: Payment, order: Order, key: str
    ) -> PreparedCall:
        asked = NewPayment(
            order_id=order.id,
            device_uuid=order.device_uuid,
            payment=payment.id,
            amount=payment.amount,
            description=f"{order.drink_name}, заказ {order.id}"[:128],
            return_url=f"{self._public_url}{status_page_path(order.id)}",
            receipt=receipts_carried.for_payment(session, payment),
        )
        return provider.prepare_create(asked, key)

    @staticmethod
    def _write_down(row: OutboxRow, call: PreparedCall) -> None:
        row.call_path, row.call_body = call.path, call.body


def _may_not_be_sent(row: OutboxRow, now: datetime) -> bool:
    """Sent before, for all we know, under a key forgotten by now. Asking about a refund by its id is always well."""
    begun = _was_begun(row) and not row.reference
    return begun and row.first_tried_at is not None and not may_replay(row.first_tried_at, now)


def _is_in_doubt(row: OutboxRow, outcome: object) -> bool:
    """A refund refused now may have been made by an earlier sending whose answer was lost: in parts it fits twice."""
    refused = isinstance(outcome, NotOurs) or (isinstance(outcome, Rejected) and not outcome.key_conflict)
    return refused and row.task == Task.REFUND and _was_begun(row) and not row.reference


def _was_begun(row: OutboxRow) -> bool:
    """An attempt before the one under way may have done it."""
    return row.attempts > row.undone + 1


def _subject(session: Session, row: OutboxRow) -> Subject:
    return row, session.get_one(Payment, row.subject), session.get_one(Order, row.order_id)


def status_page_path(order_id: str) -> str:
    """Where the buyer comes back to."""
    return f"/v1/order-status-page?order_id={quote(order_id, safe='')}"
