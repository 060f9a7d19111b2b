"""Money taken or held and neither poured nor returned: how much, how old, what happens next. Only looks.

What a person decided to return of a poured drink is at risk too, from then until it is back. At once is whatever
nobody can be asked about: its account's key is gone, fits none of our keys (`unreadable`), or is refused.
What nobody and nothing will move by itself is `person`'s; an empty answer is a good day.
"""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Protocol

from sqlalchemy import (
    Boolean,
    ColumnElement,
    Select,
    and_,
    case,
    exists,
    false,
    func,
    literal,
    or_,
    select,
    text,
    tuple_,
    type_coerce,
)
from sqlalchemy.orm import Session, aliased

from cloud.fleet.accounts import Account
from cloud.fleet.models import Credential, FormerCredential
from cloud.orders.models import MONEY_BESIDE, NOT_EARNED, UNFINISHED, MakeCommand, Order, Payment
from cloud.orders.money import REFUSALS_FOR_A_PERSON, PaymentState
from cloud.orders.outbox import MAY_BE_DONE, OutboxRow
from cloud.orders.states import ON_ITS_WAY, Status, values_of
from cloud.orders.tasks import ASKED_FOR, DONE, KEY_REFUSED, NEVER_RETURNED, REFUSED, RETURNS, Task
from cloud.orders.waiting_return import PAYS

STUCK_AFTER_S = 2 * 3600.0
"""The provider ends an unpaid payment after an hour; after twice that, asking alone is not enough."""
UNANSWERED_FOR_A_PERSON = 20
"""Failed questions in a row about one payment: over an hour of them."""
BATCH = 500
"""Orders looked at closely in one statement."""


class Next(StrEnum):
    """What happens next to the money."""

    POURING = "pouring"
    WAITING_FOR_BUYER = "waiting_for_buyer"
    """Paid late: the buyer or an operator can have it poured, else it goes back."""
    WAITING_FOR_EVIDENCE = "waiting_for_evidence"
    CAPTURE_DUE = "capture_due"
    """Poured; the hold is to be taken."""
    RETURN_OPEN = "return_has_open_task"
    RETURN_ASKED = "return_asked"
    """Sent to the provider, whose answer is not final."""
    PERSON = "person"
    DIFFERENCE = "difference"
    """Reconciliation found it, and nobody has explained it yet."""
    ASKED_AGAIN = "asked_again"
    """Reconciliation found it, and the provider is being asked once more."""


WAITS_FOR_PERSON = frozenset({Next.PERSON, Next.DIFFERENCE})
"""What nobody and nothing moves by itself."""


class Risk(Protocol):
    """Some money, since when, and what happens next."""

    @property
    def action(self) -> Next: ...
    @property
    def kopecks(self) -> int: ...
    @property
    def since(self) -> datetime: ...


@dataclass(frozen=True)
class AtRisk:
    """All money with one next action."""

    action: Next
    kopecks: int
    payments: int
    oldest_s: float


@dataclass(frozen=True)
class MoneyAtRisk:
    """One payment's money."""

    action: Next
    kopecks: int
    since: datetime
    return_since: datetime | None
    """Since when its return, if there is one, could have been made; retries and refusals change nothing."""
    order_id: str
    payment_id: str
    provider_payment_id: str
    merchant_id: str
    scenario: str
    account_id: str
    device_uuid: str
    state: PaymentState
    has_credential: bool
    """Somebody can be asked about it: its account's key is here, and can be read."""
    key_is_refused: bool
    """The provider does not accept that key: it was rotated there, and not here."""
    refusals: int
    """How often the provider refused what is still to be made of it."""


