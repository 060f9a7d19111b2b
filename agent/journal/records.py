"""What the journal holds about one command: its states, what was counted before it, what became of it; and events."""

from dataclasses import dataclass, field
from datetime import datetime
from enum import IntEnum, StrEnum

from msgspec import Struct

from agent.clock import Stamp
from protocol.fields import Fact
from protocol.machine import CountersReply
from protocol.messages import Evidence
from protocol.reasons import AgentCode, Result, Spout


class CommandState(StrEnum):
    """How far a command has come. Each is committed before the act it announces."""

    RECEIVED = "received"
    INTENT = "intent"
    """It shall be poured; no byte has been written."""
    SENT = "sent"
    """Bytes may have been written: from here only the machine can say what happened."""
    ACCEPTED = "accepted"
    BREWING = "brewing"
    DONE = "done"
    FAILED = "failed"
    REJECTED = "rejected"
    UNKNOWN = "unknown"


class Word(IntEnum):
    """The most the machine has ever said of having an order, by whatever message. Kept with the command, never lowered.

    Where it has said anything, "certainly nothing" is not to be inferred, and its make is never written again.
    """

    NOTHING = 0
    TAKEN = 1
    """It has the order."""
    MOVING = 2
    """Water or beans have moved."""


EARLIER_REVISIONS = 1_000
"""More corrections than any journal ever tells of one command."""
UNSETTLED = (CommandState.SENT, CommandState.ACCEPTED, CommandState.BREWING)
"""The machine may be pouring it."""
FINISHED = (CommandState.DONE, CommandState.FAILED, CommandState.REJECTED, CommandState.UNKNOWN)
CERTAIN = (CommandState.DONE, CommandState.FAILED, CommandState.REJECTED)
"""Nobody need ask the machine about it any more."""
STATE_OF = {
    Result.DONE: CommandState.DONE,
    Result.FAILED: CommandState.FAILED,
    Result.REJECTED: CommandState.REJECTED,
    Result.UNKNOWN: CommandState.UNKNOWN,
}


