"""Money that only reconciliation sees: open findings with a sum, as part of the money at risk. Only looks."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import date, datetime

from sqlalchemy import select
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
    """One open finding about money."""

    action: Next
    kopecks: int
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


def open_differences(session: Session, counted: Collection[MoneyAtRisk]) -> list[Difference]:
    """Oldest first; without what is at risk by our own ledger anyway (`counted`)."""
    seen = {money.provider_payment_id for money in counted} - {""}
    of_money = FoundDifference.kind.not_in([kind.value for kind in NO_MONEY | OF_ANY_DAY])
    found = select(FoundDifference).where(FoundDifference.state.in_(list(_ACTION)), of_money)
    rows = session.scalars(found.order_by(FoundDifference.first_seen_at, FoundDifference.id).limit(MOST))
    return [_difference(row) for row in rows if _kopecks(row) and row.provider_id not in seen]


def _kopecks(found: FoundDifference) -> int:
    return abs((found.here or 0) - (found.there or 0))


def _difference(found: FoundDifference) -> Difference:
    return Difference(
        _ACTION[found.state], _kopecks(found), found.first_seen_at, found.id, found.day, Kind(found.kind),
        found.order_id, found.payment_id, found.provider_id, found.merchant_id, found.scenario, found.account_id,
    )  # fmt: skip
