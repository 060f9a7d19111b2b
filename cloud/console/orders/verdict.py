"""The truth about an order in one sentence: what became of the drink, and where its money is. Pure.

"Poured" is never said without the machine's word, "back" never without the provider's (promise 6).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Literal

from cloud.orders.money import REFUSALS_FOR_A_PERSON, PaymentSnapshot, PaymentState, paying_payment
from cloud.orders.states import EXPIRED, FAILURES, SEEN_POURED, SENT, TOLD_LATE, UNOBSERVED, Status

Light = Literal["good", "warn", "bad", ""]

_KEEPS_NOTHING = frozenset({Status.MAKE_FAILED, Status.FAILED, Status.NOT_PAID})
"""No drink: all the money is to go back."""


_POURED_BY = {UNOBSERVED: "orders.drink.unobserved", SEEN_POURED: "orders.drink.seen_poured"}
"""By stage: whatever is not the machine's word."""


class MoneyIs(StrEnum):
    """Where the buyer's money is."""

    NONE = "none"
    ASKED = "asked"
    """A payment is open; nothing has come."""
    HELD = "held"
    TAKEN = "taken"
    WAITING = "waiting"
    """Evidence is awaited; it goes back by itself."""
    PERSON = "person"
    RETURNING = "returning"
    RETURNED = "returned"
    LET_GO = "let_go"
    PART = "part"
    STUCK = "stuck"
    """It should go back, and does not."""
    PART_RETURNING = "part_returning"
    PART_STUCK = "part_stuck"
    SECOND_RETURNING = "second_returning"
    """The drink's own stays where it is; what another payment brought goes back."""
    SECOND_STUCK = "second_stuck"


_STUCK = frozenset({MoneyIs.STUCK, MoneyIs.PART_STUCK, MoneyIs.SECOND_STUCK})


@dataclass(frozen=True)
class Returning:
    """The calls that give the money of one payment back, in short."""

    is_open: bool = False
    has_begun: bool = False
    refusals: int = 0
    """How often the provider refused one that is still to be made."""
    is_for_person: bool = False
    """A person is to make one where we cannot."""
    kopecks: int = 0
    """So much is still to go back."""

    @property
    def is_stuck(self) -> bool:
        return self.refusals >= REFUSALS_FOR_A_PERSON or self.is_for_person


@dataclass(frozen=True)
class Facts:
    """All the verdict rests on."""

    status: Status
    price: int = 0
    reason: str = ""
    stage: str = ""
    uncertain: bool = False
    waits_for_person: bool = False
    is_free: bool = False
    payments: Sequence[PaymentSnapshot] = field(default=())
    returning: Mapping[str, Returning] = field(default_factory=dict)
    """By payment: of those of which money goes back, or should."""
    finished_at: datetime | None = None
    money_at: datetime | None = None
    """When its money moved last."""
    returns_at: datetime | None = None
    """When it goes back by itself."""


@dataclass(frozen=True)
class Phrase:
    """One half of the sentence: its key, and what is filled in."""

    key: str
    at: datetime | None = None
    kopecks: int = 0
    reason: str = ""


@dataclass(frozen=True)
class Verdict:
    """The sentence, and how bad it is."""

    first: Phrase
    second: Phrase
    light: Light


def verdict(facts: Facts) -> Verdict:
    """What became of the order. Where something went wrong, money is what people ask about: it comes first."""
    drink, money, where = drink_phrase(facts), money_phrase(facts), money_is(facts)
    light = _light(facts, where)
    went_wrong = facts.status in FAILURES and where is not MoneyIs.NONE
    return Verdict(money, drink, light) if went_wrong else Verdict(drink, money, light)


def money_is(facts: Facts) -> MoneyIs:
    """Where the money is: of the payment that pays, or of another that brought some."""
    payment = _payment_shown(facts.payments)
    if payment is None:
        is_open = any(p.state in {PaymentState.CREATING, PaymentState.PENDING} for p in facts.payments)
        return MoneyIs.ASKED if is_open else MoneyIs.NONE
    if payment.state is PaymentState.CANCELED and payment.captured <= payment.refunded:
        return MoneyIs.RETURNED if payment.refunded else MoneyIs.LET_GO
    if payment.refunded >= payment.captured > 0:
        return MoneyIs.RETURNED
    return _of_money_here(facts, payment)


