"""What an alert can be about, how long it must last before anybody is told, and what it makes pointless to tell. Pure.

The defaults are meant to be left alone (docs/alerts.md). Each kind has its page in docs/runbook.md.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from types import MappingProxyType

CALM = timedelta(minutes=5)
"""A trouble that stays away so long is over."""
PLATFORM = ""
"""The merchant of what concerns the whole service: only the platform's own channels are told."""


class Severity(StrEnum):
    """How urgent it is."""

    NOTICE = "notice"
    WARNING = "warning"
    CRITICAL = "critical"


class Kind(StrEnum):
    """The closed list of what is watched."""

    OFFLINE = "offline"
    MANY_OFFLINE = "many_offline"
    """Many machines of one merchant went at once: one cause, one incident."""
    FAULT = "fault"
    CLOSED_ITSELF = "closed_itself"
    """A machine, or a drink of it, failed twice running and was taken out of sale (docs/orders.md)."""
    MAKE_FAILED = "make_failed"
    FAILURE_RATE = "failure_rate"
    NO_SALES = "no_sales"
    MONEY_WAITS = "money_waits"
    """Money that only a person can move."""
    RETURN_STUCK = "return_stuck"
    CAPTURE_STUCK = "capture_stuck"
    """A poured drink's hold, which ends by itself and then pays nobody."""
    CLAIM_WAITS = "claim_waits"
    """A buyer reported a problem, and nobody has answered."""
    DIFFERENCE = "difference"
    """Reconciliation found what nobody has explained."""
    RECEIPT_REFUSED = "receipt_refused"
    """A fiscal receipt was refused, or awaited for days."""
    KEY_REFUSED = "key_refused"
    VALIDITY_ENDING = "validity_ending"
    CLOCK_WRONG = "clock_wrong"
    AGENT_TROUBLE = "agent_trouble"
    """Disk or journal of an agent: it refuses to sell."""
    CHANNEL_BROKEN = "channel_broken"
    """A channel of alerts itself; told over the others."""
    CERTIFICATE_ENDING = "certificate_ending"
    ROLLOUT_STOPPED = "rollout_stopped"
    """A new version of the agent goes no further, because machines did not take it."""
    WORKER_DOWN = "worker_down"
    BROKER_DOWN = "broker_down"
    PROVIDER_DOWN = "provider_down"


@dataclass(frozen=True)
class Terms:
    """How a kind is treated."""

    severity: Severity
    pending: timedelta
    """So long it must last before it is an incident; a blip shorter than this is told to nobody."""
    calm: timedelta = CALM
    inhibits: frozenset[Kind] = frozenset()
    """What follows from it and is not told while it lasts."""


_OF_MACHINES = frozenset({Kind.OFFLINE, Kind.MANY_OFFLINE, Kind.NO_SALES})
OF_A_MACHINE = frozenset(
    {
        Kind.OFFLINE,
        Kind.FAULT,
        Kind.CLOSED_ITSELF,
        Kind.MAKE_FAILED,
        Kind.FAILURE_RATE,
        Kind.NO_SALES,
        Kind.CLOCK_WRONG,
        Kind.AGENT_TROUBLE,
    }
)
"""Kinds whose subject is a machine."""
OF_THE_PLATFORM = frozenset(
    {Kind.CERTIFICATE_ENDING, Kind.ROLLOUT_STOPPED, Kind.WORKER_DOWN, Kind.BROKER_DOWN, Kind.PROVIDER_DOWN}
)
"""Kinds that concern no merchant."""
_MINUTE = timedelta(minutes=1)

TERMS: Mapping[Kind, Terms] = MappingProxyType({
    Kind.OFFLINE: Terms(Severity.WARNING, 2 * _MINUTE),
    Kind.MANY_OFFLINE: Terms(Severity.CRITICAL, 2 * _MINUTE),
    Kind.FAULT: Terms(Severity.WARNING, 2 * _MINUTE),
    Kind.CLOSED_ITSELF: Terms(Severity.WARNING, timedelta(), calm=timedelta()),
    Kind.MAKE_FAILED: Terms(Severity.WARNING, timedelta(), calm=15 * _MINUTE),
    Kind.FAILURE_RATE: Terms(Severity.WARNING, timedelta(), calm=60 * _MINUTE),
    Kind.NO_SALES: Terms(Severity.NOTICE, timedelta(), calm=timedelta()),
    Kind.MONEY_WAITS: Terms(Severity.CRITICAL, timedelta()),
    Kind.CLAIM_WAITS: Terms(Severity.NOTICE, 15 * _MINUTE, calm=timedelta()),
    Kind.RETURN_STUCK: Terms(Severity.WARNING, timedelta()),
    Kind.CAPTURE_STUCK: Terms(Severity.WARNING, timedelta()),
    Kind.DIFFERENCE: Terms(Severity.WARNING, timedelta()),
    Kind.RECEIPT_REFUSED: Terms(Severity.WARNING, timedelta()),
    Kind.KEY_REFUSED: Terms(Severity.CRITICAL, _MINUTE),
    Kind.VALIDITY_ENDING: Terms(Severity.NOTICE, timedelta()),
    Kind.CLOCK_WRONG: Terms(Severity.WARNING, 5 * _MINUTE),
    Kind.AGENT_TROUBLE: Terms(Severity.WARNING, _MINUTE),
    Kind.CHANNEL_BROKEN: Terms(Severity.WARNING, timedelta()),
    Kind.CERTIFICATE_ENDING: Terms(Severity.WARNING, timedelta()),
    Kind.ROLLOUT_STOPPED: Terms(Severity.WARNING, timedelta(), calm=timedelta()),
    Kind.WORKER_DOWN: Terms(Severity.CRITICAL, timedelta(seconds=30), inhibits=_OF_MACHINES),
    Kind.BROKER_DOWN: Terms(Severity.CRITICAL, timedelta(seconds=30), inhibits=_OF_MACHINES),
    Kind.PROVIDER_DOWN: Terms(
        Severity.CRITICAL, 2 * _MINUTE,
        inhibits=frozenset({Kind.RETURN_STUCK, Kind.CAPTURE_STUCK, Kind.NO_SALES, Kind.FAILURE_RATE}),
    ),
})  # fmt: skip


COUNTS: Mapping[Kind, str] = MappingProxyType({
    Kind.MONEY_WAITS: "payments", Kind.RETURN_STUCK: "payments", Kind.CAPTURE_STUCK: "payments",
    Kind.CLAIM_WAITS: "claims", Kind.DIFFERENCE: "findings", Kind.RECEIPT_REFUSED: "receipts",
})  # fmt: skip
"""The fact that counts where one incident stands for many things: acknowledging some says nothing of more."""


def page_of(kind: Kind) -> str:
    """Where the runbook says what to do."""
    return f"docs/runbook.md#{kind.value.replace('_', '-')}"