class Snapshot(Struct, frozen=True):
    """The machine just before a make: without it a counter proves nothing."""

    boot_id: str
    counted: bool = False
    """False: this machine has no counters."""
    total: int = 0
    free: int = 0
    test: int = 0
    drink: int | None = None
    """How many of this very drink; None when the machine does not count by drink."""
    boots: int = 0

    @classmethod
    def from_reply(cls, reply: CountersReply, drink_no: str) -> "Snapshot":
        drink = reply.by_drink.get(drink_no, 0) if reply.by_drink else None
        return cls(
            boot_id=reply.boot_id,
            counted=True,
            total=reply.total,
            free=reply.free,
            test=reply.test,
            drink=drink,
            boots=reply.boots,
        )

    @property
    def count(self) -> int | None:
        """The figure the books are told."""
        if not self.counted:
            return None
        return self.total if self.drink is None else self.drink

    def growth(self, now: "Snapshot", *, is_free: bool) -> int | None:
        """Drinks counted since that may be the one asked about; None when it cannot be said.

        None without counters, or when they went backwards. Test drinks are left out, also where the count by drink
        includes them; and so are free ones, but where it is itself a free one (`is_free`), which some count as sold.
        """
        if not (self.counted and now.counted):
            return None
        others = now.test - self.test + (0 if is_free else now.free - self.free)
        grown = now.total - self.total - others
        if self.drink is not None and now.drink is not None:
            of_this = now.drink - self.drink
            grown = min(of_this, grown) if others else of_this
        return grown if grown >= 0 else None

    def fell_to(self, now: "Snapshot") -> bool:
        """A count of a lifetime is lower than it was: this is not the memory that was there before."""
        drinks = self.drink is not None and now.drink is not None and now.drink < self.drink
        return self.counted and now.counted and (drinks or now.total < self.total or now.boots < self.boots)


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of a command, and what that rests on."""

    result: Result
    code: str = ""
    out: Spout = Spout.UNKNOWN
    evidence: Evidence = field(default_factory=Evidence)

    @property
    def certainly_nothing(self) -> bool:
        """True when the spout stayed dry and will."""
        return self.result is Result.REJECTED or (self.result is Result.FAILED and self.out is Spout.NONE)

    @property
    def is_the_machines(self) -> bool:
        """An end of the drink as the machine told it, not a refusal and not inferred by us."""
        inferred = (AgentCode.NEVER_SENT, AgentCode.NEVER_STARTED)
        return self.result is Result.DONE or (self.result is Result.FAILED and self.code not in inferred)


def refused(code: str, rule: str) -> Verdict:
    """Certainly nothing was poured."""
    return Verdict(Result.REJECTED, code, Spout.NONE, Evidence(rule=rule))


@dataclass(frozen=True, slots=True)
class Command:
    """One row of the journal."""

    command_id: str
    order_id: str
    drink_no: str
    size: int
    price: int
    issued_at: datetime | None
    """None for a command that was only ever asked about."""
    deadline_at: datetime | None
    state: CommandState
    session: str
    """The run of the agent that received it."""
    received_at: datetime
    received_mono: float
    sent_at: datetime | None
    resent: bool
    word: Word
    snapshot: Snapshot | None
    verdict: Verdict | None
    revision: int
    """Of the last outcome; 0 before the first."""
    unrecorded_code: str = ""
    """Set: it is from before this journal's memory, and refused with this code if the machine does not know it."""
    sent: Stamp | None = None

    @property
    def is_finished(self) -> bool:
        return self.state in FINISHED

    @property
    def was_sent(self) -> bool:
        return self.sent_at is not None

    @property
    def is_past_counting(self) -> bool:
        """Told as never begun, or not to be counted any more: no count proves it.

        One that the machine itself says has failed it may count all the same.
        """
        told = self.verdict
        was_never_begun = told is not None and told.certainly_nothing and not told.is_the_machines
        return was_never_begun or self.explains_no_count

    @property
    def explains_no_count(self) -> bool:
        """Refused, or not counted when the machine had booted: what is counted later is somebody else's drink.

        One that we only inferred was never begun is ours still, should the machine have it after all.
        """
        if self.verdict is None:
            return False
        told = self.verdict.evidence
        has_booted = bool(told.boot_before and told.boot_now) and told.boot_now != told.boot_before
        is_uncounted = told.count_now is not None and told.count_now == told.count_before
        return self.verdict.result is Result.REJECTED or (has_booted and is_uncounted)

    @property
    def is_unrecorded(self) -> bool:
        """Counted as sent though this journal never sent it."""
        return bool(self.unrecorded_code) and self.snapshot is None

    def would_correct(self, new: Verdict) -> bool:
        """Late truth: may `new` replace what was said before? `done` is never taken back.

        "Certainly nothing" gives way to what says otherwise; to mere doubt only where the machine's own word denies it.
        """
        old = self.verdict
        if old is None:
            return True
        if old.result is Result.UNKNOWN:
            return new.result is not Result.UNKNOWN
        is_better = new.result is not Result.UNKNOWN or (self.word > Word.NOTHING and not old.is_the_machines)
        return old.certainly_nothing and not new.certainly_nothing and is_better

    def revision_of(self, verdict: Verdict) -> int:
        """The number of this outcome: certainty outdoes what an earlier journal told of the command, doubt does not."""
        is_news = self.is_unrecorded and verdict.result is not Result.UNKNOWN
        return self.revision + (EARLIER_REVISIONS if is_news else 1)


@dataclass(frozen=True, slots=True)
class Step:
    """One line of a command's history."""

    state: str
    at: datetime
    monotonic: float
    note: str

    def __str__(self) -> str:
        note = f" ({self.note})" if self.note else ""
        return f"{self.state} {self.at.isoformat(timespec='milliseconds')} +{self.monotonic:.3f}{note}"


@dataclass(frozen=True, slots=True)
class PendingEvent:
    """One event, not written yet. `mono` in steady seconds: by it the time is reckoned when it is written."""

    what: str
    code: str
    words: str
    evidence: dict[str, Fact]
    mono: float
