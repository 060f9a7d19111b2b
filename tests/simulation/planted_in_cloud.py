"""The planted bugs of the cloud, each as patches of real functions."""

from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from typing import Any
from unittest.mock import patch

import msgspec
from sqlalchemy import false, select

from cloud.courier import publisher
from cloud.courier.outgoing import OutgoingCommand
from cloud.courier.publisher import Publication, Publisher
from cloud.courier.welcomes import Welcomes, tell
from cloud.database import due
from cloud.database.transaction import Transaction
from cloud.orders import ledger, making, money, order_tasks, outbox, paying, states, status_change, unpaid
from cloud.orders.locked_order import LockedOrder, lock_order, lock_order_of_payment
from cloud.orders.models import MakeCommand, Order, Payment
from cloud.orders.money import PaymentAnswer, PaymentState
from cloud.orders.order_limits import OrderLimits
from cloud.orders.outbox import OutboxRow
from cloud.orders.states import Event, Status
from cloud.orders.tasks import DONE, Task
from cloud.payments import (
    budget,
    call_decision,
    call_worker,
    inbox,
    openings,
    provider_clients,
    status_poller,
)
from cloud.payments.admission import Store
from cloud.payments.budget import Priority
from cloud.payments.call_answers import Answer, Question
from cloud.payments.call_decision import Call, Decision
from cloud.payments.call_worker import CallWorker
from cloud.payments.facts import PaymentFacts
from cloud.payments.inbox import Reception
from cloud.payments.notification import Notification
from cloud.payments.outcomes import Ok, Rejected, Unknown
from cloud.payments.provider import Provider
from cloud.payments.provider_clients import ProviderClients
from cloud.payments.status_poller import StatusPoller
from protocol.messages import Query
from protocol.topics import Channel
from tests.simulation.here import rules_here

Patches = list[AbstractContextManager[Any]]


def webhook_believed() -> Patches:
    receive = inbox.receive

    def believe(tx: Transaction, told: Notification, now: datetime) -> Reception:
        received = receive(tx, told, now)
        paid = tx.session.scalar(select(Payment.id).where(Payment.provider_payment_id == told.provider_payment_id))
        if paid is not None and told.event == "payment.waiting_for_capture":
            answer = PaymentAnswer(PaymentState.HELD, told.provider_payment_id)
            paying.record_payment_answer(tx, paid, answer, rules_here(), now)
        return received

    return [patch.object(inbox, "receive", believe)]


def settled_at_puback() -> Patches:
    def settle(self: Publisher, locked: LockedOrder, issued: MakeCommand, publication: Publication) -> bool:
        key = publication.row.key
        return order_tasks.settle_task(locked, key, self._owner, DONE, self._clock())

    return [patch.object(Publisher, "_was_sent", settle)]


def hello_refuses() -> Patches:
    def ask(self: Welcomes, commands: Sequence[MakeCommand], _now: datetime) -> None:
        for command in commands:
            question = Query(commands=[making.asked_about(command)])
            tell(self._link, command.device_uuid, question, Channel.COMMAND)

    return [patch.object(Welcomes, "_find_out", ask)]


def late_done_ignored() -> Patches:
    without = {pair: after for pair, after in states.TRANSITIONS.items() if pair != (_FAILED, Event.MACHINE_DONE)}
    return [patch.dict(states.TRANSITIONS, without, clear=True)]


def accepted_is_made() -> Patches:
    wrong = {(before, Event.MACHINE_ACCEPTED): Status.SUCCESSFUL for before in (Status.PAID, Status.MAKE_PENDING)}
    return [patch.dict(states.TRANSITIONS, wrong)]


def nobody_captures() -> Patches:
    return [patch.object(money, "_owed_for_poured", lambda *_: None)]


def poured_is_free() -> Patches:
    """And the books call each drink goodwill, as they do where a return went out before its "done"."""
    owed = money._owed_for_poured

    def let_go(payment: money.PaymentSnapshot, back: int) -> money.Due:
        return replace(owed(payment, back), task=Task.CANCEL if payment.state is PaymentState.HELD else Task.REFUND)

    return [patch.object(money, "_owed_for_poured", let_go)]


