"""The tasks an order can give to the outbox, which lane carries each out, and how each can end. Pure: words, no rows.

A job ends as its agent says (`courier/device_jobs.py`), a message to operators may be given up (`alerts/sendings.py`).
"""

from collections.abc import Iterable
from datetime import timedelta
from enum import StrEnum
from typing import Protocol


class Lane(StrEnum):
    """What takes the row: the courier (broker, Tmetr API), the caller of providers, senders of alerts and of jobs."""

    MQTT = "mqtt"
    TMETR = "tmetr"
    PROVIDER = "provider"
    NOTIFY = "notify"
    """Messages to operators, about no order in particular."""
    JOBS = "jobs"


class Task(StrEnum):
    """What is to be done."""

    MAKE = "make"
    CANCEL_MAKE = "cancel_make"
    """Take a make command back: what pays for its drink has gone."""
    QUERY = "query"
    CREATE = "create"
    CAPTURE = "capture"
    CANCEL = "cancel"
    REFUND = "refund"
    NOTIFY = "notify"
    JOB = "job"
    """What an operator asks of an agent (`courier/device_jobs.py`); of no order."""


LANE_OF = {task: Lane.MQTT if task in {Task.MAKE, Task.CANCEL_MAKE, Task.QUERY} else Lane.PROVIDER for task in Task}
LANE_OF |= {Task.NOTIFY: Lane.NOTIFY, Task.JOB: Lane.JOBS}
"""The lane of a task for which nobody names another."""
RETURNS = frozenset({Task.CANCEL, Task.REFUND})
"""Tasks that give money back."""
ASKED_FOR = timedelta(hours=24)
"""So long an agent is asked what became of an order; after it a person looks."""

WITHDRAWN = "withdrawn"
"""Verdict of a task taken back before anybody could have done it."""
STOPPED = "stopped"
"""Verdict of a task that may have been done once, and is not tried again."""
NEVER_RETURNED = frozenset({WITHDRAWN, STOPPED})
"""Verdicts of a return that nobody made: was a stopped one made after all, its payment tells."""
VOID = "void"
"""Verdict of a sending that nobody wants any more."""
OVERDUE = "expired"
"""Verdict of a make command that certainly nobody had heard when its deadline passed."""
UNKNOWN = "unknown"
"""Verdict of a make command that may have been heard."""
DONE = "done"
REFUSED = "refused"
"""Verdict of a call the provider definitely would not do; asked anew later, under a new key."""
LOST = "lost"
"""Verdict of a call of which nobody can learn any more what it did: a person must look, nothing is asked anew."""
BY_HAND = "by_hand"
"""Verdict of a call the merchant takes no such calls for: a person does it there, nothing is asked anew."""
FOR_A_PERSON = frozenset({LOST, BY_HAND})
"""Verdicts after which no new task is added, whatever happens later: with a new key money could go twice."""
KEY_REFUSED = "AuthError"
"""How `last_error` of a call begins while the provider does not accept the key of the account."""


def refusals(verdicts: Iterable[str]) -> int:
    """How often an act was refused since a task of it ended otherwise: the next return begins with none.

    `verdicts` are those of all tasks of this act on this payment, oldest first.
    """
    count = 0
    for verdict in filter(None, verdicts):
        count = count + 1 if verdict == REFUSED else 0
    return count


class Tried(Protocol):
    """How often a task was claimed, and how many of these attempts certainly did nothing."""

    @property
    def attempts(self) -> int: ...
    @property
    def undone(self) -> int: ...


def may_be_done(task: Tried) -> bool:
    """An attempt may have done it, the one under way counted."""
    return task.attempts > task.undone


def may_be_done_before(task: Tried) -> bool:
    """An attempt before the one under way may have done it."""
    return task.attempts > task.undone + 1
