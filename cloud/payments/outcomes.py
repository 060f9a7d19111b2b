"""How a call to a provider can end, which question each end leaves open, and when to ask again.

Pure. Only Rejected and NotOurs are the provider's last word. AuthError, RateLimited and NotSent speak of this one
sending: an earlier sending of the same call may still have worked.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Generic, TypeVar

REPLAY_LIMIT_S = 23 * 3600.0
"""A key is remembered for 24 h; a later replay would be a new operation. An hour is left for clocks and slow calls."""

LONGEST_WAIT_S = 300.0
"""No question about money waits longer than this for its next try, whatever the provider asks for."""


T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)


@dataclass(frozen=True)
class Ok(Generic[T_co]):
    """The provider answered and this is the fact. Next question: does it agree with our order (`differences`)?"""

    value: T_co


@dataclass(frozen=True)
class Rejected:
    """A definite refusal: nothing was done, and the call is not sent again. Next question: what does GET say now?

    A changed request takes a new key. After `key_conflict` something else lives under that key: look it up first.
    """

    code: str
    parameter: str | None = None
    description: str | None = None
    support_id: str | None = None
    key_conflict: bool = False


@dataclass(frozen=True)
class NotOurs:
    """The provider knows no such object for this shop. Next question: another shop's, a test one, or a forgery?"""

    description: str | None = None


@dataclass(frozen=True)
class AuthError:
    """The credential is refused; nothing was done. Next question: who mends it? Then the same call again, same key."""

    code: str = ""
    description: str | None = None


@dataclass(frozen=True)
class RateLimited:
    """Too many requests; nothing was done. Next question: when? The same call again, same key."""

    retry_after_s: float | None = None


@dataclass(frozen=True)
class NotSent:
    """Not a byte of the call left us (refused, no name, our own limit, open circuit). Next question: when? Same key.

    Only a call whose every sending ended so may be given up without asking the provider. `held_back` by ourselves:
    nothing was tried, and it goes when `retry_after_s` is over.
    """

    why: str
    retry_after_s: float | None = None
    held_back: bool = False


@dataclass(frozen=True)
class Unknown:
    """It may have happened. Never shown as a failure. Next: the same bytes with the same key, or GET, until known."""

    why: str
    retry_after_s: float | None = None


LEASE_OVER = NotSent("its lease is over, and somebody else may be at it", held_back=True)

Outcome = Ok[T] | Rejected | NotOurs | AuthError | RateLimited | NotSent | Unknown


def next_ask(attempt: int, retry_after_s: float | None, jitter: Callable[[], float]) -> float:
    """Seconds to wait after the `attempt`-th asking (1 is the first): 1, 2, 3, 5, 8, 13, 21 ... at most LONGEST_WAIT_S.

    `jitter` gives [0, 1) and takes up to a fifth off, so that many orders do not ask in step; the provider's own
    `retry_after_s` is a lower bound.
    """
    wait, following = 1.0, 2.0
    for _ in range(attempt - 1):
        if wait >= LONGEST_WAIT_S:
            break
        wait, following = following, wait + following
    wait = min(wait, LONGEST_WAIT_S) * (1.0 - 0.2 * jitter())
    return min(max(wait, retry_after_s or 0.0), LONGEST_WAIT_S)


def may_replay(first_sent_at: datetime, now: datetime) -> bool:
    """Whether a stored call may still be sent with its key; afterwards a person looks at the list and decides."""
    return now - first_sent_at < timedelta(seconds=REPLAY_LIMIT_S)