def holds_left() -> Patches:
    return_ = money._return

    def only_captured(payment: money.PaymentSnapshot, *more: Any) -> money.Due | None:
        return None if payment.state is PaymentState.HELD else return_(payment, *more)

    return [patch.object(money, "_return", only_captured)]


def late_money_skipped() -> Patches:
    answered = paying.record_payment_answer

    def skip(
        tx: Transaction, payment_id: str, answer: PaymentAnswer, rules: OrderLimits, now: datetime, *refunds: Any
    ) -> None:
        locked, payment = lock_order_of_payment(tx, payment_id)
        if now > locked.order.expires_at:
            payment.next_check_at = None
        else:
            answered(tx, payment_id, answer, rules, now, *refunds)

    return [patch.object(paying, "record_payment_answer", skip)]


def poller_stops() -> Patches:
    next_check = paying.next_check

    def stop(payment: Payment, rules: OrderLimits, now: datetime) -> datetime | None:
        is_over = (now - payment.started_at).total_seconds() > rules.order_expiration_s
        return None if is_over else next_check(payment, rules, now)

    return [patch.object(paying, "next_check", stop)]


def manual_make_waits() -> Patches:
    passed = making.handle_deadline

    def forget(tx: Transaction, order_id: str, rules: OrderLimits, now: datetime) -> None:
        order = lock_order(tx, order_id).order
        if order.status == Status.MANUAL_MAKE:
            order.due_at = None
        else:
            passed(tx, order_id, rules, now)

    return [patch.object(making, "handle_deadline", forget)]


def denial_believed() -> Patches:
    """An agent that lost its folder says "never received" of what the machine had taken in our hearing."""
    return [patch.object(making, "INFERRED", frozenset())]


def unknown_is_refusal() -> Patches:
    decide = call_decision.decide

    def refuse(call: Call, asked: Question, answer: Answer) -> Decision:
        return decide(call, asked, Rejected("failed") if isinstance(answer, Unknown) else answer)

    return [patch.object(call_decision, "decide", refuse)]


def key_per_try() -> Patches:
    send = CallWorker._send

    def with_new_key(self: CallWorker, provider: Any, row: OutboxRow, payment: Payment, order: Order) -> Any:
        kept, row.key = row.key, f"{row.key}-{row.attempts}"[:64]
        try:
            return send(self, provider, row, payment, order)
        finally:
            row.key = kept

    return [patch.object(CallWorker, "_send", with_new_key)]


def settled_before_sent() -> Patches:
    carry_out = CallWorker._carry_out

    def settle(tx: Transaction, row: OutboxRow, now: datetime) -> None:
        order_tasks.settle_task(lock_order(tx, row.order_id), row.key, row.claimed_by, "done", now)

    def settle_first(self: CallWorker, row: OutboxRow, payment: Payment, order: Order) -> Store:
        self._database.transact(settle, row, self._clock())
        return carry_out(self, row, payment, order)

    return [patch.object(CallWorker, "_carry_out", settle_first)]


def silence_is_cancelled() -> Patches:
    check = StatusPoller._check

    def guess(self: StatusPoller, payment: Payment) -> Store:
        provider = self._clients.of_payment(payment)
        outcome = provider.fetch(payment.provider_payment_id or "")
        if isinstance(outcome, Ok):
            return check(self, payment)
        answer = PaymentAnswer(PaymentState.CANCELED, payment.provider_payment_id or "")
        return partial(
            self._database.transact, paying.record_payment_answer, payment.id, answer, self._rules, self._clock()
        )

    return [patch.object(StatusPoller, "_check", guess)]


def refund_booked_twice() -> Patches:
    movement = ledger._movement

    def always_new(payment: Payment, kind: str, amount: int, now: datetime, reference: str) -> dict[str, Any]:
        return movement(payment, kind, amount, now, f"{reference}{now:%H%M%S%f}" if reference else "")

    return [patch.object(ledger, "_movement", always_new)]


