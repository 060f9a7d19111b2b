"""Follows every receipt to the end of its registration: no notification tells of it, so the provider is asked.

`step(now)` takes what is due; what it learns is stored, and a receipt that fails is an error in the log with its order.
"""

import logging
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from functools import partial

from sqlalchemy import Integer, bindparam, func, select, update

from cloud.background.loops import Clock, ThreadPool
from cloud.database.base import UtcDateTime
from cloud.database.database import Database
from cloud.database.due import due, is_due, latest
from cloud.database.transaction import Transaction
from cloud.orders import receipts
from cloud.orders.models import Payment
from cloud.orders.receipts import Receipt, ReceiptState
from cloud.payments.budget import HeldBack, Priority
from cloud.payments.facts import PaymentFacts, RefundFacts
from cloud.payments.outcomes import Ok, Outcome
from cloud.payments.provider import Provider
from cloud.payments.provider_clients import NoCredential, ProviderClients

log = logging.getLogger("cloud.payments.receipts.building")

RECEIPTS = "receipts"
"""The topic that wakes this loop when a receipt may be worth looking at."""
IDLE_S = 60.0
"""Nothing new is due sooner, but for refunds: the loop's own look each second finds those."""
LEASE_S = 30.0
"""Longer than the slowest answer: what a dying worker held is looked at again after it."""
HELD_BACK_S = 5.0
"""Receipts hurry nobody: one that may not be asked about now is not asked about again at once."""
FIRST_ASK_S = 15.0
"""Registration takes about a minute; each further question waits twice as long as the one before."""
LONGEST_ASK_S = 3600.0
OVERDUE_S = 3 * 24 * 3600.0
"""Still `pending` by then is for the provider's support (docs/receipts.md)."""
OVERDUE_ASK_S = 6 * 3600.0
LONGEST_WAIT = timedelta(seconds=OVERDUE_ASK_S)
GIVE_UP_S = 30 * 24 * 3600.0

_LAST_WORDS = {"succeeded": ReceiptState.SUCCEEDED, "canceled": ReceiptState.CANCELED}
_SOONEST = select(func.min(Receipt.next_check_at))
_DUE = (
    select(Receipt.id)
    .where(due(Receipt.next_check_at, bindparam("now", type_=UtcDateTime()), bindparam("beyond", type_=UtcDateTime())))
    .order_by(Receipt.next_check_at)
    .limit(bindparam("limit", type_=Integer()))
    .with_for_update(skip_locked=True)
    .cte("due")  # taken out once and for all: PostgreSQL could run a subquery again and again
)
_TAKE_DUE = (
    update(Receipt)
    .where(Receipt.id.in_(select(_DUE.c.id)))
    .values(next_check_at=bindparam("lease_until", type_=UtcDateTime()))
    .returning(Receipt)
    .execution_options(synchronize_session=False)
)


def wait_s(asked: int, waited_s: float, jitter: float) -> float | None:
    """Seconds to the next question after `asked` of them, `waited_s` after money moved; None to give up.

    `jitter`, from [0, 1), takes up to a fifth off.
    """
    if waited_s >= GIVE_UP_S:
        return None
    growing = min(FIRST_ASK_S * 2.0 ** min(asked, 20), LONGEST_ASK_S)
    return (OVERDUE_ASK_S if waited_s >= OVERDUE_S else growing) * (1.0 - 0.2 * jitter)


class Registration:
    """One per process; several processes share the work by leases."""

    def __init__(
        self, database: Database, clients: ProviderClients, pool: ThreadPool, jitter: Callable[[], float], clock: Clock
    ) -> None:
        self._database = database
        self._clients = clients
        self._pool = pool
        self._jitter = jitter
        self._clock = clock

    def step(self, now: datetime) -> datetime:
        """Look at what is due as slots are free; when to look again."""
        idle = now + timedelta(seconds=IDLE_S)
        free = self._pool.free
        if free <= 0:
            return idle  # a freed slot wakes us
        soonest = self._soonest()
        if soonest is None or not is_due(soonest, now, LONGEST_WAIT):
            return soonest or idle  # merchants without receipts cost one look at an index
        for receipt in self._database.transact(self._take_due, now, free):
            self._pool.submit(partial(self._follow, receipt))
        return self._soonest() or idle

    def _soonest(self) -> datetime | None:
        with self._database.read() as session:
            return session.scalar(_SOONEST)

    @staticmethod
    def _take_due(tx: Transaction, now: datetime, limit: int) -> Sequence[Receipt]:
        lease_until = now + timedelta(seconds=LEASE_S)
        wanted = {"now": now, "limit": limit, "lease_until": lease_until, "beyond": latest(now, LONGEST_WAIT)}
        return tx.session.scalars(_TAKE_DUE, wanted).all()

    def _follow(self, taken: Receipt) -> None:
        payment = self._database.transact(receipts.look, taken.id, self._clock())
        if payment is None:
            return
        told = self._told(taken, payment)
        if isinstance(told, HeldBack):
            again_at = self._clock() + timedelta(seconds=max(told.wait_s, HELD_BACK_S))
            self._database.transact(receipts.postpone_check, taken.id, again_at)
            return
        last_word = _LAST_WORDS.get(told or "")
        if last_word is not None:
            self._database.transact(receipts.record_decision, taken.id, last_word, self._clock())
        else:
            self._database.transact(self._wait, taken, self._clock())

    def _told(self, receipt: Receipt, payment: Payment) -> str | HeldBack | None:
        """What the provider says of the registration; None when it says nothing or cannot be asked."""
        try:
            provider = self._clients.of_payment(payment)
        except NoCredential as error:
            log.error("%s", error, extra={"order_id": receipt.order_id})
            return None
        permit = self._clients.admission.admit(provider.gate, Priority.RECEIPT)
        if isinstance(permit, HeldBack):
            return permit
        try:
            return _ask(provider, receipt, payment)
        finally:
            self._clients.admission.end(permit)

    def _wait(self, tx: Transaction, taken: Receipt, now: datetime) -> None:
        waited_s = (now - (taken.since or now)).total_seconds()
        wait = wait_s(taken.checks, waited_s, self._jitter())
        if waited_s >= OVERDUE_S:
            receipts.mark_overdue(tx, taken.id, now)
        if wait is None:
            receipts.give_up(tx, taken.id, now)
        else:
            receipts.record_pending(tx, taken.id, now + timedelta(seconds=wait))


def _ask(provider: Provider, receipt: Receipt, payment: Payment) -> str | None:
    outcome: Outcome[PaymentFacts] | Outcome[RefundFacts]
    if receipt.reference:
        outcome = provider.fetch_refund(receipt.reference)
    else:
        outcome = provider.fetch(payment.provider_payment_id or "")
    if isinstance(outcome, Ok):
        return outcome.value.receipt_registration
    log.warning("receipt not known: %s", type(outcome).__name__, extra={"order_id": receipt.order_id})
    return None
