"""Notifications of payments we cannot place: our create's answer may be lost, or not stored yet, or they are forged.

One that names our own payment is asked about like any we can place: nobody else knows that id. The rest is looked at by
the way, and never takes more than its small part of a shop's budget.
"""

import logging
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from functools import partial

from sqlalchemy import select
from sqlalchemy.orm import Session

from cloud.background.loops import Clock
from cloud.database.database import Database
from cloud.database.due import due, latest
from cloud.database.transaction import Transaction
from cloud.fleet.models import PROVIDER_OF
from cloud.orders import archive, paying
from cloud.orders.models import Order, Payment
from cloud.orders.money import PaymentState
from cloud.payments.admission import Launcher, Store
from cloud.payments.budget import HeldBack, Priority
from cloud.payments.expected import expected_of
from cloud.payments.facts import PaymentFacts
from cloud.payments.models import StoredNotification
from cloud.payments.outcomes import NotOurs, Ok
from cloud.payments.provider import Provider
from cloud.payments.provider_clients import NoCredential, ProviderClients
from cloud.payments.stale_answer import MAX_URGENT
from cloud.payments.verification import answer_of

log = logging.getLogger("cloud.payments.status_poller")

ADOPTED = "adopted"
LEASE_S = 45.0
ADOPT_FOR_S = 24 * 3600.0
"""A notification is redelivered for a day; what nobody could place by then is left to reconciliation."""
WITHOUT_KEYS = frozenset({"tbank"})
"""Providers that may open a second payment for a repeated opening, and list none: it is taken in once it has money."""
AT_ONCE = 8
"""Looked at in one step: forged ones are many."""
HELD_BACK_S = 5.0
"""When one that may not be asked about now is looked at again."""


class Unplaced:
    """Asks about what cannot be placed; a payment that turns out to be ours is handed to `check`."""

    def __init__(
        self,
        database: Database,
        clients: ProviderClients,
        launcher: Launcher,
        check: Callable[[Payment], Store],
        clock: Clock,
    ) -> None:
        self._database = database
        self._clients = clients
        self._launcher = launcher
        self._check = check
        self._clock = clock

    def step(self, now: datetime) -> None:
        """Look at some of what is due."""
        for notification in self._database.transact(self._take, now):
            clients = self._clients_to_ask(notification)
            if clients:
                self._begin(clients, notification, now)
            else:
                self._not_ours(notification)

    def _clients_to_ask(self, notification: StoredNotification) -> Sequence[Provider]:
        """The client that opened the payment it names; else those of all merchants that say the shop is theirs.

        The shop's id alone says too little: another may have it with an old key, or at another provider.
        """
        account_id = notification.account_id
        payment = self._database.transact(_named, notification.our_payment) if notification.our_payment else None
        if payment is not None and payment.account_id == account_id:
            try:
                return [self._clients.of_payment(payment)]
            except NoCredential as error:
                log.error("%s", error, extra={"provider_payment": notification.provider_payment_id})
        scenarios = [one for one, provider in PROVIDER_OF.items() if notification.provider in {provider, one}]
        return [client for one in scenarios for client in self._clients.all_of_account(account_id, one)]

    def _begin(
        self, clients: Sequence[Provider], notification: StoredNotification, now: datetime, all_deny: bool = True
    ) -> None:
        """Ask the first of them, and the next ones as long as none knows it."""
        priority = Priority.NOTIFICATION if notification.our_payment else Priority.UNPLACED
        permit = self._clients.admission.admit(clients[0].gate, priority)
        if isinstance(permit, HeldBack):
            wait_s = permit.wait_s if notification.our_payment else max(permit.wait_s, HELD_BACK_S)
            self._database.transact(_look_again, notification.id, now + timedelta(seconds=wait_s))
        else:
            self._launcher.submit(permit, partial(self._adopt, clients, notification, now, all_deny))

    @staticmethod
    def _take(tx: Transaction, now: datetime) -> Sequence[StoredNotification]:
        is_due = due(StoredNotification.look_at, now, latest(now, timedelta(seconds=LEASE_S)))
        unhandled = select(StoredNotification).where(StoredNotification.handled_at.is_(None), is_due)
        first = unhandled.order_by(StoredNotification.our_payment == "", StoredNotification.look_at).limit(AT_ONCE)
        taken = tx.session.scalars(first.with_for_update(skip_locked=True)).all()
        for notification in taken:
            notification.look_at = now + timedelta(seconds=LEASE_S)
        return taken

    def _adopt(
        self, clients: Sequence[Provider], notification: StoredNotification, now: datetime, all_deny: bool
    ) -> Store | None:
        provider, others = clients[0], clients[1:]
        outcome = provider.fetch(notification.provider_payment_id)
        if isinstance(outcome, Ok):
            adopted = self._database.transact(self._place, notification.id, outcome.value, provider.shop.account_id)
            return self._check(adopted) if adopted is not None else None
        all_deny = all_deny and isinstance(outcome, NotOurs)
        if others:
            return partial(self._begin, others, notification, now, all_deny)
        return partial(self._not_ours, notification) if all_deny or _is_old(notification, now) else None

    def _not_ours(self, notification: StoredNotification) -> None:
        facts = {"provider_payment": notification.provider_payment_id}
        log.warning("notification of a payment that is not ours", extra=facts)
        self._database.transact(self._set_aside, notification.id, "not ours")

    def _place(self, tx: Transaction, notification_id: int, facts: PaymentFacts, account_id: str) -> Payment | None:
        """The payment it turned out to be, taken to be asked about. `account_id` is whose answer this is."""
        now = self._clock()
        payment = _named(tx, facts.metadata.get("payment", ""))
        told = tx.session.get_one(StoredNotification, notification_id)
        if payment is None:
            _say_if_lost(tx, facts)
        if payment is not None and payment.account_id != account_id:
            payment = None
        verdict = _verdict(told, facts, payment, now)
        if verdict:
            self._set_aside(tx, notification_id, verdict)
        if payment is None or verdict != ADOPTED:
            return None
        lease = now + timedelta(seconds=LEASE_S)
        if _may_be(payment, facts):
            adopted = paying.adopt(tx, payment.id, facts.provider_payment_id, lease)
        else:
            adopted = paying.adopt_second(tx, payment.id, facts.provider_payment_id, lease, now)
        if adopted.times_told < MAX_URGENT:
            adopted.told_at, adopted.times_told = now, adopted.times_told + 1
        return adopted

    def _set_aside(self, tx: Transaction, notification_id: int, verdict: str) -> None:
        notification = tx.session.get_one(StoredNotification, notification_id)
        notification.handled_at, notification.verdict = self._clock(), verdict


