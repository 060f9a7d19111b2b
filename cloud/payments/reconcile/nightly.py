"""The loop that reconciles every day that is over, once a shop and a merchant's machines, missed days too.

Several workers share the days by leases; it also keeps the machines' counters, which have no history of their own.
"""

import logging
import threading
from datetime import date, datetime, timedelta

from sqlalchemy import ColumnElement, and_, func, select
from sqlalchemy.orm import Session

from cloud.database.database import Database
from cloud.database.due import due, is_due, latest
from cloud.database.plain_rows import insert_if_new
from cloud.database.transaction import Transaction
from cloud.fleet import accounts
from cloud.fleet.models import Device, FormerCredential
from cloud.orders import restores
from cloud.orders.at_risk import unsettled
from cloud.orders.models import Payment
from cloud.payments.reconcile.cups import keep_counts
from cloud.payments.reconcile.days import Day, last_due
from cloud.payments.reconcile.kinds import Kind
from cloud.payments.reconcile.ledger_view import ShopKey, first_payments
from cloud.payments.reconcile.models import DeviceCount, FoundDifference, Reconciliation, State
from cloud.payments.reconcile.reconciler import LEASE, Reconciler
from cloud.payments.reconcile.store import RETURNS_FOLLOWED, new_row

log = logging.getLogger("cloud.payments.reconcile.reconciler")

LOOK_EVERY = timedelta(seconds=60)
LONGEST_WAIT = timedelta(days=3)
"""From a day's beginning until its books can be compared."""
CATCH_UP_DAYS = 31
"""After a longer absence the days before are for `coffee-cloud reconcile --day`."""

Span = tuple[ShopKey, date]
"""A shop, or a merchant's machines, and the first day of it worth looking at."""


class Interrupted(Exception):
    """The worker stops: what was being looked at is another's."""


class Patience:
    """Waits between questions, until it is told that there is no more time."""

    def __init__(self) -> None:
        self._over = threading.Event()

    def wait(self, seconds: float) -> None:
        """Wait so long. Raises `Interrupted`."""
        if self._over.wait(seconds):
            raise Interrupted

    def end(self) -> None:
        """Nobody waits any more."""
        self._over.set()


class Nightly:
    """One per worker process."""

    def __init__(self, database: Database, reconciler: Reconciler) -> None:
        self._database = database
        self._reconciler = reconciler
        self._look_at: datetime | None = None
        self._planned: date | None = None

    def step(self, now: datetime) -> datetime:
        """Look at one day that is due, if any is; when to look again."""
        if self._look_at is not None and not is_due(self._look_at, now, LOOK_EVERY):
            return self._look_at
        self._database.transact(keep_counts, now)
        self._plan(now)
        taken = self._database.transact(_take, now)
        if taken is None:
            self._look_at = now + LOOK_EVERY
            return self._look_at
        try:
            self._reconciler.reconcile(*taken)
        except Interrupted:
            self._database.transact(_give_back, *taken, now)
        return now

    def _plan(self, now: datetime) -> None:
        """Once a day: write down every day up to the last that is due and that nobody has written down."""
        last = last_due(now)
        if last == self._planned:
            return
        self._database.transact(_write_down, last, now)
        self._database.transact(forget_left_accounts, now)
        self._planned = last


def forget_left_accounts(tx: Transaction, now: datetime) -> None:
    """Those whose money has all come to its end, and whose last day can no longer be looked at by itself."""
    for left in tx.session.scalars(select(FormerCredential)):
        account = accounts.of(left)
        shop = (Payment.merchant_id == left.merchant_id, Payment.scenario == left.scenario)
        begun = select(func.max(Payment.started_at)).where(*shop, Payment.account_id == left.account_id)
        last = tx.session.scalar(begun)
        is_over = last is None or last < now - timedelta(days=CATCH_UP_DAYS + 1)
        is_over = is_over and not restores.waits_for(tx.session, account, now)
        is_over = is_over and not _follows_a_return(tx.session, ShopKey(*account), now)
        if is_over and unsettled(tx.session, account) == (0, 0):
            tx.session.delete(left)
            tx.log_after_commit(
                log.info,
                "the key of a left account is forgotten: nothing of it is open",
                extra={"shop": left.account_id},
            )


def _follows_a_return(session: Session, key: ShopKey, now: datetime) -> bool:
    """The provider has not finished a return there, its day is still looked at, and no person has settled it."""
    found = select(FoundDifference.id).where(
        FoundDifference.merchant_id == key.merchant_id,
        FoundDifference.scenario == key.scenario,
        FoundDifference.account_id == key.account_id,
        FoundDifference.day >= Day.of(now - RETURNS_FOLLOWED).date,
        FoundDifference.kind == Kind.REFUND_PENDING.value,
        FoundDifference.state != State.CLOSED.value,
    )
    return session.scalar(found.limit(1)) is not None


def _write_down(tx: Transaction, last: date, now: datetime) -> None:
    for key, first in _spans(tx.session, last):
        begin = max(first, last - timedelta(days=CATCH_UP_DAYS - 1))
        there = set(tx.session.scalars(select(Reconciliation.day).where(_of(key), Reconciliation.day >= begin)))
        for number in range((last - begin).days + 1):
            day = begin + timedelta(days=number)
            if day not in there:
                insert_if_new(tx.connection, Reconciliation, new_row(key, Day(day), now))


def _spans(session: Session, last: date) -> list[Span]:
    """Shops from their first payment on, machines from their first counters on."""
    first = [(key, Day.of(since).date) for key, since in first_payments(session)]
    of_machine = select(func.min(DeviceCount.day)).where(DeviceCount.device_uuid == Device.device_uuid)
    begun = func.min(of_machine.correlate(Device).scalar_subquery())  # a machine has a row a day: all are many
    counted = select(Device.merchant_id, begun).group_by(Device.merchant_id).having(begun.is_not(None))
    first += [(ShopKey(merchant_id, "", ""), day) for merchant_id, day in session.execute(counted)]
    return [(key, day) for key, day in first if day <= last]


def _take(tx: Transaction, now: datetime) -> tuple[ShopKey, Day] | None:
    """The oldest day that is due, under a lease."""
    wanted = select(Reconciliation).where(due(Reconciliation.next_at, now, latest(now, LONGEST_WAIT)))
    oldest = wanted.order_by(Reconciliation.day, Reconciliation.id).limit(1).with_for_update(skip_locked=True)
    row = tx.session.scalar(oldest)
    if row is None:
        return None
    row.next_at = now + LEASE
    return ShopKey(row.merchant_id, row.scenario, row.account_id), Day(row.day)


def _give_back(tx: Transaction, key: ShopKey, day: Day, now: datetime) -> None:
    row = tx.session.scalar(select(Reconciliation).where(_of(key), Reconciliation.day == day.date).with_for_update())
    if row is not None:
        row.next_at = now


def _of(key: ShopKey) -> ColumnElement[bool]:
    return and_(
        Reconciliation.merchant_id == key.merchant_id,
        Reconciliation.scenario == key.scenario,
        Reconciliation.account_id == key.account_id,
    )
