"""Errors of our own at one and the same command: after a few it is a poison, and is finished as truly as can be."""

import logging
from collections import OrderedDict

from agent.journal.journal import Journal
from agent.journal.records import Command, Verdict, refused
from agent.journal.sqlite_file import JournalFailed
from agent.log import about
from protocol.messages import Evidence
from protocol.reasons import AgentCode, Result

POISON = 3
"""Failures of one kind at one command that make it one."""
REMEMBERED = 64
log = logging.getLogger(__name__)


class CommandFailures:
    """Counts them by command and kind of error."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._counts: OrderedDict[tuple[str, str], int] = OrderedDict()

    def failed_at(self, command: Command, error: Exception) -> None:
        """Once more. What can only fail is put away, and nothing is sold until a person has looked."""
        key = (command.command_id, type(error).__name__)
        self._counts[key] = self._counts.get(key, 0) + 1
        self._counts.move_to_end(key)
        while len(self._counts) > REMEMBERED:
            self._counts.popitem(last=False)
        if self._counts[key] < POISON:
            return
        try:
            self._put_away(command.command_id, f"the agent failed at it {POISON} times: {type(error).__name__}")
        except JournalFailed as failed:
            log.error("it stays: %s", failed, extra=about(command))

    def _put_away(self, command_id: str, why: str) -> None:
        command = self._journal.get(command_id)
        if command is None or command.is_finished:
            return
        certain, unsure = refused(AgentCode.NEVER_SENT, why), Verdict(Result.UNKNOWN, evidence=Evidence(rule=why))
        with self._journal.transaction():
            self._journal.finish(command_id, unsure if command.was_sent else certain)
            self._journal.sales_block.stop_selling(f"{why}, order {command.order_id[:80]}")
            self._journal.log_after_commit(log.error, "put away: %s", why, extra=about(command))
