"""When must selling stop until a person has looked? The rule of docs/machine-protocol.md 5.5, and where it is asked."""

from collections.abc import Sequence

from agent.journal.journal import Journal
from agent.journal.records import Verdict
from protocol.reasons import DoubtCode, Result

IN_A_ROW = 2
IN_A_DAY = 3
DAY_S = 24 * 3600.0
LOOK_BACK = 50
"""Outcomes looked at; more than a day of a busy machine's unknowns can ever matter."""


def commit_verdict(journal: Journal, command_id: str, verdict: Verdict) -> bool:
    """Commit an outcome, and with it the stop of all selling where it is one unknown too many.

    False when it changes nothing.
    """
    with journal.transaction():
        if not journal.finish(command_id, verdict):
            return False
        may_matter = verdict.result is Result.UNKNOWN and verdict.code != DoubtCode.UNOBSERVABLE
        if may_matter and not journal.sales_block.is_stopped:
            reason = why_stop(journal.recent_outcomes(LOOK_BACK))
            if reason:
                journal.sales_block.stop_selling(reason)
    return True


def why_stop(outcomes: Sequence[tuple[float, Result]]) -> str:
    """A sentence when selling must stop, else "". Pure.

    `outcomes`: of commands the machine was sent, newest first, each with the seconds that have certainly passed since.
    """
    if len(outcomes) >= IN_A_ROW and all(result is Result.UNKNOWN for _, result in outcomes[:IN_A_ROW]):
        return f"{IN_A_ROW} drinks in a row ended unknown; needs a person"
    unknown = [age for age, result in outcomes if result is Result.UNKNOWN and age < DAY_S]
    if len(unknown) >= IN_A_DAY:
        return f"{len(unknown)} drinks ended unknown within a day; needs a person"
    return ""
