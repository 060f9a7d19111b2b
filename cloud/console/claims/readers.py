"""Claims and requests to approve, each with its order's facts: what a person needs to decide."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, literal, select
from sqlalchemy.orm import Session

from cloud.access.person import Scope
from cloud.console.orders.facts import OrderSummary, summaries_of
from cloud.console.shell.paging import LONGEST_NUMBER, PAGE, Key, Listed, newest_first
from cloud.orders.claims import Claim, ClaimMessage, ClaimState
from cloud.orders.models import Order
from cloud.orders.return_requests import ReturnRequest, waits_for_approval

_COLUMNS: tuple[Any, ...] = (
    Claim.id.label("id"), Claim.changed_at.label("at"), Claim.changed_at, Claim.order_id, Claim.kind, Claim.state
)  # fmt: skip


@dataclass(frozen=True)
class ListedClaim:
    """One claim, its first words, and its order."""

    claim: Any
    words: str
    order: OrderSummary


@dataclass(frozen=True)
class ListedRequest:
    """One request that waits for a decision, and its order."""

    request: ReturnRequest
    order: OrderSummary


def claims_in(session: Session, scope: Scope, state: ClaimState, after: Key | None) -> Listed[ListedClaim]:
    """One page of claims in a state, the latest word first."""
    query = select(*_COLUMNS).where(Claim.state == state.value, scope.where(Claim.merchant_id, Claim.device_uuid))
    rows, following = newest_first(session, query, Claim.changed_at, Claim.id, after)
    orders = summaries_of(session, [row.order_id for row in rows])
    words = _last_words(session, [row.id for row in rows])
    listed = [ListedClaim(row, words.get(row.id, ""), orders[row.order_id]) for row in rows]
    return Listed(listed, following)


def requests_in(session: Session, scope: Scope, now: datetime, after: str) -> Listed[ListedRequest]:
    """One page of requests that wait for a second person, oldest first, after the one of this number."""
    asked = select(ReturnRequest).join(Order, Order.id == ReturnRequest.order_id)
    inside = scope.where(Order.merchant_id, Order.device_uuid)
    asked = asked.where(waits_for_approval(now), inside).order_by(ReturnRequest.id)
    begins = int(after) if after.isdecimal() and len(after) < LONGEST_NUMBER else 0
    found = session.scalars(asked.where(ReturnRequest.id > literal(begins, BigInteger())).limit(PAGE + 1)).all()
    if begins and not found:  # decided meanwhile; those before may still wait
        found = session.scalars(asked.limit(PAGE + 1)).all()
    page = found[:PAGE]
    orders = summaries_of(session, [request.order_id for request in page])
    listed = [ListedRequest(request, orders[request.order_id]) for request in page]
    return Listed(listed, str(page[-1].id) if len(found) > PAGE else "")


def _last_words(session: Session, claim_ids: Iterable[int]) -> dict[int, str]:
    """What the buyer said last in each."""
    of_buyer = (ClaimMessage.claim_id.in_(list(claim_ids))) & (ClaimMessage.by == "")
    asked = select(ClaimMessage.claim_id, ClaimMessage.words).where(of_buyer).order_by(ClaimMessage.id)
    return {row.claim_id: row.words for row in session.execute(asked)}
