"""What can go wrong at a messenger."""

from enum import StrEnum

from simulator.shell.faults import Switch


class FaultKind(StrEnum):
    """The kinds."""

    TOO_MANY = "too_many"
    """429, with how long to wait."""
    MOVED = "moved"
    """The group has become a supergroup: `to` is its number."""
    REFUSED = "refused"
    """The bot was thrown out, or the address does not exist."""
    LOST_ANSWER = "lost_answer"
    """It is done, and the answer never arrives."""
    HANGS = "hangs"
    """It is done, and the answer waits until the simulator closes."""
    DOWN = "down"
    """500, nothing done."""


class Fault(Switch, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One fault; `to` is for `moved`, `seconds` for `too_many`."""

    kind: FaultKind
    to: str = ""

    def is_aimed_at(self, call: str) -> bool:
        """A mailbox is refused when it is named (`rcpt`), everything else strikes the letter (`data`)."""
        return call not in {"rcpt", "data"} or (call == "rcpt") == (self.kind is FaultKind.REFUSED)