_ACTS = (Task.CAPTURE.value, Task.CANCEL.value, Task.REFUND.value)
_HAS_MONEY = Payment.captured > Payment.refunded
_NOT_SUCCESSFUL = values_of(frozenset(Status) - {Status.SUCCESSFUL})
_POURED = Order.status == Status.SUCCESSFUL.value
_DECIDED = Order.given_back > Payment.refunded
_OWES = and_(_POURED, _DECIDED)
"""Of a poured drink a person decided to return more than is back."""
_OPEN_STATES = (PaymentState.CREATING.value, PaymentState.PENDING.value)
_of_payment = and_(OutboxRow.subject == Payment.id, OutboxRow.task.in_(_ACTS))
_is_open_task = and_(_of_payment, OutboxRow.settled_at.is_(None))
_has_open_task = exists().where(_is_open_task)
_begun = exists().where(_is_open_task, MAY_BE_DONE)
_key_is_refused = or_(Payment.key_refused, exists().where(_is_open_task, OutboxRow.last_error.like(f"{KEY_REFUSED}%")))
_later, _of_same_act = aliased(OutboxRow), aliased(OutboxRow)
_same_act = and_(_of_same_act.subject == OutboxRow.subject, _of_same_act.task == OutboxRow.task)
_is_to_be_made = exists().where(_same_act, _of_same_act.settled_at.is_(None))
_ended_otherwise_since = exists().where(
    _same_act, _of_same_act.id > OutboxRow.id, _of_same_act.verdict.not_in(("", REFUSED))
)
_refusals = (  # the same as `tasks.refusals`
    select(func.count())
    .where(_of_payment, OutboxRow.verdict == REFUSED, _is_to_be_made, ~_ended_otherwise_since)
    .scalar_subquery()
)
_is_back = exists().where(  # an earlier part of it
    _later.subject == OutboxRow.subject, _later.task.in_(RETURNS), _later.verdict == DONE, _later.id >= OutboxRow.id
)
_may_go_back_from = case(
    (and_(Order.uncertain, Order.return_after > OutboxRow.created_at), Order.return_after), else_=OutboxRow.created_at
)
_return_since = (
    select(func.min(_may_go_back_from))
    .where(OutboxRow.subject == Payment.id, OutboxRow.task.in_(RETURNS))
    .where(OutboxRow.verdict.not_in(NEVER_RETURNED), ~_is_back)
    .correlate(Payment, Order)
    .scalar_subquery()
)
_is_known = or_(
    *(
        exists().where(
            kind.merchant_id == Payment.merchant_id,
            kind.scenario == Payment.scenario,
            kind.account_id == Payment.account_id,
        )
        for kind in (Credential, FormerCredential)
    )
)
_ACCOUNT = tuple_(Payment.merchant_id, Payment.scenario, Payment.account_id)
_capture_since = (
    select(func.min(OutboxRow.created_at))
    .where(OutboxRow.subject == Payment.id, OutboxRow.task == Task.CAPTURE.value)
    .correlate(Payment)
    .scalar_subquery()
)
_earns_its_hold = and_(PAYS, _POURED, Payment.state == PaymentState.HELD.value)
_command_since = (
    select(func.max(MakeCommand.issued_at))
    .where(MakeCommand.order_id == Order.id, MakeCommand.live)
    .correlate(Order)
    .scalar_subquery()
)
_is_on_its_way = and_(PAYS, Order.status.in_(values_of(ON_ITS_WAY)))


def summed(risks: Iterable[Risk], now: datetime) -> list[AtRisk]:
    """Kopecks, payments and the oldest age for each next action there is."""
    by_action: dict[Next, list[Risk]] = {}
    for risk in risks:
        by_action.setdefault(risk.action, []).append(risk)
    return [
        AtRisk(
            action,
            sum(risk.kopecks for risk in listed),
            len(listed),
            max(0.0, (now - min(risk.since for risk in listed)).total_seconds()),
        )
        for action, listed in sorted(by_action.items())
    ]


def each_at_risk(
    session: Session, now: datetime, account: Account | None = None, unreadable: Collection[Account] = ()
) -> list[MoneyAtRisk]:
    """Every payment whose money is at risk, oldest first; of one `account` when it is given."""
    found: list[MoneyAtRisk] = []
    is_open = Payment.state.in_(_OPEN_STATES)
    worrying = or_(_is_stuck(now), and_(is_open, or_(Payment.key_refused, _nobody_to_ask(unreadable))))
    suspects = _suspects(session, worrying)
    asked = _each(now, worrying, unreadable)
    for start in range(0, len(suspects), BATCH):
        of_orders = Payment.order_id.in_(suspects[start : start + BATCH])
        for row in session.execute(asked.where(of_orders)):
            if account in {None, (row.merchant_id, row.scenario, row.account_id)}:
                told = dict(row._mapping) | {"action": Next(row.action), "state": PaymentState(row.state)}
                found.append(MoneyAtRisk(**told))
    return sorted(found, key=lambda money: (money.since, money.payment_id))


def endangered(session: Session, order_ids: Collection[str], now: datetime) -> set[str]:
    """Those of these orders that have money at risk."""
    asked = _each(now, _is_stuck(now), ()).where(Payment.order_id.in_(order_ids))
    return {row.order_id for row in session.execute(asked)}


def unsettled(session: Session, account: Account) -> tuple[int, int]:
    """Payments and kopecks at an account that have not come to their end, at risk or not."""
    unfinished = Payment.state.in_((*_OPEN_STATES, PaymentState.HELD.value))
    kopecks = case((unfinished, Payment.amount), else_=Payment.captured - Payment.refunded)
    found = select(func.count(), func.coalesce(func.sum(kopecks), 0)).join(Order, Order.id == Payment.order_id)
    owed = and_(_HAS_MONEY, ~and_(_POURED, PAYS, ~_OWES))
    payments, total = session.execute(found.where(_ACCOUNT.in_([account]), or_(unfinished, owed))).one()
    return int(payments), int(total)


