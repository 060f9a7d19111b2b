"""What the worker writes when nobody waits for the disk: events, faults, signs of life. And the look for room again."""

import logging

from agent.journal.journal import Journal
from agent.journal.sqlite_file import JournalFailed
from agent.making.readiness import Readiness

STORAGE_PROBE_S = 5.0
PRUNE_S = 24 * 3600.0
log = logging.getLogger(__name__)


class JournalDuties:
    """The worker's."""

    def __init__(self, journal: Journal, readiness: Readiness) -> None:
        self._journal = journal
        self._readiness = readiness
        self._prune_at = self._prove_at = 0.0

    def prune_if_due(self, now: float) -> None:
        if now >= self._prune_at:
            self._prune_at = now + PRUNE_S
            self._journal.prune()

    def write_if_due(self, now: float, *, is_idle: bool) -> None:
        """While there is room for more than what is under way. Raises `JournalFailed`."""
        if self._journal.failure or self._readiness.shortage:
            return
        event_log = self._journal.event_log
        if is_idle:
            is_time = event_log.is_due(now)
        else:
            is_time = event_log.is_overdue(now) and not (self._journal.next_received() or self._journal.begun())
        if is_time:
            event_log.commit_events()
        if is_idle:
            self._journal.memory.keep_run()
            self._journal.faults.write_if_due()

    def prove_if_failed(self, now: float) -> None:
        """A full disk may have room again."""
        if not self._journal.failure or now < self._prove_at:
            return
        self._prove_at = now + STORAGE_PROBE_S
        try:
            self._journal.sales_block.prove_writable()
        except JournalFailed as failed:
            log.error("the journal cannot be written: %s", failed)