def has_payment(session: Session, named: str) -> bool:
    """Whether what a notification names is a payment of ours."""
    is_here = bool(named) and session.scalar(select(Payment.id).where(Payment.id == named)) is not None
    return is_here or (bool(named) and archive.has_payment(session, named))


def _named(tx: Transaction, payment_id: str) -> Payment | None:
    archive.bring_back_payments(tx, [payment_id])
    return tx.session.get(Payment, payment_id)


def _say_if_lost(tx: Transaction, facts: PaymentFacts) -> None:
    """The order that a payment names is here, and the payment is not: what opened it was committed and lost."""
    order_id = facts.metadata.get("order_id", "")
    if not facts.metadata.get("payment") or not _has_order(tx.session, order_id):
        return
    about = {"order_id": order_id, "provider_payment": facts.provider_payment_id}
    tx.log_after_commit(log.error, "the provider has a payment of this order that is not here", extra=about)


def _has_order(session: Session, order_id: str) -> bool:
    is_here = bool(order_id) and session.scalar(select(Order.id).where(Order.id == order_id)) is not None
    return is_here or (bool(order_id) and archive.holds(session, order_id))


def _verdict(told: StoredNotification, facts: PaymentFacts, payment: Payment | None, now: datetime) -> str:
    """What the notification has come to; "" as long as a second payment may still get money."""
    answer = answer_of(facts, expected_of(payment)) if payment is not None else None
    if payment is not None and _may_be(payment, facts) and answer is not None:
        return ADOPTED
    if payment is None or _may_be(payment, facts) or told.provider not in WITHOUT_KEYS:
        return "no such payment"
    if answer is None or answer.state is PaymentState.PENDING:
        return "not paid" if _is_old(told, now) else ""
    return "not paid" if answer.state is PaymentState.CANCELED else ADOPTED


def _may_be(payment: Payment, facts: PaymentFacts) -> bool:
    return payment.provider_payment_id in {None, facts.provider_payment_id}


def _is_old(notification: StoredNotification, now: datetime) -> bool:
    return now - notification.received_at > timedelta(seconds=ADOPT_FOR_S)


def _look_again(tx: Transaction, notification_id: int, at: datetime) -> None:
    tx.session.get_one(StoredNotification, notification_id).look_at = at
