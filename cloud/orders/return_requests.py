"""Requests to return money: asked for, decided by a person who may, followed to their end. One open request an order.

Each use case runs in the caller's transaction, under the order's lock. Approval calls `operator_actions.give_back`, and
fails when the order is no longer the one that was asked about.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import CheckConstraint, ColumnElement, ForeignKey, Index, Integer, String, and_, func, select, text
from sqlalchemy.orm import Mapped, mapped_column

from cloud.database.base import Base
from cloud.database.named_lock import hold
from cloud.database.transaction import Transaction
from cloud.orders.locked_order import LockedOrder, lock_order
from cloud.orders.operator_actions import NotReturnable, give_back, left_to_return, returned_so_far, wanted_of
from cloud.orders.return_rules import (
    DAY,
    DECIDED,
    FOLLOWED,
    OPEN,
    OPEN_FOR,
    TEXT_LIMIT,
    Limits,
    RequestState,
    ReturnReason,
    Way,
    is_same_person,
    person,
    way_of,
)
from cloud.orders.status_change import add_note


def _listed(words: Iterable[str]) -> str:
    return ", ".join(f"'{word}'" for word in words)


IS_OPEN, IS_FOLLOWED = f"state IN ({_listed(OPEN)})", f"state IN ({_listed(FOLLOWED)})"
"""Conditions of indexes; queries repeat them word for word."""


class ReturnRequest(Base):
    """One wish to return money, who decided it and what became of it. The database refuses a person's own approval."""

    __tablename__ = "return_requests"
    __table_args__ = (
        CheckConstraint(f"state IN ({_listed(RequestState)})", name="state"),
        CheckConstraint(f"reason IN ({_listed(ReturnReason)})", name="reason"),
        CheckConstraint("kopecks > 0", name="kopecks"),
        CheckConstraint("decided_by IS NULL OR decided_by <> requested_by", name="two_persons"),
        CheckConstraint("way <> 'second_person' OR decided_by IS NOT NULL", name="way"),
        Index(
            "uq_return_requests_one_open", "order_id", unique=True, postgresql_where=text(IS_OPEN),
            sqlite_where=text(IS_OPEN),
        ),
        Index("ix_return_requests_followed", "id", postgresql_where=text(IS_FOLLOWED), sqlite_where=text(IS_FOLLOWED)),
        Index("ix_return_requests_person", "requested_by", "requested_at"),
        Index("ix_return_requests_state", "state", "expires_at"),
    )  # fmt: skip

    id: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=True)
    order_id: Mapped[str] = mapped_column(ForeignKey("orders.id"), index=True)
    merchant_id: Mapped[str] = mapped_column(String(64))
    kopecks: Mapped[int] = mapped_column(Integer)
    reason: Mapped[str] = mapped_column(String(32))
    words: Mapped[str] = mapped_column(String(TEXT_LIMIT), default="")
    state: Mapped[str] = mapped_column(String(16))
    requested_by: Mapped[str] = mapped_column(String(64))
    requested_at: Mapped[datetime]
    expires_at: Mapped[datetime]
    status_then: Mapped[str] = mapped_column(String(16))
    given_then: Mapped[int] = mapped_column(Integer)
    """`returned_so_far` when it was asked: a decision is about the order as it was then."""
    way: Mapped[str] = mapped_column(String(16), default="")
    decided_by: Mapped[str | None] = mapped_column(String(64), default=None)
    decided_at: Mapped[datetime | None] = mapped_column(default=None)
    decision: Mapped[str] = mapped_column(String(TEXT_LIMIT), default="")
    """Why it was declined, or why the money did not go."""
    back_at: Mapped[int | None] = mapped_column(Integer, default=None)
    """Of a poured drink: returned once so many kopecks of the order are back."""


class ReturnedMeanwhile(NotReturnable):
    """Less is left to return than the asker was shown; both in kopecks."""

    def __init__(self, returned: int, left: int) -> None:
        super().__init__(f"{returned} kopecks were returned meanwhile, {left} are left")
        self.returned, self.left = returned, left


class NotAllowed(Exception):
    """This cannot be asked or decided; the code names a sentence, the words are for a log."""

    def __init__(self, code: str, words: str) -> None:
        super().__init__(words)
        self.code = code


@dataclass(frozen=True)
class Wanted:
    """What is wanted: all that is left without a sum."""

    reason: ReturnReason
    words: str = ""
    kopecks: int | None = None
    shown_left: int | None = None
    """Kopecks that a page said could be returned; None where no page showed any."""


@dataclass(frozen=True)
class Asker:
    """The person who asks, and what else may stand for a second person."""

    name: str
    is_alone: bool = False
    """Nobody else of this merchant could approve."""
    stepped_up: bool = False


