"""Reconciles one day of one shop, or of a merchant's machines: looks, keeps what it finds, lets mend what can be.

Never moves money: a payment is asked about again, or entered by its marks; what follows is the workflow's.
"""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from sqlalchemy import or_, select
from sqlalchemy.orm import Session

from cloud.background.loops import Clock
from cloud.database.database import Database
from cloud.database.transaction import Transaction
from cloud.fleet import accounts
from cloud.fleet.models import Device
from cloud.orders import paying
from cloud.orders.commissions import record_income
from cloud.orders.models import Payment
from cloud.payments.expected import expected_of
from cloud.payments.facts import PaymentFacts
from cloud.payments.provider_clients import NoCredential, ProviderClients
from cloud.payments.reconcile.asking import Asking
from cloud.payments.reconcile.cups import Comparison, compare_cups
from cloud.payments.reconcile.days import Day
from cloud.payments.reconcile.kinds import Finding
from cloud.payments.reconcile.ledger_view import ShopKey, first_payments
from cloud.payments.reconcile.models import FoundDifference, Reconciliation, State
from cloud.payments.reconcile.shop import Look, ShopDay
from cloud.payments.reconcile.store import keep, row_of
from cloud.payments.verification import answer_of

log = logging.getLogger("cloud.payments.reconcile.reconciler")

LEASE = timedelta(hours=1)
"""A look that takes longer renews it page by page."""
RENEW_AFTER = timedelta(minutes=10)
AT_ONCE = 500
"""Commissions entered in one transaction."""


@dataclass(frozen=True)
class Report:
    """One reconciled day, as it is kept."""

    row: Reconciliation
    findings: Sequence[FoundDifference]
    """Those this look saw, the unexplained first."""
    comparison: Comparison = field(default_factory=Comparison)
    """Of a look at machines."""

    @property
    def is_clean(self) -> bool:
        """All that told was compared and nothing is unexplained; a machine without counters is no fault."""
        return self.row.complete and all(found.state in _AT_REST for found in self.findings)


_AT_REST = (State.EXPLAINED.value, State.CLOSED.value)


class Reconciler:
    """Looks at days; any number of them may look at the same day, what they keep is the same."""

    def __init__(
        self, database: Database, clients: ProviderClients, clock: Clock, pause: Callable[[float], None]
    ) -> None:
        self._database = database
        self._clients = clients
        self._clock = clock
        self._pause = pause

    def reconcile(self, key: ShopKey, day: Day) -> Report:
        """Look once, keep it, mend what mends; what a person must look at is logged as an error."""
        look = self._of_shop(key, day) if key.scenario else self._of_machines(key, day)
        row, findings = self._database.transact(keep, key, day, look, self._clock())
        for finding in look.found.values():
            self._mend(finding, look.adoptable)
        self._enter(look)
        report = Report(row, findings, look.comparison)
        _tell(report)
        return report

    def keys(self, day: Day, merchant_id: str | None = None) -> list[ShopKey]:
        """All there is to reconcile on a day: every shop we have a key of or was paid on it, and machines."""
        with self._database.read() as session:
            found = shops_of(session, day) | machines_of(session)
        wanted = [key for key in found if merchant_id in {None, key.merchant_id}]
        return sorted(wanted, key=lambda key: (key.merchant_id, key.scenario == "", key.scenario, key.account_id))

    def _of_shop(self, key: ShopKey, day: Day) -> Look:
        now = self._clock()
        asking = Asking(self._pause, self._keep_alive(key, day))
        try:
            provider = self._clients.at((key.merchant_id, key.scenario, key.account_id))
            asking = Asking(self._pause, self._keep_alive(key, day), self._clients.admission, provider.gate)
        except NoCredential as error:
            look = ShopDay(self._database, None, key, day, asking, now).see()
            if self._is_stored(key):
                look.unfinished(str(error), f"{day.date}")
            return look
        return ShopDay(self._database, provider, key, day, asking, now).see()

    def _is_stored(self, key: ShopKey) -> bool:
        """Its key is here, and only cannot be read: the day is looked at again when it can."""
        with self._database.read() as session:
            return any(key == ShopKey(*accounts.of(account)) for account in accounts.known(session))

    def _of_machines(self, key: ShopKey, day: Day) -> Look:
        look = Look()
        found, look.comparison = self._database.transact(compare_cups, key.merchant_id, day)
        look.note(*found)
        return look

    def _keep_alive(self, key: ShopKey, day: Day) -> Callable[[], None]:
        """Renews a worker's lease now and then, so that no other begins the same day meanwhile."""
        renewed = self._clock()

        def alive() -> None:
            nonlocal renewed
            now = self._clock()
            if now - renewed >= RENEW_AFTER:
                renewed = now
                self._database.transact(_renew, key, day, now)

        return alive

    def _mend(self, finding: Finding, adoptable: dict[str, PaymentFacts]) -> None:
        if not finding.mends:
            return
        if facts := adoptable.get(finding.payment_id):
            self._database.transact(self._adopt, finding.payment_id, facts)
        else:
            self._database.transact(paying.ask_soon, finding.payment_id, self._clock())

    def _enter(self, look: Look) -> None:
        """What the provider keeps of payments, where its list tells it for the first time."""
        told = list(look.incomes.items())
        for start in range(0, len(told), AT_ONCE):
            self._database.transact(_record, told[start : start + AT_ONCE], self._clock())

    def _adopt(self, tx: Transaction, payment_id: str, facts: PaymentFacts) -> None:
        """A payment whose opening was never answered, as a notification of it would have had it adopted."""
        payment = tx.session.get(Payment, payment_id)
        answer = answer_of(facts, expected_of(payment)) if payment is not None else None
        if payment is not None and answer is not None and payment.provider_payment_id is None:
            paying.adopt(tx, payment_id, facts.provider_payment_id, self._clock())


