"""After a restore, read every shop's lists back to the backup's time and take in again what is ours, in a loop.

This moves no money: an adopted payment is asked about like any other, and the machine decides what follows. A page is
one commit; a walk that was cut off begins anew and finds the same.
"""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, and_, exists, select, update
from sqlalchemy.orm import Session

from cloud.background.loops import Clock
from cloud.database.database import Database
from cloud.database.due import due, latest
from cloud.database.transaction import Transaction
from cloud.fleet import accounts
from cloud.fleet.accounts import Account
from cloud.fleet.models import PROVIDER_OF, Device
from cloud.orders import after_restore, paying, restores
from cloud.orders.after_restore import Listed, UnknownMachine
from cloud.orders.order_limits import OrderLimits
from cloud.orders.restores import Restore, RestoredShop
from cloud.payments.facts import PaymentFacts, ProviderStatus, RefundFacts
from cloud.payments.provider import Provider
from cloud.payments.provider_clients import NoCredential, ProviderClients
from cloud.payments.receipts import carried as receipts_carried
from cloud.payments.reconcile import ledger_view
from cloud.payments.reconcile.asking import Asking, HasNoList, NoAnswer
from cloud.payments.reconcile.compare import OUR_MARKS, compare_payment
from cloud.payments.status_poller import NEWS

log = logging.getLogger("cloud.payments.adoption")  # operators filter by it

TOPIC = "restores"
OVERLAP = timedelta(hours=1)
"""A payment may have been opened this long before the backup and not be in it as it is now."""
SKEW = timedelta(minutes=5)
"""Clocks differ: what was opened around the restore is listed too."""
LEASE = timedelta(minutes=10)
TRY_AGAIN = timedelta(seconds=30)
LOOK_EVERY = timedelta(seconds=60)
PAYMENT_ID = 32
"""Characters of our payment's id at most."""
SIZES = frozenset({"0", "1", "2"})
MOST_TOLD = 5
"""Of what keeps payments from being adopted."""


@dataclass(frozen=True)
class _Span:
    """The time this database has forgotten, and at which account."""

    account: Account
    since: datetime
    until: datetime


class RestoreFromLists:
    """One per worker; several share the shops by leases. `pause` waits so many seconds between questions."""

    def __init__(
        self, database: Database, clients: ProviderClients, rules: OrderLimits, clock: Clock,
        pause: Callable[[float], None],
    ) -> None:  # fmt: skip
        self._database = database
        self._clients = clients
        self._rules = rules
        self._clock = clock
        self._pause = pause

    def step(self, now: datetime) -> datetime:
        """Read one shop's lists, if one is due; return when to look again."""
        taken = self._database.transact(_take, now)
        if taken is None:
            if self._database.transact(restores.add_new_shops, now):
                return now
            return now + (TRY_AGAIN if self._database.transact(_finish, now) else LOOK_EVERY)
        restore, shop = taken
        span = _Span((shop.merchant_id, shop.scenario, shop.account_id), restore.as_of - OVERLAP,
                     restore.restored_at + SKEW)  # fmt: skip
        problem, is_over = self._read(span, shop)
        self._database.transact(_keep, shop, problem, is_over, self._clock())
        return now

    def _read(self, span: _Span, shop: RestoredShop) -> tuple[str, bool]:
        """Read a shop's lists; return what stands in the way, and whether nothing more can be done."""
        try:
            provider = self._clients.at(span.account)
            asking = Asking(self._pause, lambda: None, self._clients.admission, provider.gate)
            lacking = self._payments(provider, asking, span, shop)
            self._refunds(provider, asking, span)
        except NoCredential as error:
            return str(error), not self._is_known(span.account)
        except HasNoList:
            return "this provider has no list: look there for what was paid since the backup", True
        except NoAnswer as error:
            return str(error), False
        return "; ".join(sorted(lacking)[:MOST_TOLD]), not lacking

    def _is_known(self, account: Account) -> bool:
        """An account that was taken away gets no key any more."""
        with self._database.read() as session:
            return account in accounts.versions(session)

    def _payments(self, provider: Provider, asking: Asking, span: _Span, shop: RestoredShop) -> set[str]:
        lacking: set[str] = set()
        for page in asking.pages(lambda cursor: provider.list_payments(span.since, span.until, cursor)):
            ours = [facts for facts in page.items if facts.metadata.keys() >= OUR_MARKS]
            adopted, missing = self._database.transact(self._take_in, ours, span.account, shop)
            shop.adopted += adopted
            lacking |= missing
            lacking |= {f"unreadable: {entry.why}" for entry in page.unreadable}
        return lacking

    def _take_in(
        self, tx: Transaction, listed: Sequence[PaymentFacts], account: Account, shop: RestoredShop
    ) -> tuple[int, set[str]]:
        """One page: how many payments were adopted, and what keeps others from being."""
        now, adopted, lacking = self._clock(), 0, set[str]()
        ledger_view.bring_back(tx, listed, now)
        by_id, by_mark = ledger_view.known(tx.session, listed)
        for facts in sorted(listed, key=lambda facts: facts.metadata["order_id"]):
            payment = by_id.get(facts.provider_payment_id)
            attempt = by_mark.get(facts.metadata["payment"])
            if payment is not None:
                if compare_payment(facts, payment):
                    paying.ask_soon(tx, payment.id, now)
            elif attempt is None or attempt.provider_payment_id is None:
                forgotten = _listed(facts, _seller(tx.session, facts, account), now)
                try:
                    after_restore.adopt(tx, forgotten, self._rules, now)
                    receipts_carried.adopt(tx, forgotten.payment_id, now)
                    adopted += 1
                except UnknownMachine as error:
                    lacking.add(f"machine {error} of order {facts.metadata['order_id'][:255]} is not in this database")
        tx.notify(NEWS)
        _renew(tx, shop, now)
        return adopted, lacking

    def _refunds(self, provider: Provider, asking: Asking, span: _Span) -> None:
        for page in asking.pages(lambda cursor: provider.list_refunds(None, span.since, span.until, cursor)):
            self._database.transact(self._ask_about_refunds, page.items)

    def _ask_about_refunds(self, tx: Transaction, told: Sequence[RefundFacts]) -> None:
        """Ask about each payment of which the provider has a refund that we have not."""
        payments = ledger_view.of_provider(tx.session, [refund.provider_payment_id for refund in told])
        booked = ledger_view.booked_returns(tx.session, [payment.id for payment in payments.values()])
        for refund in told:
            payment = payments.get(refund.provider_payment_id)
            if payment is not None and (payment.id, refund.provider_refund_id) not in booked:
                paying.ask_soon(tx, payment.id, self._clock())
        tx.notify(NEWS)


