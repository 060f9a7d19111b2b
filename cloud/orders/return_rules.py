"""Who may return how much: reasons, limits, the life of a request. Pure rules; amounts are kopecks.

Within their limits a person returns money alone. Above them a second person decides, never the one who asked; where
there is no second person, the only one proves their identity once more (a step-up).
"""

from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum

TEXT_LIMIT = 500
OPEN_FOR = timedelta(hours=72)
"""So long a request waits for a second person."""
DAY = timedelta(days=1)
"""The day of a limit: any 24 hours, whatever the clock on a wall says."""


class ReturnReason(StrEnum):
    """Why a person returns money. Closed: what cannot be counted cannot be mended."""

    NOT_POURED = "not_poured"
    HALF_POURED = "half_poured"
    BAD_DRINK = "bad_drink"
    WRONG_DRINK = "wrong_drink"
    PAID_TWICE = "paid_twice"
    GOODWILL = "goodwill"
    OTHER = "other"
    """Something else: then words are needed."""


class RequestState(StrEnum):
    """How far a request has come."""

    REQUESTED = "requested"
    APPROVED = "approved"
    """Decided; the call that returns the money is not written yet (a hold is taken first)."""
    DECLINED = "declined"
    EXPIRED = "expired"
    OWED = "owed"
    """The call is in the outbox or under way."""
    RETURNED = "returned"
    REFUSED = "refused"
    """Decided, and yet the money did not go: the provider refuses, or the machine said after all that it poured."""


OPEN = (RequestState.REQUESTED, RequestState.APPROVED, RequestState.OWED)
"""An order has at most one of these."""
FOLLOWED = (RequestState.APPROVED, RequestState.OWED, RequestState.REFUSED)
"""What becomes of their money is looked at; a refusal may still turn into a return."""
DECIDED = frozenset({RequestState.APPROVED, RequestState.OWED, RequestState.RETURNED, RequestState.REFUSED})


class Way(StrEnum):
    """By whose word a request was decided."""

    WITHIN_LIMITS = "within_limits"
    """The person who asked, within the limits."""
    SECOND_PERSON = "second_person"
    STEP_UP = "step_up"
    """The only person there is, after a step-up."""


@dataclass(frozen=True)
class Limits:
    """What one person returns without another."""

    per_act: int = 50_000
    per_person_day: int = 300_000


class StepUpNeeded(Exception):
    """Above the limit, and nobody else can decide: the person must prove their identity once more."""


def way_of(kopecks: int, returned_today: int, limits: Limits, *, is_alone: bool, stepped_up: bool) -> Way | None:
    """How this act is decided at once; None when it waits for a second person. Raises `StepUpNeeded`."""
    if kopecks <= limits.per_act and returned_today + kopecks <= limits.per_person_day:
        return Way.WITHIN_LIMITS
    if not is_alone:
        return None
    if not stepped_up:
        raise StepUpNeeded
    return Way.STEP_UP


@dataclass(frozen=True)
class MoneyNow:
    """What a decided request sees of its order's money."""

    is_back: bool
    has_task: bool
    """A call that returns it is open."""
    is_hopeless: bool
    """The provider has refused again and again, or a person must do it there."""
    is_void: bool
    """Nothing is owed any more: the machine said after all that it poured."""


def state_after(now: MoneyNow) -> RequestState:
    """Where a decided request stands."""
    if now.is_back:
        return RequestState.RETURNED
    if now.is_hopeless or now.is_void:
        return RequestState.REFUSED
    return RequestState.OWED if now.has_task else RequestState.APPROVED


def is_same_person(one: str, other: str) -> bool:
    """Names are addresses: capitals and spaces around them make no second person."""
    return person(one) == person(other)


def person(name: str) -> str:
    """A person's name as it is kept and compared."""
    return name.strip().casefold()[:64]
