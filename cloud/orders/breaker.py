"""What must close after a paid drink has failed: pure. The rule of docs/orders.md, "What closes by itself".

Two failures running close: the drink, when the machine blames only what goes into it or pours others well; else the
machine.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from protocol.reasons import AgentCode, FaultCode, RejectCode

IN_A_ROW = 2
LOOK_BACK = 50
"""Ended orders looked at; nobody needs so many to find two of one drink."""
_DRINKS_OWN = frozenset(
    {
        RejectCode.BAD_DRINK, RejectCode.BAD_SIZE, RejectCode.BAD_BODY, RejectCode.UNSUPPORTED,
        RejectCode.NO_MILK, RejectCode.NO_INGREDIENT, FaultCode.NO_MILK, FaultCode.NO_INGREDIENT,
    }
)  # fmt: skip
"""Codes that say nothing against the machine's other drinks."""
_PASSES = frozenset(
    {
        RejectCode.BUSY, RejectCode.HEATING, RejectCode.TOO_LATE, AgentCode.EXPIRED, AgentCode.CANCELLED,
        AgentCode.CONFLICT, AgentCode.NEVER_RECEIVED, AgentCode.NEVER_SENT, AgentCode.NOT_SELLING,
    }
)  # fmt: skip
"""Codes that say nothing of what would become of the next drink, or of a machine that sells nothing by itself already.
"""
_ACCUSING = frozenset({"rejected", "failed"})
_SILENT = frozenset({"no_ack", "no_outcome", "unknown"})
"""Reasons without a code: the machine, or its agent, did not say what became of a drink it was sent."""


@dataclass(frozen=True)
class Ended:
    """One paid order of a machine. `reason`: why no drink came (`Order.reason`); "" when it was poured."""

    drink_no: str
    reason: str = ""

    @property
    def code(self) -> str:
        return self.reason.partition(":")[2]


@dataclass(frozen=True)
class Closing:
    """What closes; `drink_no` "" is the whole machine."""

    drink_no: str
    why: str


def what_closes(ended: Sequence[Ended], standing: Collection[str] = ()) -> Closing | None:
    """`ended`: of one machine, newest first.

    `standing`: faults the machine itself tells of now. They stop the sale, and their end lets it go on, by its word.
    """
    last = ended[0] if ended else None
    if last is None or not last.reason or not _says_something(last, standing):
        return None
    telling = [one for one in ended if not one.reason or _says_something(one, standing)]
    of_machine, of_drink = telling[:IN_A_ROW], [one for one in telling if one.drink_no == last.drink_no][:IN_A_ROW]
    if _all_failed(of_drink) and all(one.code in _DRINKS_OWN for one in of_drink):
        return Closing(last.drink_no, _why(of_drink))
    if _all_failed(of_machine):
        return Closing("", _why(of_machine))
    return Closing(last.drink_no, _why(of_drink)) if _all_failed(of_drink) else None


def _says_something(one: Ended, standing: Collection[str]) -> bool:
    kind = one.reason.partition(":")[0]
    if kind in _ACCUSING:
        return one.code not in _PASSES and one.code not in standing
    return one.reason in _SILENT


def _all_failed(ended: Sequence[Ended]) -> bool:
    return len(ended) == IN_A_ROW and all(one.reason for one in ended)


def _why(ended: Sequence[Ended]) -> str:
    return ", ".join(one.reason for one in reversed(ended))
