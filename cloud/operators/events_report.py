"""A machine's events as lines for a person, and as JSON for a program. Pure."""

import json
from collections.abc import Iterator, Sequence
from datetime import timedelta

from cloud.fleet.machine_events import MachineEvent
from cloud.fleet.sessions import RESUME_ASKED
from protocol.reasons import EventKind

LATE = timedelta(minutes=5)
"""Heard of so much later than it happened, the second time is told too."""
MEANINGS: dict[str, str] = {
    EventKind.AGENT_STARTED: "the agent started",
    EventKind.MACHINE_BOOTED: "the machine restarted",
    EventKind.LINE_DOWN: "the machine does not answer the agent",
    EventKind.LINE_UP: "the machine answers the agent",
    EventKind.LINE_NOISY: "many damaged frames: look at the cable",
    EventKind.LINE_CLEAN: "the line is clean again",
    EventKind.FAULT_SET: "fault",
    EventKind.FAULT_CLEARED: "fault gone",
    EventKind.COUNTER_MOVED: "the machine counted drinks that nobody ordered here",
    EventKind.STRAY_OUTCOME: "the machine ended an order that its agent did not send",
    EventKind.SELLING_STOPPED: "selling stopped",
    EventKind.SELLING_RESUMED: "selling goes on",
    EventKind.JOURNAL_LOST: "the agent's journal was damaged and put aside",
    RESUME_ASKED: "an operator let it sell again",
    EventKind.TWO_AGENTS: "two agents take turns under this name: a copied card",
    EventKind.CLOCK_WRONG: "the clock of the agent's computer is wrong",
    EventKind.CLOCK_RIGHT: "the clock of the agent's computer is right again",
}


def as_text(events: Sequence[MachineEvent]) -> str:
    """For a terminal, oldest first; times in UTC."""
    return "\n".join(_lines(events)) or "nothing was told yet"


def as_json(events: Sequence[MachineEvent]) -> str:
    """For a program, oldest first."""
    told = [
        {
            "message_id": event.message_id,
            "at": event.at.isoformat(),
            "received_at": event.received_at.isoformat(),
            "what": event.what,
            "code": event.code,
            "words": event.words,
            "evidence": event.evidence,
            "lost_before": event.lost,
        }
        for event in events
    ]
    return json.dumps(told, ensure_ascii=False, indent=2)


def _lines(events: Sequence[MachineEvent]) -> Iterator[str]:
    lost: dict[str, int] = {}
    for event in events:
        journal = event.message_id.rpartition("-")[0]
        missing = event.lost - lost.get(journal, event.lost)
        lost[journal] = event.lost
        if missing > 0:
            yield f"{'':<21}({missing} events were dropped on the machine, having waited too long)"
        yield _line(event)


def _line(event: MachineEvent) -> str:
    facts = ", ".join(f"{name} {fact}" for name, fact in event.evidence.items() if fact != "")
    said = " ".join(part for part in (MEANINGS.get(event.what, event.what), event.code) if part)
    line = f"{event.at:%Y-%m-%d %H:%M:%S}  {said}"
    line += f": {event.words}" if event.words else ""
    line += f" ({facts})" if facts else ""
    is_late = abs(event.received_at - event.at) > LATE
    return f"{line} [told {event.received_at:%Y-%m-%d %H:%M:%S}]" if is_late else line
