"""Money at risk and differences of what `scope` lets a person see."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import date, datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from cloud.access.journal import Subject
from cloud.access.person import Scope
from cloud.fleet.accounts import Account
from cloud.orders.at_risk import WAITS_FOR_PERSON, AtRisk, MoneyAtRisk, each_at_risk, summed
from cloud.payments.reconcile.differences import Difference, open_differences, others_open
from cloud.payments.reconcile.models import FoundDifference, Reconciliation, State

LISTED = 200
"""Told one by one; the sums are of all."""
_ORDER = (State.OPEN.value, State.MENDING.value, State.EXPLAINED.value, State.CLOSED.value)


@dataclass(frozen=True)
class Risks:
    """What is at risk now; `person`: payments and differences that nothing moves but somebody."""

    sums: Sequence[AtRisk]
    person: Sequence[MoneyAtRisk]
    differences: Sequence[Difference]
    """All that are open: first those whose sums are among these, then the rest."""

    @property
    def kopecks(self) -> int:
        return sum(one.kopecks for one in self.sums)

    @property
    def waiting(self) -> int:
        """Kopecks that wait for a person."""
        return sum(one.kopecks for one in self.sums if one.action in WAITS_FOR_PERSON)

    @property
    def needs_nobody(self) -> bool:
        return not self.waiting and all(one.action not in WAITS_FOR_PERSON for one in self.differences)


def read_risks(session: Session, scope: Scope, unreadable: Collection[Account], now: datetime) -> Risks:
    """All of it; a merchant's people see that merchant's."""
    every = each_at_risk(session, now, unreadable=unreadable)
    each = [one for one in every if scope.covers(one.merchant_id)]
    found = [one for one in open_differences(session, every) if scope.covers(one.merchant_id)]
    others = others_open(session, scope.where(FoundDifference.merchant_id), found, LISTED)
    person = [one for one in each if one.action in WAITS_FOR_PERSON]
    return Risks(summed([*each, *found], now), person[:LISTED], [*found, *others][:LISTED])


@dataclass(frozen=True)
class ReconciledDay:
    """A day of every shop, and what was found."""

    shops: Sequence[Reconciliation]
    findings: Sequence[FoundDifference]


def read_day(session: Session, scope: Scope, day: date) -> ReconciledDay:
    """What reconciliation says of that day, open findings first."""
    shops = select(Reconciliation).where(Reconciliation.day == day, scope.where(Reconciliation.merchant_id))
    found = select(FoundDifference).where(FoundDifference.day == day, scope.where(FoundDifference.merchant_id))
    findings = sorted(session.scalars(found.limit(LISTED * 5)), key=lambda one: (_ORDER.index(one.state), one.id))
    by_shop = shops.order_by(Reconciliation.merchant_id, Reconciliation.scenario, Reconciliation.account_id)
    return ReconciledDay(list(session.scalars(by_shop)), findings[:LISTED])


def find_difference(session: Session, number: str) -> Subject | None:
    """Whose a difference is."""
    found = session.get(FoundDifference, int(number)) if number.isdecimal() and len(number) < 19 else None
    return None if found is None else Subject("difference", number, found.merchant_id, found.device_uuid)