def ask(tx: Transaction, order_id: str, wanted: Wanted, by: Asker, limits: Limits, now: datetime) -> ReturnRequest:
    """Ask for a return; what is within the person's limits is decided at once.

    Raises `UnknownOrder`, `NotReturnable`, `StepUpNeeded` and `NotAllowed`.
    """
    words = wanted.words.strip()
    if wanted.reason is ReturnReason.OTHER and not words:
        raise NotAllowed("words_needed", "another reason needs words")
    if len(words) > TEXT_LIMIT or not person(by.name):
        raise NotAllowed("bad_words", f"a name, and at most {TEXT_LIMIT} characters")
    locked = lock_order(tx, order_id)
    if _open_of(tx, order_id) is not None:
        raise NotAllowed("already_asked", "a return of this order is open already")
    _stands_as_shown(locked, wanted.shown_left)
    kopecks = wanted_of(locked, wanted.kopecks)
    hold(tx, f"returns of {person(by.name)}")
    returned = _returned_in_a_day(tx, by.name, now)
    way = way_of(kopecks, returned, limits, is_alone=by.is_alone, stepped_up=by.stepped_up)
    request = ReturnRequest(
        order_id=order_id, merchant_id=locked.order.merchant_id, kopecks=kopecks, reason=wanted.reason.value,
        words=words, state=RequestState.REQUESTED.value, requested_by=person(by.name), requested_at=now,
        expires_at=now + OPEN_FOR, status_then=locked.order.status,
        given_then=returned_so_far(locked.order, locked.payments),
    )  # fmt: skip
    tx.session.add(request)
    tx.session.flush()
    if way is None:
        add_note(locked, "return_requested", request.requested_by, now, request.reason, {"kopecks": kopecks})
    else:
        _give_back(tx, locked, request, way, None, now)
    return request


def waits_for_approval(now: datetime) -> ColumnElement[bool]:
    """The condition of those a second person may decide about now."""
    return and_(ReturnRequest.state == RequestState.REQUESTED.value, ReturnRequest.expires_at > now)


def _stands_as_shown(locked: LockedOrder, shown: int | None) -> None:
    """From an old page the same money would be returned once more."""
    left = left_to_return(locked.order, locked.payments)
    if shown is None or shown == left:
        return
    if shown > left:
        raise ReturnedMeanwhile(shown - left, left)
    raise NotAllowed("stale", f"{left} kopecks can be returned now, and {shown} were shown")


def approve(tx: Transaction, request_id: int, by: str, now: datetime) -> ReturnRequest:
    """Approve as a second person. Raises `NotReturnable` and `NotAllowed`: one's own, a stale or an ended request."""
    request, locked = _locked(tx, request_id, now)
    if is_same_person(request.requested_by, by):
        raise NotAllowed("own_request", "who asked for a return does not approve it")
    _give_back(tx, locked, request, Way.SECOND_PERSON, person(by), now)
    return request


def approve_alone(tx: Transaction, request_id: int, by: Asker, now: datetime) -> ReturnRequest:
    """Approve one's own request as the only person there is, after a step-up."""
    request, locked = _locked(tx, request_id, now)
    if not (by.is_alone and by.stepped_up and is_same_person(request.requested_by, by.name)):
        raise NotAllowed("second_person", "a second person decides")
    _give_back(tx, locked, request, Way.STEP_UP, None, now)
    return request


def decline(tx: Transaction, request_id: int, by: str, why: str, now: datetime) -> ReturnRequest:
    """Decline a request, with a reason; the person who asked may take it back."""
    request, locked = _locked(tx, request_id, now)
    is_own = is_same_person(request.requested_by, by)
    request.state, request.decided_at, request.decision = RequestState.DECLINED.value, now, why.strip()[:TEXT_LIMIT]
    request.decided_by = None if is_own else person(by)
    add_note(locked, "return_declined", person(by), now, why.strip()[:128], {"kopecks": request.kopecks})
    return request


def _give_back(
    tx: Transaction, locked: LockedOrder, request: ReturnRequest, way: Way, decided_by: str | None, now: datetime
) -> None:
    order = locked.order
    returned = returned_so_far(order, locked.payments)
    if (order.status, returned) != (request.status_then, request.given_then):
        words = "the order is {} now with {} kopecks returned, and was {} with {}"
        raise NotAllowed("stale", words.format(order.status, returned, request.status_then, request.given_then))
    why = f"{request.reason}: {request.words}" if request.words else request.reason
    give_back(tx, order.id, request.kopecks, decided_by or request.requested_by, why, now)
    request.state, request.way = RequestState.APPROVED.value, way.value
    request.decided_by, request.decided_at = decided_by, now
    request.back_at = order.given_back or None
    tx.session.flush()


def _locked(tx: Transaction, request_id: int, now: datetime) -> tuple[ReturnRequest, LockedOrder]:
    """The request that waits for a decision, and its order. The order is locked first, as everywhere."""
    order_id = tx.session.scalar(select(ReturnRequest.order_id).where(ReturnRequest.id == request_id))
    if order_id is None:
        raise NotAllowed("unknown_request", f"no request {request_id}")
    locked = lock_order(tx, order_id)
    request = tx.session.get_one(ReturnRequest, request_id, populate_existing=True)
    if request.state != RequestState.REQUESTED or now >= request.expires_at:
        raise NotAllowed("not_open", f"the request is {request.state}")
    return request, locked


def _open_of(tx: Transaction, order_id: str) -> ReturnRequest | None:
    return tx.session.scalar(select(ReturnRequest).where(ReturnRequest.order_id == order_id, text(IS_OPEN)))


def _returned_in_a_day(tx: Transaction, name: str, now: datetime) -> int:
    """Kopecks this person has had returned within the limits in a day."""
    own = (ReturnRequest.requested_by == person(name)) & (ReturnRequest.requested_at > now - DAY)
    alone = ReturnRequest.way == Way.WITHIN_LIMITS.value
    decided = ReturnRequest.state.in_([state.value for state in DECIDED])
    total = select(func.coalesce(func.sum(ReturnRequest.kopecks), 0)).where(own, alone, decided)
    return int(tx.session.scalar(total) or 0)
