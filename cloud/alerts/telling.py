"""Decide what one channel is to be told of one incident, and when. Pure: few messages, none lost, none without need.

A channel that can change what it has sent gets one message for the whole trouble. "Over" goes only where "open" went.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from cloud.alerts.incident import REOPENS_WITHIN, Incident, State
from cloud.alerts.kinds import Severity
from cloud.alerts.quiet_hours import QuietHours

GATHER = timedelta(seconds=15)
"""So long an incident waits for what belongs to it before it is told."""
REPEATED_AFTER = timedelta(hours=4)
"""Until somebody acknowledges it."""
ESCALATED_AFTER = timedelta(minutes=30)
CHANGED_AT_MOST = timedelta(seconds=15)
"""A message is changed this often at most."""
_ORDER = [Severity.NOTICE, Severity.WARNING, Severity.CRITICAL]


class Word(StrEnum):
    """What a message says of its incident."""

    OPEN = "open"
    UNSTABLE = "unstable"
    STILL = "still"
    """It is repeated until somebody acknowledges it."""
    RESOLVED = "resolved"


@dataclass(frozen=True)
class Listener:
    """What a channel wants to hear."""

    merchant_id: str
    least: Severity
    edits: bool
    """Whether what it was sent can be changed later (a messenger), or not (a letter)."""
    is_second: bool
    """It hears only of what nobody acknowledged in time and what is still wrong then."""
    quiet: QuietHours | None
    pierces: bool
    """What is critical is told in quiet hours too."""


@dataclass(frozen=True)
class SentMessage:
    """What a channel was last sent about an incident."""

    word: Word
    revision: int
    at: datetime
    """When the last new message went."""
    changed_at: datetime
    unstable: bool = False
    """Whether it was told that the trouble comes and goes."""
    can_change: bool = True
    """False when it was told in a digest, which speaks of others too."""


@dataclass(frozen=True)
class Telling:
    """What is to be told: at the earliest at `at`, as a new message or by changing the one there is."""

    word: Word
    at: datetime
    is_change: bool = False
    held: bool = False
    """In quiet hours: told when they end, together with whatever else there is then."""


def tell(
    incident: Incident, listener: Listener, sent: SentMessage | None, now: datetime, *, muted: bool = False
) -> Telling | None:
    """What is to be told next, None when nothing is.

    `muted`: under maintenance, so that nobody is disturbed; what was told is kept true, and its end is told.
    """
    if listener.merchant_id != incident.merchant_id or incident.group_id:
        return None
    if sent is None:
        return None if muted else _first(incident, listener, now)
    if incident.state is State.RESOLVED:
        return _end(incident, listener, sent, now)
    return _more(incident, listener, sent, now, muted=muted) if incident.is_live else None


def _first(incident: Incident, listener: Listener, now: datetime) -> Telling | None:
    if not incident.is_live or _is_below(incident, listener) or _is_snoozed(incident, now):
        return None
    if incident.opened_at is None:
        return None
    at = incident.opened_at + GATHER
    if listener.is_second:
        if incident.acknowledged_at is not None or incident.state is not State.OPEN:
            return None
        at = incident.opened_at + ESCALATED_AFTER
    word = Word.UNSTABLE if incident.unstable else Word.OPEN
    return _when_awake(Telling(word, max(at, now)), incident, listener)


def _more(incident: Incident, listener: Listener, sent: SentMessage, now: datetime, *, muted: bool) -> Telling | None:
    if _is_snoozed(incident, now):
        return None
    can_change = listener.edits and sent.can_change
    if sent.word is Word.RESOLVED or (incident.unstable and not sent.unstable and not can_change):
        return None if muted else _when_awake(Telling(Word.UNSTABLE, now), incident, listener)
    if incident.unstable and not sent.unstable:
        return _changed(sent, Word.UNSTABLE, now)
    is_due_again = now >= sent.at + REPEATED_AFTER and incident.state is State.OPEN
    if is_due_again and incident.acknowledged_at is None and not muted:
        return _when_awake(Telling(Word.STILL, now), incident, listener)
    if sent.revision < incident.revision and can_change:
        return _changed(sent, sent.word, now)
    return None


def _end(incident: Incident, listener: Listener, sent: SentMessage, now: datetime) -> Telling | None:
    if sent.word is Word.RESOLVED or incident.resolved_at is None:
        return None
    if listener.edits and sent.can_change:
        return Telling(Word.RESOLVED, max(incident.resolved_at, sent.changed_at + CHANGED_AT_MOST), is_change=True)
    return _when_awake(Telling(Word.RESOLVED, max(incident.resolved_at + REOPENS_WITHIN, now)), incident, listener)


def _changed(sent: SentMessage, word: Word, now: datetime) -> Telling:
    return Telling(word, max(now, sent.changed_at + CHANGED_AT_MOST), is_change=True)


def _when_awake(telling: Telling, incident: Incident, listener: Listener) -> Telling:
    if listener.quiet is None or (listener.pierces and incident.terms.severity is Severity.CRITICAL):
        return telling
    ends = listener.quiet.end_of(telling.at)
    return telling if ends is None else Telling(telling.word, ends, held=True)


def _is_below(incident: Incident, listener: Listener) -> bool:
    return _ORDER.index(incident.terms.severity) < _ORDER.index(listener.least)


def _is_snoozed(incident: Incident, now: datetime) -> bool:
    return incident.snoozed_until is not None and now < incident.snoozed_until
