"""Open findings: those with a sum that only reconciliation sees are part of the money at risk. Only looks."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import date, datetime

from sqlalchemy import ColumnElement, Select, select
from sqlalchemy.orm import Session

from cloud.orders.at_risk import MoneyAtRisk, Next
from cloud.payments.reconcile.kinds import NO_MONEY, Kind
from cloud.payments.reconcile.models import FoundDifference, State
from cloud.payments.reconcile.store import OF_ANY_DAY

_ACTION = {State.OPEN.value: Next.DIFFERENCE, State.MENDING.value: Next.ASKED_AGAIN}
MOST = 10_000
"""Looked at; more have one cause."""


@dataclass(frozen=True)
class Difference:
    """One open finding."""

    action: Next
    kopecks: int
    """At risk by it alone; 0 where it is not about money, or our own ledger counts that."""
    since: datetime
    number: int
    """By which a person settles it (`coffee-cloud settle`)."""
    day: date
    kind: Kind
    order_id: str
    payment_id: str
    provider_id: str
    merchant_id: str
    scenario: str
    account_id: str
    device_uuid: str
    here: int | None
    there: int | None


def open_differences(session: Session, counted: Collection[MoneyAtRisk]) -> list[Difference]:
    """Those with a sum, oldest first; without what is at risk by our own ledger anyway (`counted`)."""
    seen = {money.provider_payment_id for money in counted} - {""}
    of_money = FoundDifference.kind.not_in([kind.value for kind in NO_MONEY | OF_ANY_DAY])
    rows = session.scalars(_oldest_first(of_money, MOST))
    return [_difference(row, _kopecks(row)) for row in rows if _kopecks(row) and row.provider_id not in seen]


def others_open(
    session: Session, among: ColumnElement[bool], told: Collection[Difference], most: int
) -> list[Difference]:
    """The rest of what is open `among` all findings, beside those `told`; oldest first."""
    numbers = {one.number for one in told}
    rows = session.scalars(_oldest_first(among, most + len(numbers)))
    return [_difference(row, 0) for row in rows if row.id not in numbers][:most]


def _oldest_first(which: ColumnElement[bool], most: int) -> Select[FoundDifference]:
    found = select(FoundDifference).where(FoundDifference.state.in_(list(_ACTION)), which)
    return found.order_by(FoundDifference.first_seen_at, FoundDifference.id).limit(most)


def _kopecks(found: FoundDifference) -> int:
    return abs((found.here or 0) - (found.there or 0))


def _difference(found: FoundDifference, kopecks: int) -> Difference:
    return Difference(
        _ACTION[found.state], kopecks, found.first_seen_at, found.id, found.day, Kind(found.kind),
        found.order_id, found.payment_id, found.provider_id, found.merchant_id, found.scenario, found.account_id,
        found.device_uuid, found.here, found.there,
    )  # fmt: skip
