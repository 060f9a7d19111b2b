"""When a rollout goes on, and when it stops by itself. Pure."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum, StrEnum
from math import ceil

from cloud.courier.device_jobs import State
from cloud.releases.models import Step
from protocol.reasons import AgentCode, RejectCode, UpdateCode

DEFAULT = ("1", "5%", "25%", "all")
MOST_WAVES = 10
MOST_TRIES = 5
"""Of what passes by itself: a busy machine, a network that breaks off."""
_PASSES = frozenset({
    RejectCode.BUSY.value, AgentCode.EXPIRED.value, UpdateCode.NOT_FETCHED.value, UpdateCode.INTERRUPTED.value,
})  # fmt: skip
_NEVER = frozenset({UpdateCode.NO_RELEASE_KEY.value, RejectCode.UNSUPPORTED.value})
_WAVE = re.compile(r"([0-9]{1,7})(%?)")


class BadWaves(ValueError):
    """Why they make no sense."""


class Next(Enum):
    """What is to become of a rollout."""

    ASK = "ask"
    """Ask those of the present waves that wait."""
    SETTLE = "settle"
    """All that can be reached have it: the soak begins. It begins anew when an agent of them has started again."""
    SOAK = "soak"
    ADVANCE = "advance"
    BRING_FORWARD = "bring_forward"
    """None of the present waves took it, and none will: a machine of a later one is asked in their place, alone."""
    WAIT = "wait"
    """It is paused: for a person."""
    STOP = "stop"
    FINISH = "finish"


class Wait(StrEnum):
    """What a running rollout waits for."""

    ANSWERS = "answers"
    """Of machines that were asked."""
    MOMENT = "moment"
    """At which machines that are there can be asked: they have orders, or were busy a moment ago."""
    AWAY = "away"
    """Machines that are offline, to ask them."""
    ANOTHER = "another"
    """A machine of a later wave to try it: none of those asked has it."""
    GONE = "gone"
    """Machines that have it, and are offline or run another version since."""
    SOAK = "soak"


@dataclass(frozen=True)
class Tally:
    """Machines of the present waves. `waiting` counts those that can be reached.

    Of those done, `gone` are not there now, for less than a day: later they are done no more. `restarted` have an
    agent that started again since the soak began.
    """

    waiting: int = 0
    asked: int = 0
    done: int = 0
    failed: int = 0
    gone: int = 0
    restarted: int = 0
    unreached: int = 0


def sizes(waves: Sequence[str], total: int) -> list[int]:
    """How many machines have been asked at the end of each wave. Raises `BadWaves`."""
    if not waves or len(waves) > MOST_WAVES:
        raise BadWaves(f"between one and {MOST_WAVES} waves")
    found = [_size(wave, total) for wave in waves]
    return [max(found[: number + 1]) for number in range(len(found))]


def wave_of(place: int, ends: Sequence[int]) -> int | None:
    """Return the wave of the machine at this place; None: no wave reaches it."""
    return next((number for number, end in enumerate(ends) if place < end), None)


def next_of(
    tally: Tally, *, is_last: bool, settled_at: datetime | None, soak: timedelta, now: datetime, is_paused: bool = False
) -> Next:
    """What to do; a single failure stops, also what is paused. `is_last`: no machine waits for a later wave."""
    if tally.failed:
        return Next.STOP
    if is_paused:
        return Next.WAIT
    if tally.waiting or tally.asked:
        return Next.ASK
    if is_last and not tally.unreached:
        return Next.FINISH
    if tally.unreached and (is_last or not tally.done):
        return Next.ASK  # nobody is there to ask: whoever comes back is
    if not tally.done:
        return Next.BRING_FORWARD
    if settled_at is None or tally.restarted:
        return Next.SETTLE
    return Next.SOAK if now < settled_at + soak or tally.gone else Next.ADVANCE


def wait_of(tally: Tally, *, is_last: bool) -> tuple[Wait, int]:
    """What a running rollout waits for, and of how many machines."""
    if tally.asked:
        return Wait.ANSWERS, tally.asked
    if tally.waiting:
        return Wait.MOMENT, tally.waiting
    if tally.unreached and (is_last or not tally.done):
        return Wait.AWAY, tally.unreached
    if not tally.done:
        return Wait.ANOTHER, 1
    return (Wait.GONE, tally.gone) if tally.gone else (Wait.SOAK, tally.done)


def step_of(state: State, code: str, tries: int) -> Step:
    """What the end of its job means for a machine."""
    if state is State.DONE:
        return Step.DONE
    if state is State.UNSUPPORTED or code in _NEVER:
        return Step.SKIPPED
    passes = state is State.EXPIRED or (state in {State.REFUSED, State.FAILED} and code in _PASSES)
    return Step.WAITING if passes and tries < MOST_TRIES else Step.FAILED


def step_with_another_version(tries: int) -> Step:
    """What it means that a machine which took the version runs another: it is asked anew, but not for ever."""
    return Step.WAITING if tries < MOST_TRIES else Step.FAILED


def _size(wave: str, total: int) -> int:
    if wave == "all":
        return total
    said = _WAVE.fullmatch(wave)
    if said is None or int(said.group(1)) == 0:
        raise BadWaves(f"{wave}: a number of machines, a share such as 5%, or `all`")
    number = int(said.group(1))
    return min(total, max(1, ceil(total * number / 100)) if said.group(2) else number)
