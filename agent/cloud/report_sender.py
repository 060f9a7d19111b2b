"""Which report goes to the broker when: oldest first, a few at a time, again until the cloud holds it.

A report that takes the connection down with it (a poison) goes last, alone, and ever more seldom, so it stops no other.
Events go when no report is on its way, and only to a cloud that has said that it takes them.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from agent.journal.report_queue import Report, ReportQueue
from protocol.messages import REPEAT_WITHIN_S

WINDOW = 10
"""Reports the broker has not confirmed: half of what paho lets out at once, so no answer queues behind a backlog."""
REPEAT_AFTER_S, LONGEST_REPEAT_S = REPEAT_WITHIN_S, 300.0
LOSSES_TO_SUSPECT = 2
"""A report unconfirmed at this many lost connections may be their cause."""


class Line(Protocol):
    """The present connection, as far as a report needs it."""

    def send(self, payload: bytes) -> int | None:
        """Publish; a ticket, or None when the line is lost."""

    def is_confirmed(self, ticket: int) -> bool:
        """Has the broker taken it?"""


@dataclass(slots=True)
class _Turn:
    """When a report is sent again, and how long after that."""

    due: float
    pause: float


class ReportSender:
    """For one link; told when a connection is made and lost."""

    def __init__(self, report_queue: ReportQueue) -> None:
        self._report_queue = report_queue
        self._published = 0
        """The last report looked at on this connection."""
        self._told = 0
        """The last event."""
        self._turns: dict[int, _Turn] = {}
        self._in_flight: dict[int, int] = {}
        """Report and ticket: sent on this connection, not confirmed yet."""
        self._losses: dict[int, int] = {}
        self._suspects: dict[int, _Turn] = {}

    def connected(self) -> None:
        """Everything waiting is due again, suspects at their own time."""
        self._published = self._told = 0
        self._report_queue.takes_events = False
        self._turns.clear()
        self._in_flight.clear()

    def lost(self, line: Line, now: float) -> None:
        """What was on its way when the connection went."""
        self._settle(line)
        for seq in self._in_flight:
            self._losses[seq] = self._losses.get(seq, 0) + 1
            if self._losses[seq] >= LOSSES_TO_SUSPECT:
                turn = self._suspects.setdefault(seq, _Turn(now, REPEAT_AFTER_S))
                turn.pause = min(LONGEST_REPEAT_S, turn.pause * 2)
                turn.due = now + turn.pause
        self._in_flight.clear()

    def step(self, line: Line, now: float) -> None:
        """Send what is due, as far as the window allows."""
        self._settle(line)
        self._send_new(line, now)
        self._send_again(line, now)
        self._send_events(line, now)
        if not self._in_flight:
            self._send_one_suspect(line, now)

    @property
    def suspects(self) -> list[int]:
        """Reports kept apart."""
        return sorted(self._suspects)

    def _settle(self, line: Line) -> None:
        for seq in [seq for seq, ticket in self._in_flight.items() if line.is_confirmed(ticket)]:
            del self._in_flight[seq]
            self._losses.pop(seq, None)
            if seq in self._suspects:
                self._turns[seq] = self._suspects.pop(seq)

    def _send_new(self, line: Line, now: float) -> None:
        while (room := WINDOW - len(self._in_flight)) > 0:
            reports = self._report_queue.after(self._published, room)
            if not reports:
                return
            self._published = reports[-1].seq
            self._send_first(line, reports, now)

    def _send_events(self, line: Line, now: float) -> None:
        """So many at a time, and a drink's report never waits for more of them, nor with one for a lost connection."""
        while self._report_queue.takes_events and not self._in_flight:
            events = self._report_queue.events_after(self._told, WINDOW)
            if not events:
                return
            self._told = events[-1].seq
            self._send_first(line, events, now)

    def _send_first(self, line: Line, reports: Sequence[Report], now: float) -> None:
        for report in reports:
            if report.seq not in self._suspects:
                self._send(line, report.seq, report.payload)
                self._turns[report.seq] = _Turn(now + REPEAT_AFTER_S, REPEAT_AFTER_S)

    def _send_again(self, line: Line, now: float) -> None:
        for seq in [seq for seq, turn in self._turns.items() if now >= turn.due and seq not in self._in_flight]:
            if len(self._in_flight) >= WINDOW:
                return
            payload = self._report_queue.payload(seq)
            if payload is None:
                del self._turns[seq]
                self._losses.pop(seq, None)
                continue
            turn = self._turns[seq]
            turn.pause = min(LONGEST_REPEAT_S, turn.pause * 2)
            turn.due = now + turn.pause
            self._send(line, seq, payload)

    def _send_one_suspect(self, line: Line, now: float) -> None:
        for seq in [seq for seq, turn in self._suspects.items() if now >= turn.due]:
            payload = self._report_queue.payload(seq)
            if payload is not None:
                self._suspects[seq].due = now + self._suspects[seq].pause
                self._send(line, seq, payload)
                return
            del self._suspects[seq]
            self._losses.pop(seq, None)

    def _send(self, line: Line, seq: int, payload: bytes) -> None:
        ticket = line.send(payload)
        if ticket is not None:
            self._in_flight[seq] = ticket
