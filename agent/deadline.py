"""May this command still start? Pure; refuses to guess for the cloud's clock when it has not been learnt."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum

from agent.clock import Reading

CERTAINLY_WRONG = timedelta(seconds=5)
"""The command was born by the cloud's clock, so a wall clock this far behind its birth is slow, and proves nothing."""
WELCOME_PATIENCE_S = 3.0
"""How long a command waits for the cloud's clock before our own is believed; normally it is there already."""
ASKED_LATELY_S = 1.0
"""The cloud is not asked for its time again so soon after it was."""


class Timeliness(Enum):
    """The answer; `WAIT` means: ask again when the cloud's clock is learnt, or a little later."""

    FRESH = "fresh"
    EXPIRED = "expired"
    WAIT = "wait"


@dataclass(frozen=True, slots=True)
class Term:
    """One command's time limits. `waiting_since`: steady seconds of its receipt, or of our start if that came later."""

    issued_at: datetime
    deadline_at: datetime
    waiting_since: float
    outlived_a_restart: bool
    """True: how long it waited before this process started is unknown to the steady clock."""
    freshness_s: float
    """The profile's own limit on a command's age."""
    broker_until: float | None = None
    """Steady seconds at which the broker would have dropped it; None when it set no expiry."""

    @property
    def latest(self) -> datetime:
        """The deadline, or the profile's own, by the cloud's clock."""
        freshest = timedelta(seconds=self.freshness_s)
        return self.issued_at + freshest if self.deadline_at - self.issued_at > freshest else self.deadline_at


def expires_at(term: Term, now: Reading) -> float:
    """Steady seconds from which on it is too late, by all that is known now."""
    until = _steadily_until(term)
    return until if now.cloud is None else min(until, now.monotonic + (term.latest - now.cloud).total_seconds())


def _steadily_until(term: Term) -> float:
    """By the steady clock alone: as long as it had to live when it was born, or as the broker left of that."""
    until = term.waiting_since + (term.latest - term.issued_at).total_seconds()
    return until if term.broker_until is None else min(until, term.broker_until)


def contradicts(issued_at: datetime, deadline_at: datetime, cloud: datetime) -> bool:
    """A command that has just come is over, or not born yet, by what the cloud said of its time: its clock was set."""
    return not issued_at - CERTAINLY_WRONG <= cloud < deadline_at


def judge(term: Term, now: Reading) -> Timeliness:
    """The strictest of the broker's expiry, the cloud's clock (ours while it is not known) and time since receipt.

    Our own clock alone never says fresh: a command without a broker's expiry may have waited there for hours.
    One that is not born yet by the cloud's newest word was issued before its clock was set back: its age nobody knows.
    """
    deadline = term.latest
    waited = now.monotonic - term.waiting_since
    if now.monotonic >= _steadily_until(term):
        return Timeliness.EXPIRED
    if now.cloud is not None:
        is_unborn = now.cloud < term.issued_at - CERTAINLY_WRONG
        may_be_old_news = now.heard_at < term.waiting_since - ASKED_LATELY_S
        if may_be_old_news and (is_unborn or (waited < WELCOME_PATIENCE_S and now.cloud >= term.deadline_at)):
            return Timeliness.WAIT
        return Timeliness.EXPIRED if is_unborn or now.cloud >= deadline else Timeliness.FRESH
    slow = now.wall < term.issued_at - CERTAINLY_WRONG
    if slow or term.broker_until is None or term.outlived_a_restart or waited < WELCOME_PATIENCE_S:
        return Timeliness.WAIT
    return Timeliness.EXPIRED if now.wall >= deadline else Timeliness.FRESH
