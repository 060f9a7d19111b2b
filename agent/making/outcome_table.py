"""What became of a make that left no outcome: the table of docs/machine-protocol.md 5.4, row by row. Pure.

The first row that fits decides. Nothing here may lead to a second make.
"""

from dataclasses import dataclass
from enum import Enum, StrEnum
from typing import Any

from agent.journal.records import Verdict, Word
from protocol.messages import Evidence
from protocol.reasons import AgentCode, Phase, Result, Spout


class Says(StrEnum):
    """The machine's answer to "what became of this order?"."""

    DONE = "done"
    FAILED_DRY = "failed, nothing came out"
    FAILED_WET = "failed, something may have come out"
    CANCELLED = "cancelled"
    UNDER_WAY = "accepted or brewing"
    INTERRUPTED = "interrupted"
    NEVER_SEEN = "never seen, and it remembers through a reboot"
    NOT_IN_MEMORY = "not in a memory that a reboot clears"
    UNSUPPORTED = "it keeps no record of orders"


class Growth(StrEnum):
    """How far the counter moved since the snapshot."""

    UNUSABLE = "not usable"
    NONE = "0"
    ONE = "1"
    MORE = "2 or more"
    FELL = "lower than it was"
    """Of a lifetime's counts: the memory is not the one that was there before."""


class Boot(StrEnum):
    """Is it still the same run of the machine as before the make?"""

    SAME = "same"
    CHANGED = "changed"
    UNTOLD = "never told"
    """This kind of machine names no boots."""


class Then(Enum):
    """What follows when a row does not settle the order."""

    WAIT = "wait"


@dataclass(frozen=True, slots=True)
class Facts:
    """All the evidence there is."""

    says: Says
    boot: Boot
    growth: Growth
    word: Word = Word.NOTHING
    """The most it has ever said of having the order, however long ago."""
    out: Spout = Spout.UNKNOWN
    waited_out: bool = False
    """The machine is ready and the longest drink would be finished."""
    start_always_counts: bool = False
    is_idle: bool = False
    """By its own word it makes nothing, and has not for as long as a drink may take to begin."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One row: where an entry is empty, anything fits."""

    name: str
    says: tuple[Says, ...] = ()
    boot: tuple[Boot, ...] = ()
    growth: tuple[Growth, ...] = ()
    word: tuple[Word, ...] = ()
    needs_always_counts: bool = False
    needs_time_left: bool = False
    then: Result | Then
    code: str = ""
    out: Spout | None = None
    """What left the spout; None: what the machine said."""
    trips_breaker: bool = False

    def fits(self, facts: Facts) -> bool:
        return (
            (not self.says or facts.says in self.says)
            and (not self.boot or facts.boot in self.boot)
            and (not self.growth or facts.growth in self.growth)
            and (not self.word or facts.word in self.word)
            and (not self.needs_always_counts or (facts.start_always_counts and facts.waited_out))
            and not (self.needs_time_left and (facts.waited_out or facts.is_idle))
        )


_STILL = (Growth.UNUSABLE, Growth.NONE)
_NO_MORE = (*_STILL, Growth.FELL)
"""Nothing was counted."""
_SAME = (Boot.SAME,)
_MAY_HAVE_BOOTED = (Boot.CHANGED, Boot.UNTOLD)
_HAS_IT = (Word.TAKEN, Word.MOVING)
"""Whatever it says now, it has said otherwise."""


def _done(name: str, *says: Says, **entries: Any) -> Row:
    return Row(name=name, says=says, then=Result.DONE, out=Spout.FULL, **entries)


def _unknown(name: str, *says: Says, **entries: Any) -> Row:
    return Row(name=name, says=says, then=Result.UNKNOWN, out=Spout.UNKNOWN, **entries)


def _failed(name: str, *says: Says, **entries: Any) -> Row:
    return Row(name=name, says=says, then=Result.FAILED, **entries)


def _never_started(name: str, *says: Says, **entries: Any) -> Row:
    """Only of a machine that has never said otherwise."""
    return _failed(name, *says, code=AgentCode.NEVER_STARTED, out=Spout.NONE, word=(Word.NOTHING,), **entries)


def _wait(name: str, *says: Says, **entries: Any) -> Row:
    return Row(name=name, says=says, then=Then.WAIT, **entries)


