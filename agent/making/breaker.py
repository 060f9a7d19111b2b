"""When must selling stop until a person has looked? Pure; the rule of docs/machine-protocol.md 5.5."""

from collections.abc import Sequence

from protocol.reasons import Result

IN_A_ROW = 2
IN_A_DAY = 3
DAY_S = 24 * 3600.0
LOOK_BACK = 50
"""Outcomes looked at; more than a day of a busy machine's unknowns can ever matter."""


def why_stop(outcomes: Sequence[tuple[float, Result]]) -> str:
    """A sentence when selling must stop, else "".

    `outcomes`: of commands the machine was sent, newest first, each with the seconds that have certainly passed since.
    """
    if len(outcomes) >= IN_A_ROW and all(result is Result.UNKNOWN for _, result in outcomes[:IN_A_ROW]):
        return f"{IN_A_ROW} drinks in a row ended unknown; needs a person"
    unknown = [age for age, result in outcomes if result is Result.UNKNOWN and age < DAY_S]
    if len(unknown) >= IN_A_DAY:
        return f"{len(unknown)} drinks ended unknown within a day; needs a person"
    return ""
