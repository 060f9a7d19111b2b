"""When must selling stop until a person has looked? Pure; the rule of docs/machine-protocol.md 5.5."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from protocol.reasons import Result

IN_A_ROW = 2
IN_A_DAY = 3
DAY = timedelta(hours=24)
LOOK_BACK = 50
"""Outcomes looked at; more than a day of a busy machine's unknowns can ever matter."""


def why_stop(outcomes: Sequence[tuple[datetime, Result]], now: datetime) -> str:
    """A sentence when selling must stop, else "". `outcomes`: of commands the machine was sent, newest first."""
    if len(outcomes) >= IN_A_ROW and all(result is Result.UNKNOWN for _, result in outcomes[:IN_A_ROW]):
        return f"{IN_A_ROW} drinks in a row ended unknown; needs a person"
    unknown = [at for at, result in outcomes if result is Result.UNKNOWN and now - at < DAY]
    if len(unknown) >= IN_A_DAY:
        return f"{len(unknown)} drinks ended unknown within a day; needs a person"
    return ""
