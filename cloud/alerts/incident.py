"""One trouble from its first sign to its end: pending, open, recovering, resolved. Pure.

A trouble that comes and goes is one incident, called unstable, not many. Whoever acts on it (acknowledges, snoozes)
changes what is told, never what it is.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from cloud.alerts.kinds import COUNTS, OF_THE_PLATFORM, TERMS, Kind, Terms

FLAPPING_WITHIN = timedelta(minutes=30)
FLIPS = 4
"""So many changes within that time make it unstable; then it must be calm as long before it is over."""
REOPENS_WITHIN = FLAPPING_WITHIN
"""Back sooner after its end, it is the same trouble, and unstable."""
MOST_FLIPS_KEPT = 8


class State(StrEnum):
    """Where it is."""

    PENDING = "pending"
    """Seen, but not for long enough to tell anybody."""
    OPEN = "open"
    RECOVERING = "recovering"
    """Gone, but not for long enough to believe it."""
    RESOLVED = "resolved"


LIVE = (State.OPEN, State.RECOVERING)


@dataclass(frozen=True)
class Condition:
    """What a rule sees now: that something is wrong with `subject`, since when, and what else is worth telling."""

    kind: Kind
    merchant_id: str
    subject: str
    since: datetime
    facts: Mapping[str, Any] = field(default_factory=dict)
    pending: timedelta | None = None
    """So long it must last, where a merchant's rule says otherwise than its kind."""

    @property
    def fingerprint(self) -> str:
        """Two conditions with the same one are the same trouble."""
        return fingerprint(self.merchant_id, self.kind, self.subject)


@dataclass(frozen=True)
class Incident:
    """A trouble. `revision` grows with everything somebody should be told anew."""

    id: str
    kind: Kind
    merchant_id: str
    subject: str
    state: State
    since: datetime
    """Since when it has been wrong, the last time it was."""
    present: bool
    """Whether it is wrong right now."""
    changed_at: datetime
    """When that changed last."""
    facts: Mapping[str, Any]
    opened_at: datetime | None = None
    resolved_at: datetime | None = None
    flips: tuple[datetime, ...] = ()
    unstable: bool = False
    revision: int = 1
    acknowledged_at: datetime | None = None
    acknowledged_by: str = ""
    snoozed_until: datetime | None = None
    group_id: str = ""
    """The incident that stands for it and many others."""

    @property
    def fingerprint(self) -> str:
        """Unique among those that are not over."""
        return fingerprint(self.merchant_id, self.kind, self.subject)

    @property
    def is_live(self) -> bool:
        """Whether it is a trouble now, as far as anybody is told."""
        return self.state in LIVE

    @property
    def terms(self) -> Terms:
        """How its kind is treated."""
        return TERMS[self.kind]


def fingerprint(merchant_id: str, kind: Kind, subject: str) -> str:
    """Names a trouble."""
    return f"{merchant_id}/{kind.value}/{subject}"


def begun(condition: Condition, incident_id: str, now: datetime) -> Incident:
    """The first sign of a trouble; `advance` opens it when it has lasted."""
    return Incident(
        incident_id, condition.kind, condition.merchant_id, condition.subject, State.PENDING, condition.since,
        present=True, changed_at=now, facts=dict(condition.facts), flips=(now,),
    )  # fmt: skip


def advance(incident: Incident, condition: Condition | None, now: datetime, *, inhibited: bool = False) -> Incident:
    """The incident after another look: `condition` is what is wrong now, None when nothing is.

    `inhibited`: something larger explains it, so that it does not open now.
    """
    seen = _with_flip(_with_facts(incident, condition), condition, now)
    pending = incident.terms.pending if condition is None or condition.pending is None else condition.pending
    state = _next_state(seen, pending, now, inhibited=inhibited)
    if state is seen.state:
        return seen
    moved = replace(seen, state=state)
    if state is State.RESOLVED:
        return replace(moved, resolved_at=now, revision=seen.revision + 1)
    if seen.state is State.PENDING:
        return replace(moved, opened_at=now)
    if seen.state is State.RESOLVED:
        return _reopened(moved, now)
    return moved


def is_over(incident: Incident, now: datetime) -> bool:
    """Whether it is done with: a new sign of the same trouble is a new incident."""
    if incident.state is State.RESOLVED:
        return incident.resolved_at is None or now - incident.resolved_at >= REOPENS_WITHIN
    return incident.state is State.PENDING and not incident.present and now - incident.changed_at >= FLAPPING_WITHIN


def _reopened(incident: Incident, now: datetime) -> Incident:
    """Open it again, acknowledged by nobody: what was acknowledged had ended."""
    return replace(
        incident, opened_at=now, resolved_at=None, unstable=True, revision=incident.revision + 1, acknowledged_at=None,
        acknowledged_by="",
    )  # fmt: skip


def _next_state(incident: Incident, pending: timedelta, now: datetime, *, inhibited: bool) -> State:
    is_lasting = incident.present and now - incident.since >= pending
    match incident.state:
        case State.PENDING if inhibited:
            return State.PENDING
        case State.PENDING:
            return State.OPEN if is_lasting or (incident.present and incident.unstable) else State.PENDING
        case State.OPEN:
            return State.OPEN if incident.present else State.RECOVERING
        case State.RECOVERING if incident.present:
            return State.OPEN
        case State.RECOVERING:
            return State.RESOLVED if now - incident.changed_at >= _calm(incident) else State.RECOVERING
        case State.RESOLVED if incident.kind in OF_THE_PLATFORM:
            return State.OPEN if is_lasting else State.RESOLVED
        case State.RESOLVED:
            return State.OPEN if incident.present else State.RESOLVED


def _calm(incident: Incident) -> timedelta:
    return max(incident.terms.calm, FLAPPING_WITHIN) if incident.unstable else incident.terms.calm


def _with_facts(incident: Incident, condition: Condition | None) -> Incident:
    if condition is None or dict(condition.facts) == dict(incident.facts):
        return incident
    changed = replace(incident, facts=dict(condition.facts), revision=incident.revision + 1)
    counted = COUNTS.get(incident.kind)
    has_one_more = counted is not None and condition.facts.get(counted, 0) > incident.facts.get(counted, 0)
    return replace(changed, acknowledged_at=None, acknowledged_by="") if has_one_more else changed


def _with_flip(incident: Incident, condition: Condition | None, now: datetime) -> Incident:
    if incident.present is (condition is not None):
        return incident
    recent = [flip for flip in incident.flips if now - flip < FLAPPING_WITHIN]
    flips = tuple(recent[:-1] if _ends_a_blip(incident, now) else [*recent, now][-MOST_FLIPS_KEPT:])
    unstable = incident.unstable or len(flips) >= FLIPS
    revision = incident.revision + (unstable and not incident.unstable)
    since = condition.since if condition is not None else incident.since
    return replace(
        incident, present=condition is not None, changed_at=now, since=since, flips=flips, unstable=unstable,
        revision=revision,
    )  # fmt: skip


def _ends_a_blip(incident: Incident, now: datetime) -> bool:
    """What hides others' troubles must have lasted to count: each quick restart of a worker may be such a blip."""
    if not incident.present or incident.kind not in OF_THE_PLATFORM:
        return False
    return incident.state is State.PENDING or now - incident.since < incident.terms.pending