def polls_take_it_all() -> Patches:
    """Notifications wait in one queue with the polls of all who only look."""
    return [
        patch.dict(budget._KEPT_BACK, dict.fromkeys(Priority, 0.0)),
        patch.object(status_poller, "_priority_of", lambda _is_told: Priority.POLL),
    ]


def one_client() -> Patches:
    client = ProviderClients._client

    def shared(self: ProviderClients, credential: Any) -> Any:
        with self._lock:
            if self._clients:
                return next(iter(self._clients.values()))[1]
        return client(self, credential)

    return [patch.object(ProviderClients, "_client", shared)]


def refunds_asked_later() -> Patches:
    """The answer is stored, which may end the asking, and only then its refunds are asked for."""
    check = StatusPoller._check

    def in_two_commits(self: StatusPoller, payment: Payment) -> Store:
        provider = self._clients.of_payment(payment)
        outcome = provider.fetch(payment.provider_payment_id or "")
        if not isinstance(outcome, Ok):
            return check(self, payment)
        self._database.transact(self._answered, payment, outcome.value, {})
        return partial(refunds, self, payment, provider, outcome.value)

    def refunds(self: StatusPoller, payment: Payment, provider: Provider, facts: PaymentFacts) -> None:
        told = status_poller._refunds_of(payment, facts, provider)
        for refund_id, amount in (told or {}).items():
            self._database.transact(paying.record_refund_succeeded, payment.id, refund_id, amount, self._clock())

    return [patch.object(StatusPoller, "_check", in_two_commits)]


def returned_money_pours() -> Patches:
    paid = paying._apply_money

    def pours(locked: LockedOrder, payment: Payment, answer: PaymentAnswer, rules: OrderLimits, now: datetime) -> None:
        paid(locked, payment, replace(answer, refunded=0), rules, now)

    return [patch.object(paying, "_apply_money", pours)]


def gone_money_pours() -> Patches:
    return [patch.object(unpaid, "stop_what_nobody_pays_for", lambda _docket, _now: None)]


def left_shop_forgotten() -> Patches:
    return [patch.object(provider_clients, "_LEFT", provider_clients._LEFT.where(false()))]


def lease_for_ever() -> Patches:
    """And no lease is too long to be true."""
    of_modules: list[tuple[Any, str, Any]] = [
        (call_worker, "LEASE_S", 1e7),
        (openings, "LEASE_S", 1e7),
        (outbox, "free_all", lambda _tx: None),
        (outbox, "LONGEST_LEASE", timedelta(days=1000)),
    ]
    return [patch.object(*each) for each in of_modules]


def no_slack() -> Patches:
    """A date that another has written a blink ahead of us was never meant, and is due at once."""
    return [patch.object(due, "SLACK", timedelta(0))]


def command_id_per_sending() -> Patches:
    message_of = publisher._message_of

    def another(sent: OutgoingCommand, now: datetime) -> publisher.Publication | None:
        publication = message_of(sent, now)
        if publication is None or not hasattr(publication.message, "attempt"):
            return publication
        command_id = f"{sent.command.id[:40]}-{sent.row.attempts}"
        return replace(publication, message=msgspec.structs.replace(publication.message, command_id=command_id))

    return [patch.object(publisher, "_message_of", another)]


def silence_is_certainty() -> Patches:
    failed = making._fail_order

    def certain(locked: LockedOrder, rules: OrderLimits, now: datetime, *, uncertain: bool) -> None:
        failed(locked, rules, now, uncertain=False)

    return [patch.object(making, "_fail_order", certain)]


def poured_again() -> Patches:
    def pour(tx: Transaction, order_id: str, actor: str, rules: OrderLimits, now: datetime) -> None:
        locked = lock_order(tx, order_id)
        if locked.order.status in {Status.MANUAL_MAKE, Status.MAKE_FAILED}:
            status_change.apply_event(locked, Event.MAKE_REQUESTED, actor, now)
            making.issue_command(locked, rules, now)

    wrong = {(_FAILED, Event.MAKE_REQUESTED): Status.PAID}
    return [patch.object(making, "pour_now", pour), patch.dict(states.TRANSITIONS, wrong)]


_FAILED = Status.MAKE_FAILED