def _of_money_here(facts: Facts, payment: PaymentSnapshot) -> MoneyIs:
    returning, pays = facts.returning.get(payment.id, Returning()), payment is paying_payment(facts.payments)
    others, is_part = _of_others(facts, payment), 0 < returning.kopecks < payment.captured - payment.refunded
    if returning.is_stuck:
        return MoneyIs.PART_STUCK if is_part else MoneyIs.STUCK
    if pays and facts.waits_for_person:
        return MoneyIs.PERSON
    if any(other.is_stuck for other in others):
        return MoneyIs.SECOND_STUCK
    if returning.is_open:
        awaits = pays and facts.returns_at is not None and not returning.has_begun
        return MoneyIs.WAITING if awaits else MoneyIs.PART_RETURNING if is_part else MoneyIs.RETURNING
    if any(other.is_open for other in others):
        return MoneyIs.SECOND_RETURNING
    if payment.refunded:
        return MoneyIs.PART
    if not pays or facts.status in _KEEPS_NOTHING:
        return MoneyIs.STUCK
    return MoneyIs.HELD if payment.state is PaymentState.HELD else MoneyIs.TAKEN


def _of_others(facts: Facts, payment: PaymentSnapshot) -> list[Returning]:
    return [returning for payment_id, returning in facts.returning.items() if payment_id != payment.id]


def drink_phrase(facts: Facts) -> Phrase:
    """What became of the drink, as far as the machine has said."""
    status, key = facts.status, f"orders.drink.{facts.status.value}"
    match status:
        case Status.SUCCESSFUL:
            return Phrase(_POURED_BY.get(facts.stage, key), at=None if facts.stage == TOLD_LATE else facts.finished_at)
        case Status.MAKE_FAILED:
            return Phrase("orders.drink.uncertain" if facts.uncertain else key, reason=facts.reason)
        case Status.FAILED:
            is_over = facts.reason == EXPIRED
            return Phrase("orders.drink.expired" if is_over else key, reason=facts.reason)
        case Status.MAKE_PENDING:
            return Phrase("orders.drink.sent" if facts.stage in {"", SENT} else key)
        case _:
            return Phrase(key)


def money_phrase(facts: Facts) -> Phrase:
    """Where the money is."""
    if facts.is_free:
        return Phrase("orders.money.free")
    where = money_is(facts)
    payment = _payment_shown(facts.payments)
    at = facts.returns_at if where is MoneyIs.WAITING else facts.money_at
    return Phrase(f"orders.money.{where.value}", at=at, kopecks=_kopecks(facts, where, payment))


def _kopecks(facts: Facts, where: MoneyIs, payment: PaymentSnapshot | None) -> int:
    """Of a hold a part may be taken (in the provider's cabinet): what came is told, not the price."""
    if payment is None:
        return 0
    match where:
        case MoneyIs.PART:
            return payment.refunded
        case MoneyIs.TAKEN:
            return payment.captured
        case MoneyIs.PART_RETURNING | MoneyIs.PART_STUCK:
            return facts.returning[payment.id].kopecks
        case MoneyIs.SECOND_RETURNING | MoneyIs.SECOND_STUCK:
            is_stuck = where is MoneyIs.SECOND_STUCK
            return sum(other.kopecks for other in _of_others(facts, payment) if other.is_stuck == is_stuck)
        case _:
            return payment.amount


def _payment_shown(payments: Sequence[PaymentSnapshot]) -> PaymentSnapshot | None:
    """The payment that pays, or another that brought money: what is back waits for nobody, what is still here may."""
    had = [p for p in payments if p.captured or p.state is PaymentState.HELD]
    here = [p for p in had if p.state is PaymentState.HELD or p.captured > p.refunded]
    pays = paying_payment(payments)
    if pays is not None and (pays in here or not here):
        return pays
    return next(reversed(here or had), None)


def _light(facts: Facts, where: MoneyIs) -> Light:
    if where in _STUCK | {MoneyIs.PERSON} or (where is MoneyIs.PART and facts.status in _KEEPS_NOTHING):
        return "bad"
    if facts.status is Status.MAKE_FAILED:
        return "warn"
    if facts.status is Status.SUCCESSFUL:
        return "good" if where in {MoneyIs.TAKEN, MoneyIs.HELD, MoneyIs.NONE} else "warn"
    if facts.status is Status.MANUAL_MAKE:
        return "warn"
    return ""
