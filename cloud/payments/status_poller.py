"""Asks the provider about every payment that is not final, until it is: the fact behind webhooks, and what they lose.

Two lists: payments whose `next_check_at` has come, and notifications of payments we do not know (adopted when ours).
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from functools import partial

from sqlalchemy import Boolean, Integer, and_, bindparam, exists, func, select, update
from sqlalchemy.exc import DBAPIError

from cloud.background.loops import Clock, ThreadPool
from cloud.database.base import UtcDateTime
from cloud.database.database import Database, Held
from cloud.database.due import due, latest
from cloud.database.plain_rows import plain, table_of
from cloud.database.postgresql import is_locked
from cloud.database.transaction import Transaction
from cloud.orders import paying
from cloud.orders.locked_order import lock_order, order_key
from cloud.orders.models import Payment
from cloud.orders.money import PaymentState
from cloud.orders.order_limits import OrderLimits
from cloud.payments import unplaced
from cloud.payments.admission import Launcher, Store, Waiting, Work
from cloud.payments.budget import HeldBack, Priority
from cloud.payments.expected import expected_of
from cloud.payments.facts import PaymentFacts, RefundStatus
from cloud.payments.models import StoredNotification
from cloud.payments.outcomes import LONGEST_WAIT_S, AuthError, NotOurs, NotSent, Ok, next_ask
from cloud.payments.provider import Provider
from cloud.payments.provider_clients import NoCredential, ProviderClients
from cloud.payments.stale_answer import ask_again_at
from cloud.payments.unplaced import Unplaced
from cloud.payments.verification import answer_of

log = logging.getLogger("cloud.payments.status_poller")

NEWS = "news"
"""The topic that wakes this loop when something may be worth asking about."""
LEASE_S = 45.0
"""Longer than the slowest answers (5 s to connect, 12 s to read, the refunds the same): what a dying worker held is
asked again after it.
"""
HELD_AGAIN = timedelta(seconds=1)
"""When somebody held the order as the answer was to be stored."""
LONGEST_WAIT = timedelta(hours=1, minutes=10)
"""No payment is ever left alone for longer, unless polling is slower."""
LEAST_PATIENCE_S, PATIENCE_OF_AGE = 10.0, 8.0
"""A payment that cannot be asked about is tried again within this, or within this part of its age: when the provider
is well again, buyers who just paid are not kept waiting by the growing pauses of its illness.
"""


_payment, _notification = table_of(Payment), table_of(StoredNotification)
_now = bindparam("now", type_=UtcDateTime())
_lease_until = bindparam("lease_until", type_=UtcDateTime())
_is_due = due(_payment.c.next_check_at, _now, bindparam("beyond", type_=UtcDateTime()))
_is_told = _payment.c.told_at.is_not(None)
_SHOP = (_payment.c.merchant_id, _payment.c.scenario, _payment.c.account_id)
_WAITING = (
    select(*_SHOP, _is_told.label("is_told"), func.count().label("many"), func.min(_payment.c.next_check_at))
    .where(_is_due)
    .group_by(*_SHOP, _is_told)
)
_later = select(func.min(_payment.c.next_check_at)).where(_payment.c.next_check_at > _now).scalar_subquery()
_held_no_longer = bindparam("held_no_longer", type_=UtcDateTime())
_unplaced = and_(_notification.c.handled_at.is_(None), due(_notification.c.look_at, _now, _held_no_longer))
_WHAT_ELSE = select(_later, exists().where(_unplaced))
_DUE = (
    select(_payment.c.id)
    .where(
        _is_due,
        *(column == bindparam(f"of_{column.key}") for column in _SHOP),
        _is_told == bindparam("told", type_=Boolean()),
    )
    .order_by(_payment.c.next_check_at)
    .limit(bindparam("limit", type_=Integer()))
    .with_for_update(skip_locked=True)
    .cte("due")  # taken out once and for all: PostgreSQL could run a subquery again and again
)
_TAKE_DUE = (
    update(_payment)
    .where(_payment.c.id.in_(select(_DUE.c.id)))
    .values(next_check_at=_lease_until)
    .returning(*_payment.c)
)
_ASK_AGAIN = (
    update(_payment)
    .where(
        _payment.c.id == bindparam("of_id"), _payment.c.next_check_at == bindparam("taken_until", type_=UtcDateTime())
    )
    .values(next_check_at=bindparam("again", type_=UtcDateTime()))
)
_TOLD_OF = "told of"


class StatusPoller:
    """One per process; several processes share the work by leases."""

    def __init__(
        self,
        database: Database,
        clients: ProviderClients,
        rules: OrderLimits,
        pool: ThreadPool,
        jitter: Callable[[], float],
        clock: Clock,
    ) -> None:
        self._database = database
        self._clients = clients
        self._rules = rules
        self._pool = pool
        self._launcher = Launcher(clients.admission, clients.gate_of, pool)
        self._unplaced = Unplaced(database, clients, self._launcher, self._check, clock)
        self._jitter = jitter
        self._clock = clock

    @property
    def has_room(self) -> bool:
        """Whether a question could begin now, as far as threads go."""
        return self._pool.free > 0

    def ask(self, tx: Transaction, payment: Payment, *, is_read_back: bool) -> bool:
        """Ask about a payment taken in the caller's transaction. False when that may not begin now.

        Asking changes nothing, so it need not wait for the commit, but for `is_read_back`: what is being stored may be
        the answer. The answer is stored after it: SQLite has one writer, PostgreSQL locks the payment's row.
        """
        if not self._pool.is_apart:
            tx.after_commit(partial(self.ask_after, payment))
            return True
        if is_read_back:
            tx.after_commit(partial(self._pool.submit, partial(self.ask_after, payment)))
            return True
        return self._begin(payment, tx) is None

    def ask_after(self, payment: Payment) -> None:
        """Ask about a payment taken in a transaction that is committed."""
        held_back = self._begin(payment)
        if held_back is not None:
            again = self._clock() + timedelta(seconds=held_back.wait_s)
            self._pool.submit(partial(self._database.transact, _postpone, payment.id, again))

    def _begin(self, payment: Payment, tx: Transaction | None = None) -> HeldBack | None:
        """Ask now; why not, when that may not begin."""
        gate = self._clients.gate_of(payment, tx)
        if gate is None:
            return HeldBack("nobody can be asked", 0.0)
        permit = self._clients.admission.admit(gate, _priority_of(payment.told_at is not None))
        if isinstance(permit, HeldBack):
            return permit
        self._launcher.submit(permit, partial(self._check, payment))
        return None

    def step(self, now: datetime) -> datetime:
        """Ask what is due as it may begin; when to look again."""
        idle = now + timedelta(seconds=60)
        if self._pool.free <= 0:
            return idle  # a freed slot wakes us
        with self._database.read() as session:
            asked = {"now": now, "beyond": self._beyond(now)}
            waiting = [_waiting(*row) for row in session.connection().execute(_WAITING, asked)]
            asked = {"now": now, "held_no_longer": latest(now, timedelta(seconds=unplaced.LEASE_S))}
            later, is_unplaced = session.connection().execute(_WHAT_ELSE, asked).one()
        again = self._launcher.begin(waiting, now, partial(self._take_due, now))
        if is_unplaced:
            self._unplaced.step(now)
        return min((at for at in (again, later) if at is not None), default=idle)

    def _take_due(self, now: datetime, group: Waiting, limit: int) -> Sequence[Work]:
        """Due payments; the next check moves a lease ahead, so that others leave them alone meanwhile."""
        wanted = {
            "now": now, "limit": limit, "lease_until": now + timedelta(seconds=LEASE_S),
            "of_merchant_id": group.merchant_id, "of_scenario": group.scenario, "of_account_id": group.account_id,
            "told": group.kind == _TOLD_OF, "beyond": self._beyond(now),
        }  # fmt: skip
        taken = self._database.execute_autocommit(_TAKE_DUE, wanted)
        return [partial(self._check, plain(Payment, row)) for row in taken]

    def _beyond(self, now: datetime) -> datetime:
        return latest(now, max(LONGEST_WAIT, timedelta(seconds=self._rules.payment_poll_slow_s)))

    def _check(self, payment: Payment) -> Store:
        """Ask about one payment."""
        store = self._database.transact
        try:
            provider = self._clients.of_payment(payment)
        except NoCredential as error:
            log.error("%s", error, extra={"order_id": payment.order_id})
            return partial(store, self._unanswered, payment.id, 60.0)
        outcome = provider.fetch(payment.provider_payment_id or "")
        match outcome:
            case Ok(facts) if (refunds := _refunds_of(payment, facts, provider)) is not None:
                return partial(self._store_answer, payment, facts, refunds)
            case NotOurs():
                log.error("provider does not know the payment", extra={"order_id": payment.order_id})
                return partial(store, self._unanswered, payment.id, 300.0, key_refused=False)
            case NotSent(held_back=True, retry_after_s=wait_s):
                again = self._clock() + timedelta(seconds=wait_s or 0.0)
                return partial(store, paying.postpone_check, payment.id, again)
            case _:
                wait = self._patience(payment, getattr(outcome, "retry_after_s", None))
                log.warning(
                    "payment not known: %s",
                    "what of it went back" if isinstance(outcome, Ok) else type(outcome).__name__,
                    extra={"order_id": payment.order_id, "again_s": wait},
                )
                refused = isinstance(outcome, AuthError) or None
                return partial(store, self._unanswered, payment.id, wait, key_refused=refused)

    def _patience(self, payment: Payment, retry_after_s: float | None) -> float:
        """Seconds until a payment that could not be asked about is tried again."""
        age = (self._clock() - payment.started_at).total_seconds()
        longest = max(LEAST_PATIENCE_S, age / PATIENCE_OF_AGE)
        return max(
            min(next_ask(payment.checks + 1, None, self._jitter), longest), min(retry_after_s or 0.0, LONGEST_WAIT_S)
        )

    def _store_answer(self, payment: Payment, facts: PaymentFacts, refunds: Mapping[str, int]) -> None:
        """An answer that finds its order held by somebody is lost, and asked for again soon."""
        try:
            self._database.transact(self._answered, payment, facts, refunds, key=order_key(payment.order_id))
        except DBAPIError as error:
            if not is_locked(error):
                raise
            log.warning(
                "somebody else holds the order, its payment is asked about again", extra={"order_id": payment.order_id}
            )
            with suppress(Held):  # the payment is held as well: again when the lease is over
                self._database.transact(_ask_again, payment, self._clock() + HELD_AGAIN, waits_for_locks=False)

    def _answered(self, tx: Transaction, taken: Payment, facts: PaymentFacts, refunds: Mapping[str, int]) -> None:
        """All of one answer in one commit: an end of the asking without its refunds would be an end for good."""
        now = self._clock()
        payment_id = taken.id
        payment = lock_order(tx, taken.order_id).payment(payment_id)
        asked_again = payment.next_check_at if payment.next_check_at != taken.next_check_at else None
        answer = answer_of(facts, expected_of(payment))
        if answer is None:
            paying.record_check_failed(tx, payment_id, now + timedelta(seconds=60), key_refused=False)
            for refund_id, amount in refunds.items():
                paying.record_refund_succeeded(tx, payment_id, refund_id, amount, now)
        else:
            paying.record_payment_answer(tx, payment_id, answer, self._rules, now, refunds)
        if asked_again is not None:  # a notification came while we asked: this answer may be older than it
            payment.next_check_at = asked_again
        elif payment.told_at is not None and not _follow(tx, payment, now):
            payment.told_at = None

    def _unanswered(self, tx: Transaction, payment_id: str, wait_s: float, key_refused: bool | None = None) -> None:
        paying.record_check_failed(tx, payment_id, self._clock() + timedelta(seconds=wait_s), key_refused)


def _follow(tx: Transaction, payment: Payment, now: datetime) -> bool:
    """Ask again soon about a payment that was told of and is not paid: this answer may be older than what was told.

    Not where it is asked about as soon as that in any case. What is told of money we know of already is told late.
    """
    again = ask_again_at(payment.told_at or now, payment.times_told, now)
    is_soon = again is None or (payment.next_check_at is not None and payment.next_check_at <= again)
    if payment.state != PaymentState.PENDING or is_soon:
        return False
    payment.next_check_at = again
    payment.times_told += 1
    tx.notify(NEWS)
    return True


def _postpone(tx: Transaction, payment_id: str, again: datetime) -> None:
    """Ask later, and let the loop that waits for due questions know when."""
    paying.postpone_check(tx, payment_id, again)
    tx.notify(NEWS)


def _ask_again(tx: Transaction, taken: Payment, again: datetime) -> None:
    """Before the lease is over, unless somebody has moved it meanwhile. The order is not locked."""
    tx.connection.execute(_ASK_AGAIN, {"of_id": taken.id, "taken_until": taken.next_check_at, "again": again})
    tx.notify(NEWS)


def _priority_of(is_told: bool) -> Priority:
    return Priority.NOTIFICATION if is_told else Priority.POLL


def _waiting(merchant_id: str, scenario: str, account_id: str, is_told: bool, count: int, since: datetime) -> Waiting:
    kind = _TOLD_OF if is_told else ""
    return Waiting(merchant_id, scenario, account_id, _priority_of(is_told), count, since, kind)


def _refunds_of(payment: Payment, facts: PaymentFacts, provider: Provider) -> Mapping[str, int] | None:
    """Kopecks by id of those that succeeded: ours whose answer was lost, and what people gave back in the cabinet.

    None: more went back than we know of, and nobody tells what.
    """
    if facts.refunded <= payment.refunded:
        return {}
    outcome = provider.list_refunds(provider_payment_id=payment.provider_payment_id)
    if not isinstance(outcome, Ok):
        return None
    done = [refund for refund in outcome.value.items if refund.status is RefundStatus.SUCCEEDED]
    return {refund.provider_refund_id: refund.amount for refund in done}