def _seller(session: Session, facts: PaymentFacts, listed_at: Account) -> Account:
    """Of several that sell at one shop, the machine's merchant; by the machine's scenario, if it has that there."""
    device = session.get(Device, _device_uuid(facts))
    if device is None:
        return listed_at
    its = [
        accounts.of(one)
        for one in accounts.known(session)
        if one.merchant_id == device.merchant_id
        and one.account_id == listed_at[2]
        and PROVIDER_OF[one.scenario] == PROVIDER_OF[listed_at[1]]
    ]
    return min(its, key=lambda account: account[1] != device.payment_scenario, default=listed_at)


def _device_uuid(facts: PaymentFacts) -> str:
    return facts.metadata.get("device_uuid", "")[:64]


def _listed(facts: PaymentFacts, account: Account, now: datetime) -> Listed:
    marks = facts.metadata
    size = marks.get("size", "")
    return Listed(
        order_id=marks["order_id"][:255],
        payment_id=marks["payment"][:PAYMENT_ID],
        device_uuid=_device_uuid(facts),
        provider_payment_id=facts.provider_payment_id,
        amount=facts.amount,
        created_at=facts.created_at or now,
        account=account,
        capture="on_dispense" if facts.status is ProviderStatus.HELD else "immediate",
        drink_no=marks.get("drink_no", "")[:128] if size in SIZES else "",
        size=int(size) if size in SIZES else 0,
    )


def _take(tx: Transaction, now: datetime) -> tuple[Restore, RestoredShop] | None:
    """A shop that is due, held for a while."""
    is_due = due(RestoredShop.next_at, now, latest(now, LEASE))
    wanted = select(RestoredShop).where(RestoredShop.done_at.is_(None), is_due).order_by(RestoredShop.next_at).limit(1)
    shop = tx.session.scalars(wanted.with_for_update(skip_locked=True)).first()
    if shop is None:
        return None
    shop.next_at = now + LEASE
    return tx.session.get_one(Restore, shop.restore_id), shop


def _of(shop: RestoredShop) -> ColumnElement[bool]:
    return and_(
        RestoredShop.restore_id == shop.restore_id,
        RestoredShop.merchant_id == shop.merchant_id,
        RestoredShop.scenario == shop.scenario,
        RestoredShop.account_id == shop.account_id,
    )


def _renew(tx: Transaction, shop: RestoredShop, now: datetime) -> None:
    tx.session.execute(update(RestoredShop).where(_of(shop)).values(next_at=now + LEASE))


def _keep(tx: Transaction, shop: RestoredShop, problem: str, is_over: bool, now: datetime) -> None:
    kept = {"problem": problem[:1000], "adopted": shop.adopted, "next_at": now + TRY_AGAIN}
    tx.session.execute(update(RestoredShop).where(_of(shop)).values(kept | ({"done_at": now} if is_over else {})))
    facts = {"shop": shop.account_id, "adopted": shop.adopted}
    if problem:
        tx.log_after_commit(log.error, "after the restore: %s", problem, extra=facts)
    else:
        tx.log_after_commit(log.info, "after the restore: the shop's lists are read", extra=facts)


def _finish(tx: Transaction, now: datetime) -> bool:
    """End restores whose shops have all been read; return whether there are others."""
    being_read = exists().where(RestoredShop.restore_id == Restore.id, RestoredShop.done_at.is_(None))
    is_open = and_(Restore.finished_at.is_(None), Restore.begun_at.is_not(None))
    tx.session.execute(update(Restore).where(is_open, ~being_read).values(finished_at=now))
    return tx.session.scalar(select(exists().where(is_open))) or False