def shops_of(session: Session, day: Day) -> set[ShopKey]:
    """Every shop we have a key of, and every one that payments were begun at on a day, be they at rest since then."""
    have = {ShopKey(*accounts.of(account)) for account in accounts.known(session)}
    of_day = select(Payment.id).where(Payment.started_at >= day.start, Payment.started_at < day.end).limit(1)
    paid = {key for key, _ in first_payments(session) if session.scalar(of_day.where(key.payments)) is not None}
    return have | paid | _looked_at(session, day)


def _looked_at(session: Session, day: Day) -> set[ShopKey]:
    """The shops whose payments of a day were compared, or wait for it."""
    row = Reconciliation
    found = select(row.merchant_id, row.scenario, row.account_id).where(row.day == day.date, row.scenario != "")
    return {ShopKey(*shop) for shop in session.execute(found.where(or_(row.payments_here > 0, row.ran_at.is_(None))))}


def machines_of(session: Session) -> set[ShopKey]:
    """Every merchant that has machines."""
    return {ShopKey(merchant_id, "", "") for merchant_id in session.scalars(select(Device.merchant_id).distinct())}


def _record(tx: Transaction, told: Sequence[tuple[str, tuple[int, int]]], now: datetime) -> None:
    for payment_id, (captured, income) in told:
        record_income(tx, payment_id, captured, income, now)


def _renew(tx: Transaction, key: ShopKey, day: Day, now: datetime) -> None:
    row = row_of(tx.session, key, day)
    if row is not None and row.next_at is not None and row.next_at > now:
        row.next_at = now + LEASE


def _tell(report: Report) -> None:
    row = report.row
    open_ = [found for found in report.findings if found.state == State.OPEN]
    mending = [found for found in report.findings if found.state == State.MENDING]
    facts = {"merchant": row.merchant_id, "scenario": row.scenario or "machines", "shop": row.account_id}
    kinds = sorted({found.kind for found in open_})
    words = f"{len(open_)} unexplained, {len(mending)} asked again, {len(report.findings)} in all"
    if open_ or not row.complete:
        log.error("reconciliation of %s: %s: %s", row.day, words, ", ".join(kinds) or row.problem, extra=facts)
    else:
        log.info("reconciliation of %s: %s", row.day, words, extra=facts)
