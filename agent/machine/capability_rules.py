"""What a machine's missing abilities oblige the agent to: the table of docs/machine-protocol.md 3.5, row by row. Pure.

Nobody else reads a capability to decide what may be claimed or sent again.
"""

from collections.abc import Set
from dataclasses import dataclass
from enum import StrEnum

STATUS = "status"
"""Not announced by machines: it follows from the profile's commands."""


class Duty(StrEnum):
    """What the agent must then do."""

    ASSUME_STARTED = "treat every write as one that may have started a drink"
    CLAIM_NO_SUCCESS = "claim no success without the machine's memory or its counter"
    NEVER_RESEND = "never write a make again after its first byte"
    USE_COUNTERS = "find out by the counters"
    REPORT_UNKNOWN = "report the outcome as unknown"
    POLL_STATUS = "ask for the machine's state"
    REPORT_PORT_ONLY = "say that the port is open, never that the machine is online"


@dataclass(frozen=True, slots=True)
class Row:
    """Without all of `missing` the duty holds."""

    missing: frozenset[str]
    duty: Duty


TABLE: tuple[Row, ...] = (
    Row(frozenset({"ack"}), Duty.ASSUME_STARTED),
    Row(frozenset({"finish"}), Duty.CLAIM_NO_SUCCESS),
    Row(frozenset({"dedup"}), Duty.NEVER_RESEND),
    Row(frozenset({"order"}), Duty.USE_COUNTERS),
    Row(frozenset({"order", "counters"}), Duty.REPORT_UNKNOWN),
    Row(frozenset({"heartbeat"}), Duty.POLL_STATUS),
    Row(frozenset({"heartbeat", STATUS}), Duty.REPORT_PORT_ONLY),
)


def duties(abilities: Set[str]) -> frozenset[Duty]:
    """Everything a machine with these abilities obliges the agent to."""
    return frozenset(row.duty for row in TABLE if not row.missing & abilities)


def is_unobservable(abilities: Set[str]) -> bool:
    """Nothing this machine can say would ever tell what became of a drink."""
    return duties(abilities) >= {Duty.CLAIM_NO_SUCCESS, Duty.REPORT_UNKNOWN}


def is_blind(abilities: Set[str]) -> bool:
    """It does not even say that it has taken a make: waiting for a word is waiting for nothing."""
    return is_unobservable(abilities) and Duty.ASSUME_STARTED in duties(abilities)
