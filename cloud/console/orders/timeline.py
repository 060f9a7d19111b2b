"""One order as one stream: what buyer, cloud, broker, agent, machine, provider and people did, with evidence. Pure."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any


class Who(StrEnum):
    """Whose word or deed a line is."""

    BUYER = "buyer"
    CLOUD = "cloud"
    BROKER = "broker"
    AGENT = "agent"
    MACHINE = "machine"
    PROVIDER = "provider"
    PERSON = "person"


_ACTORS = {
    "buyer": Who.BUYER,
    "provider": Who.PROVIDER,
    "device": Who.MACHINE,
    "courier": Who.BROKER,
    "clock": Who.CLOUD,
    "merchant": Who.CLOUD,
}
_BAD = frozenset(
    {
        "payment_refused", "payment_wrong", "machine_refused", "no_ack", "no_outcome", "command_not_sent",
        "return_waits_for_person", "create_failed", "capture_failed", "cancel_failed", "refund_failed",
    }
)  # fmt: skip
_WARN = frozenset(
    {
        "payment_canceled", "paid_late", "machine_unsure", "money_returned", "manual_make_expired", "hold_closes",
        "claim_opened", "return_requested", "fault_set", "line_down", "stray_outcome", "two_agents", "trust_refuted",
        "closed", "drink_closed",
    }
)  # fmt: skip
_GOOD = frozenset(
    {"paid_in_time", "machine_done", "seen_poured", "captured", "refunded", "canceled", "resolved", "claim_resolved"}
)


@dataclass(frozen=True)
class Line:
    """One moment. `what` names a sentence where there is one (`orders.line.<what>`)."""

    at: datetime
    who: Who
    what: str
    name: str = ""
    """The person, where it is one."""
    reason: str = ""
    words: str = ""
    kopecks: int | None = None
    evidence: Mapping[str, Any] = field(default_factory=dict)

    @property
    def reason_key(self) -> str:
        """The sentence of a reason that is no machine's; "" where it is one."""
        if not self.reason or not self.what.startswith(("return_", "claim_")):
            return ""
        return f"claims.kind.{self.reason}" if self.what == "claim_opened" else f"orders.reason.{self.reason}"

    @property
    def light(self) -> str:
        """good, warn, bad or nothing."""
        if self.what in _BAD:
            return "bad"
        if self.what in _WARN:
            return "warn"
        return "good" if self.what in _GOOD else ""


def who_of(actor: str) -> Who:
    """Whose deed a row of the history is; any other name is a person's."""
    return _ACTORS.get(actor, Who.PERSON)


def merged(*parts: Iterable[Line]) -> list[Line]:
    """All of it by time; what has the same moment stays in the order it is given."""
    return sorted((line for part in parts for line in part), key=lambda line: line.at)
