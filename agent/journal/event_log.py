"""What happened to the machine and to this agent, for the operator: gathered in memory, committed when nobody waits.

Decides nothing. A drink never waits for it: between its command and its first byte no event is written.
"""

import logging
import sqlite3
import threading
from collections import OrderedDict, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from agent.clock import Clock
from agent.journal import report_message
from agent.journal.records import PendingEvent
from agent.journal.report_queue import ReportQueue
from agent.journal.sqlite_file import SqliteFile
from agent.rate_limit import Pace
from protocol.fields import Fact
from protocol.reasons import EventKind

PENDING = 64
"""Events kept in memory; the oldest goes first, and is counted as lost."""
GATHER_S = 1.0
"""What comes together is one commit, which spares the card."""
LONGEST_WAIT_S = 30.0
"""Then it is written between two words of a drink that is being made."""
BURST, CALM_S = 10, 600.0
"""So often in a row, then so seldom, is one and the same thing told: a flapping door must not wear the card out."""
KINDS_KNOWN = 128
"""Things told apart for that; a machine can invent fault codes without end."""
log = logging.getLogger(__name__)


@dataclass(slots=True)
class _Often:
    """When it may be told again, and how many were not told."""

    pace: Pace = field(default_factory=lambda: Pace(BURST, CALM_S))
    silenced: int = 0


class EventLog:
    """Anybody may tell it something, at any time, from any thread; only the worker has it written down."""

    def __init__(
        self, report_queue: ReportQueue, database: SqliteFile, clock: Clock, reported_at: Callable[[], datetime]
    ) -> None:
        self._report_queue = report_queue
        self._database = database
        self._clock = clock
        self._reported_at = reported_at
        self._lock = threading.Lock()
        self._pending: deque[PendingEvent] = deque()
        self._often: OrderedDict[tuple[str, str], _Often] = OrderedDict()
        self._unheard = 0

    def record_event(self, what: EventKind, code: str = "", words: str = "", **evidence: Fact) -> None:
        """In memory only. Facts of evidence that are too long are cut."""
        now = self._clock.monotonic()
        with self._lock:
            silenced = self._silenced(what, code, now)
            if silenced is None:
                return
            if silenced:
                evidence["silenced"] = silenced
            self._pending.append(PendingEvent(what, code, words, evidence, now))
            if len(self._pending) > PENDING:
                self._pending.popleft()
                self._unheard += 1
        log.info("event %s %s %s", what, code, words)

    def is_due(self, now: float) -> bool:
        """There is something to write, and no more is coming with it."""
        return bool(self._pending) and now - self._pending[0].mono >= GATHER_S

    def is_overdue(self, now: float) -> bool:
        """It has waited long enough for a moment of rest."""
        return bool(self._pending) and now - self._pending[0].mono >= LONGEST_WAIT_S

    def commit_events(self) -> None:
        """In a commit of its own. Raises `JournalFailed`; then all of it is still to be written."""
        with self._lock:
            pending, lost = list(self._pending), self._unheard
        if not pending:
            return
        with self._database.transaction() as connection:
            for place, happened in enumerate(pending):
                self._queue(connection, happened, 0 if place else lost)
        written = set(map(id, pending))
        with self._lock:
            self._unheard -= lost
            self._pending = deque(one for one in self._pending if id(one) not in written)

    def _queue(self, connection: sqlite3.Connection, happened: PendingEvent, unheard: int) -> None:
        ago = timedelta(seconds=self._clock.monotonic() - happened.mono)
        at = self._reported_at() - ago

        def build(message_id: str, lost: int) -> bytes:
            return report_message.event(message_id, happened, at, lost)

        self._report_queue.add_event(connection, build, unheard)

    def _silenced(self, what: str, code: str, now: float) -> int | None:
        """How many of this were not told before this one; None when it is not to be told itself."""
        often = self._often.setdefault((what, code), _Often())
        self._often.move_to_end((what, code))
        while len(self._often) > KINDS_KNOWN:
            self._often.popitem(last=False)
        if not often.pace.allows(now):
            often.silenced += 1
            return None
        silenced, often.silenced = often.silenced, 0
        return silenced
