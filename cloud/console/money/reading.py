"""Money at risk and differences of what `scope` lets a person see."""

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import date, datetime

from sqlalchemy import BigInteger, case, func, literal, select, tuple_
from sqlalchemy.orm import Session

from cloud.access.journal import Subject
from cloud.access.person import Scope
from cloud.console.shell.paging import PAGE, First, Listed
from cloud.fleet.accounts import Account
from cloud.orders.at_risk import WAITS_FOR_PERSON, AtRisk, MoneyAtRisk, each_at_risk, summed
from cloud.payments.reconcile.differences import Difference, open_differences, others_open
from cloud.payments.reconcile.models import FoundDifference, Reconciliation, State

LISTED = 200
"""Told one by one; the sums are of all."""
_ORDER = (State.OPEN.value, State.MENDING.value, State.EXPLAINED.value, State.CLOSED.value)
_RANKS = {state: rank for rank, state in enumerate(_ORDER)}
_RANK = case(_RANKS, value=FoundDifference.state, else_=len(_ORDER))
"""Told by the database: what is open must be among the first however much was found."""
_PLACE = re.compile(r"([0-9])\.([0-9]{1,18})", re.ASCII)


@dataclass(frozen=True)
class Risks:
    """What is at risk now; `person`: payments and differences that nothing moves but somebody."""

    sums: Sequence[AtRisk]
    person: First[MoneyAtRisk]
    differences: First[Difference]
    """Of all that are open: first those whose sums are among these, then the rest."""
    unexplained: int
    """Of the differences: those that wait for a person, told here one by one or not."""

    @property
    def kopecks(self) -> int:
        return sum(one.kopecks for one in self.sums)

    @property
    def waiting(self) -> int:
        """Kopecks that wait for a person."""
        return sum(one.kopecks for one in self.sums if one.action in WAITS_FOR_PERSON)

    @property
    def needs_nobody(self) -> bool:
        return not self.waiting and not self.unexplained


def read_risks(session: Session, scope: Scope, unreadable: Collection[Account], now: datetime) -> Risks:
    """All of it; a merchant's people see that merchant's."""
    every = each_at_risk(session, now, unreadable=unreadable)
    each = [one for one in every if scope.covers(one.merchant_id)]
    found = [one for one in open_differences(session, every) if scope.covers(one.merchant_id)]
    mine = scope.where(FoundDifference.merchant_id)
    others = others_open(session, mine, found, LISTED)
    counted = select(FoundDifference.state, func.count()).where(mine, FoundDifference.state.in_(_ORDER[:2]))
    counts = {row[0]: row[1] for row in session.execute(counted.group_by(FoundDifference.state))}
    person = [one for one in each if one.action in WAITS_FOR_PERSON]
    return Risks(
        summed([*each, *found], now), First(person[:LISTED], len(person)),
        First([*found, *others][:LISTED], sum(counts.values())), counts.get(State.OPEN.value, 0),
    )  # fmt: skip


@dataclass(frozen=True)
class ReconciledDay:
    """A day of every shop, and what was found."""

    shops: Sequence[Reconciliation]
    findings: Listed[FoundDifference]


def read_day(session: Session, scope: Scope, day: date, after: str) -> ReconciledDay:
    """What reconciliation says of that day, and one page of what it found, open findings first."""
    shops = select(Reconciliation).where(Reconciliation.day == day, scope.where(Reconciliation.merchant_id))
    found = select(FoundDifference).where(FoundDifference.day == day, scope.where(FoundDifference.merchant_id))
    if (begins := _PLACE.fullmatch(after)) is not None:
        rank, number = (literal(int(part), BigInteger()) for part in begins.groups())
        found = found.where(tuple_(_RANK, FoundDifference.id) > tuple_(rank, number))
    rows = session.scalars(found.order_by(_RANK, FoundDifference.id).limit(PAGE + 1)).all()
    page = rows[:PAGE]
    following = f"{_RANKS.get(page[-1].state, len(_ORDER))}.{page[-1].id}" if len(rows) > PAGE else ""
    by_shop = shops.order_by(Reconciliation.merchant_id, Reconciliation.scenario, Reconciliation.account_id)
    return ReconciledDay(list(session.scalars(by_shop)), Listed(page, following))


def find_difference(session: Session, number: str) -> Subject | None:
    """Whose a difference is."""
    found = session.get(FoundDifference, int(number)) if number.isdecimal() and len(number) < 19 else None
    return None if found is None else Subject("difference", number, found.merchant_id, found.device_uuid)
