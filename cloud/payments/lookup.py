"""Looks up in the provider's own lists what a call did that may not be sent again. Changes nothing.

A key is forgotten after a day; the same call would then be a new act, and money could move twice. So no return is asked
for under a new key while the provider lists one that our ledger lacks, or cannot be read to the end of its list.
"""

from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from typing import TypeVar

from sqlalchemy import select
from sqlalchemy.orm import Session

from cloud.orders.models import Movement, Payment
from cloud.orders.outbox import OutboxRow
from cloud.orders.tasks import Task
from cloud.payments.call_answers import Answer, NotCounted, NothingDone
from cloud.payments.call_decision import Went
from cloud.payments.facts import Page, ProviderStatus, RefundFacts, RefundStatus
from cloud.payments.outcomes import Ok, Outcome, Rejected
from cloud.payments.provider import Provider

OVERLAP = timedelta(hours=1)
LOOK_WITHIN = timedelta(hours=26)
"""The provider's list is asked for all that a call repeated for its key's life (23 h) can have opened."""
MAX_PAGES = 500

T = TypeVar("T")


def counted_refunds(session: Session, payment_id: str) -> frozenset[str]:
    """The provider's ids of the refunds our ledger has already."""
    refunded = select(Movement.reference).where(Movement.payment_id == payment_id, Movement.kind == "refunded")
    return frozenset(session.scalars(refunded))


def went_back_since(session: Session, row: OutboxRow) -> Went:
    """What our ledger has counted as returned of the payment since this return of it was first tried."""
    if row.first_tried_at is None:
        return Went.NOTHING
    since = (Movement.payment_id == row.subject, Movement.kind == "refunded", Movement.at >= row.first_tried_at)
    sums = session.scalars(select(Movement.amount).where(*since)).all()
    return Went.NOTHING if not sums else Went.THIS_SUM if row.amount in sums else Went.ANOTHER_SUM


def look_for(provider: Provider, row: OutboxRow, payment: Payment, counted: frozenset[str]) -> Answer:
    """Find what became of the task: what it made, nothing, or why nobody can tell now."""
    begin = (row.first_tried_at or row.created_at) - OVERLAP
    match Task(row.task):
        case Task.CREATE:
            return _first(
                lambda cursor: provider.list_payments(begin, begin + LOOK_WITHIN, cursor, row.subject),
                lambda facts: facts.metadata.get("payment") == row.subject,
            )
        case Task.REFUND:
            lacking = _refunds_not_counted(provider, payment, counted)
            if not isinstance(lacking, Ok):
                return lacking
            ours = next((facts for facts in lacking.value if _may_be_ours(facts, row.amount, begin)), None)
            return Ok(ours) if ours is not None else _count(lacking.value)
        case _:
            stands = provider.fetch(payment.provider_payment_id or "")
            is_still_held = isinstance(stands, Ok) and stands.value.status is ProviderStatus.HELD
            return NothingDone() if is_still_held else stands


def count_refunds(provider: Provider, payment: Payment, counted: frozenset[str]) -> Answer:
    """Whether the provider shows returns of this payment that our ledger lacks, whoever asked for them."""
    lacking = _refunds_not_counted(provider, payment, counted)
    return _count(lacking.value) if isinstance(lacking, Ok) else lacking


def _count(lacking: tuple[RefundFacts, ...]) -> NothingDone | NotCounted:
    return NotCounted() if lacking else NothingDone()


def _refunds_not_counted(
    provider: Provider, payment: Payment, counted: frozenset[str]
) -> Outcome[tuple[RefundFacts, ...]]:
    """Returns of this payment there, made or under way, that our ledger lacks, whoever asked for them.

    `Rejected` for a list that cannot be read to its end: what is not read may be ours.
    """
    found: list[RefundFacts] = []
    cursor = None
    for page in _pages(lambda cursor: provider.list_refunds(payment.provider_payment_id or "", cursor=cursor)):
        if not isinstance(page, Ok):
            return page
        if page.value.unreadable:
            return Rejected("unreadable", description=page.value.unreadable[0].why)
        found += [facts for facts in page.value.items if facts.status is not RefundStatus.CANCELED]
        cursor = page.value.next_cursor
    if cursor is not None:
        return Rejected("too_many_pages")
    return Ok(tuple(facts for facts in found if facts.provider_refund_id not in counted))


def _may_be_ours(facts: RefundFacts, amount: int, begin: datetime) -> bool:
    """A refund carries no mark of ours; one of this sum and time that nobody has counted is as good as ours."""
    return facts.amount == amount and (facts.created_at is None or facts.created_at >= begin)


def _first(ask: Callable[[str | None], Outcome[Page[T]]], is_it: Callable[[T], bool]) -> Outcome[T] | NothingDone:
    for page in _pages(ask):
        if not isinstance(page, Ok):
            return page
        found = next((facts for facts in page.value.items if is_it(facts)), None)
        if found is not None:
            return Ok(found)
    return NothingDone()


def _pages(ask: Callable[[str | None], Outcome[Page[T]]]) -> Iterator[Outcome[Page[T]]]:
    cursor: str | None = None
    for _ in range(MAX_PAGES):
        page = ask(cursor)
        yield page
        cursor = page.value.next_cursor if isinstance(page, Ok) else None
        if cursor is None:
            return