def _suspects(session: Session, worrying: ColumnElement[bool]) -> list[str]:
    """Orders worth a close look, found without one at every sale there ever was.

    A poured order has money beside its own only where an ended payment brought some after all, a wrong one did, or one
    that came second, and owes of its own only what a person decided.
    """
    held_or_worrying = or_(Payment.state == PaymentState.HELD.value, worrying)
    suspicious = (
        select(Payment.order_id).where(text(UNFINISHED), held_or_worrying),
        select(Payment.order_id).where(text(MONEY_BESIDE)),
        select(Order.id)
        .join(Payment, Payment.order_id == Order.id)
        .where(text(NOT_EARNED), or_(Order.status.in_(_NOT_SUCCESSFUL), _DECIDED, ~PAYS)),
    )
    return sorted({order_id for asked in suspicious for order_id in session.scalars(asked)})


def _each(now: datetime, worrying: ColumnElement[bool], unreadable: Collection[Account]) -> Select[Any]:
    has_own = and_(_POURED, PAYS)
    keeps_own = and_(has_own, ~_OWES)
    held = Payment.state == PaymentState.HELD.value
    balance = Payment.captured - Payment.refunded
    return (
        select(
            _next(now, unreadable).label("action"),
            case(
                (or_(held, Payment.state.in_(_OPEN_STATES)), Payment.amount),
                (and_(has_own, Order.given_back - Payment.refunded < balance), Order.given_back - Payment.refunded),
                else_=balance,
            ).label("kopecks"),
            func.coalesce(_wanted_since(unreadable), Payment.paid_at, Payment.started_at).label("since"),
            _return_since.label("return_since"),
            Payment.order_id,
            Payment.id.label("payment_id"),
            func.coalesce(Payment.provider_payment_id, "").label("provider_payment_id"),
            Payment.merchant_id,
            Payment.scenario,
            Payment.account_id,
            Order.device_uuid,
            Payment.state,
            type_coerce(~_nobody_to_ask(unreadable), Boolean).label("has_credential"),
            type_coerce(_key_is_refused, Boolean).label("key_is_refused"),
            _refusals.label("refusals"),
        )
        .join(Order, Order.id == Payment.order_id)
        .where(or_(held, worrying, and_(_HAS_MONEY, ~keeps_own)))
    )


def _is_stuck(now: datetime) -> ColumnElement[bool]:
    long_ago = Payment.started_at < now - timedelta(seconds=STUCK_AFTER_S)
    return and_(Payment.state.in_(_OPEN_STATES), long_ago)


def _nobody_to_ask(unreadable: Collection[Account]) -> ColumnElement[bool]:
    """The key of the payment's account is gone, or cannot be read."""
    return or_(~_is_known, _ACCOUNT.in_(list(unreadable)) if unreadable else false())


def _is_hopeless(unreadable: Collection[Account]) -> ColumnElement[bool]:
    return or_(
        Payment.state.in_(_OPEN_STATES),
        _nobody_to_ask(unreadable),
        _key_is_refused,
        and_(_has_open_task, _refusals >= REFUSALS_FOR_A_PERSON),
        Payment.checks >= UNANSWERED_FOR_A_PERSON,
    )


def _wanted_since(unreadable: Collection[Account]) -> ColumnElement[datetime]:
    """Of what moves long after it was paid; a drink of late money is poured when somebody says so."""
    return case(
        (and_(_OWES, PAYS), _return_since),
        (_earns_its_hold, _capture_since),
        (and_(_is_on_its_way, ~_is_hopeless(unreadable)), _command_since),
    )


def _next(now: datetime, unreadable: Collection[Account]) -> Any:
    """What must come first is named first: nothing moves without a key, or against a provider that says no."""
    evidence_is_awaited = and_(PAYS, Order.uncertain.is_(True), Order.return_after > now)
    moves_by_itself = and_(_has_open_task, ~and_(PAYS, Order.waits_for_person))
    machine_is_asked = and_(Order.uncertain.is_(True), Order.restored_at > now - ASKED_FOR, ~moves_by_itself)
    return case(
        (_is_hopeless(unreadable), literal(Next.PERSON.value)),
        (_is_on_its_way, literal(Next.POURING.value)),
        (and_(PAYS, Order.status == Status.MANUAL_MAKE.value), literal(Next.WAITING_FOR_BUYER.value)),
        (machine_is_asked, literal(Next.WAITING_FOR_EVIDENCE.value)),
        (~moves_by_itself, literal(Next.PERSON.value)),
        (_earns_its_hold, literal(Next.CAPTURE_DUE.value)),
        (evidence_is_awaited, literal(Next.WAITING_FOR_EVIDENCE.value)),
        (_begun, literal(Next.RETURN_ASKED.value)),
        else_=literal(Next.RETURN_OPEN.value),
    )