TABLE: tuple[Row, ...] = (
    _done("done, but the counter moved by more than one", Says.DONE, growth=(Growth.MORE,), trips_breaker=True),
    _done("done, though the counter did not move", Says.DONE, growth=(Growth.NONE,)),
    _done("done", Says.DONE),
    _failed("failed, nothing came out", Says.FAILED_DRY, growth=_NO_MORE, out=Spout.NONE),
    _failed("failed, partly poured", Says.FAILED_WET, code="partial"),
    _unknown("failed dry, but counted more than once", Says.FAILED_DRY, growth=(Growth.MORE,), trips_breaker=True),
    _unknown("failed dry, but counted", Says.FAILED_DRY),
    _unknown("something else is dispensing", growth=(Growth.MORE,), trips_breaker=True),
    Row(
        name="cancelled before anything moved",
        says=(Says.CANCELLED,),
        growth=_NO_MORE,
        word=(Word.NOTHING, Word.TAKEN),
        then=Result.REJECTED,
        code=AgentCode.CANCELLED,
        out=Spout.NONE,
    ),
    _wait("still under way", Says.UNDER_WAY),
    _unknown("its memory was wiped", Says.NEVER_SEEN, Says.NOT_IN_MEMORY, growth=(Growth.FELL,)),
    _wait("it had it, and denies it", Says.NEVER_SEEN, Says.CANCELLED, word=_HAS_IT, needs_time_left=True),
    _unknown("it had it, and went on denying it", Says.NEVER_SEEN, Says.CANCELLED, word=_HAS_IT),
    _wait(
        "it had it, and denies it in the same boot",
        Says.NOT_IN_MEMORY,
        boot=_SAME,
        word=_HAS_IT,
        needs_time_left=True,
    ),
    _unknown("interrupted, leaning not made", Says.INTERRUPTED, boot=_MAY_HAVE_BOOTED, growth=_NO_MORE),
    _done("interrupted, but counted", Says.INTERRUPTED, boot=_MAY_HAVE_BOOTED, growth=(Growth.ONE,)),
    _never_started("never seen by the machine", Says.NEVER_SEEN, growth=_STILL),
    _never_started("not seen since this boot", Says.NOT_IN_MEMORY, boot=_SAME, growth=_STILL),
    _unknown("forgotten in a reboot, leaning not made", Says.NOT_IN_MEMORY, boot=_MAY_HAVE_BOOTED, growth=_STILL),
    _done("forgotten in a reboot, but counted", Says.NOT_IN_MEMORY, boot=_MAY_HAVE_BOOTED, growth=(Growth.ONE,)),
    _done("counted", Says.UNSUPPORTED, growth=(Growth.ONE,)),
    _never_started(
        "not counted, and a started drink always counts",
        Says.UNSUPPORTED,
        boot=_SAME,
        growth=(Growth.NONE,),
        needs_always_counts=True,
    ),
    _wait(
        "not counted yet", Says.UNSUPPORTED, boot=(Boot.SAME, Boot.UNTOLD), growth=(Growth.NONE,), needs_time_left=True
    ),
    _unknown("nothing proves anything"),
)


def resolve(facts: Facts) -> Row:
    """The first row of the table that fits; the last one always does."""
    return next(row for row in TABLE if row.fits(facts))


def says(phase: Phase, out: Spout, hist: str) -> Says:
    """The machine's answer, in the table's words."""
    if phase is Phase.FAILED:
        return Says.FAILED_DRY if out is Spout.NONE else Says.FAILED_WET
    if phase is Phase.UNKNOWN:
        return Says.NEVER_SEEN if hist == "nv" else Says.NOT_IN_MEMORY
    return _BY_PHASE[phase]


_BY_PHASE = {
    Phase.DONE: Says.DONE,
    Phase.CANCELLED: Says.CANCELLED,
    Phase.ACCEPTED: Says.UNDER_WAY,
    Phase.BREWING: Says.UNDER_WAY,
    Phase.INTERRUPTED: Says.INTERRUPTED,
}


def growth(moved: int | None) -> Growth:
    """A difference of counters, in the table's words."""
    if moved is None or moved < 0:
        return Growth.UNUSABLE
    return (Growth.NONE, Growth.ONE, Growth.MORE)[min(moved, 2)]


def drawn() -> str:
    """The table as it stands in docs/machine-protocol.md (a test compares)."""
    lines = ["| the machine says | boot | counter | had said before | then | named |", "|---|---|---|---|---|---|"]
    for row in TABLE:
        told = f"{row.then.value} `{row.code}`" if row.code else row.then.value
        told += ", selling stops" if row.trips_breaker else ""
        now = "; or: ".join(row.says) + ("; and time is left" if row.needs_time_left else "")
        now += "; and a started drink always counts" if row.needs_always_counts else ""
        cells = [now, " or ".join(row.boot), ", ".join(row.growth), " or ".join(_SAID[one] for one in row.word)]
        lines.append("| " + " | ".join([*cells, told, row.name]) + " |")
    return "\n".join(lines)


_SAID = {Word.NOTHING: "nothing", Word.TAKEN: "it has it", Word.MOVING: "it moves"}


def verdict(row: Row, facts: Facts, evidence: Evidence) -> Verdict | None:
    """The row's answer as an outcome; None for a row that says to wait."""
    if not isinstance(row.then, Result):
        return None
    return Verdict(row.then, row.code, facts.out if row.out is None else row.out, evidence)
