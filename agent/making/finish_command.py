"""How a command ends: its outcome committed, with the stop of all selling where it is one unknown too many."""

import logging
from dataclasses import dataclass, replace

from agent.clock import Clock
from agent.journal.journal import Journal
from agent.journal.records import Command, CommandState, Verdict, refused
from agent.live_state import LiveState
from agent.log import about
from agent.machine.driver import Driver
from agent.machine.frame_dump import FrameDump
from agent.making import breaker
from protocol.reasons import DoubtCode, MachineState, Result

_TAKEN = (CommandState.ACCEPTED, CommandState.BREWING)
_BROKEN_OFF = (MachineState.BOOT, MachineState.FAULT)
"""In such a state a machine is not at a drink that it took, and may never have been."""
log = logging.getLogger(__name__)


def commit_verdict(journal: Journal, command_id: str, verdict: Verdict) -> bool:
    """Commit the outcome and what the sales breaker makes of it, in one. False when it changes nothing."""
    with journal.transaction():
        if not journal.finish(command_id, verdict):
            return False
        may_matter = verdict.result is Result.UNKNOWN and verdict.code != DoubtCode.UNOBSERVABLE
        if may_matter and not journal.sales_block.is_stopped:
            reason = breaker.why_stop(journal.recent_outcomes(breaker.LOOK_BACK))
            if reason:
                journal.sales_block.stop_selling(reason)
    return True


@dataclass(frozen=True, slots=True)
class CommandFinisher:
    """For the worker's commands: says why in the log, and keeps the last frames of what nobody can explain."""

    journal: Journal
    driver: Driver
    live_state: LiveState
    frame_dump: FrameDump
    clock: Clock

    def finish(self, command: Command, verdict: Verdict) -> None:
        if verdict.result is Result.UNKNOWN and self.driver.is_unobservable and self._is_at_it(command):
            verdict = replace(verdict, code=DoubtCode.UNOBSERVABLE)
        if not commit_verdict(self.journal, command.command_id, verdict):
            return
        self.journal.log_after_commit(
            log.info, "%s %s: %s", verdict.result, verdict.code, verdict.evidence.rule, extra=about(command)
        )
        if verdict.result is Result.UNKNOWN:
            self.frame_dump.dump(command.command_id, self.clock.wall())

    def _is_at_it(self, command: Command) -> bool:
        """By all that such a machine ever says: it has taken it, and has neither booted nor broken down since."""
        row = self.journal.get(command.command_id)
        if row is None or row.state not in _TAKEN or row.snapshot is None:
            return False
        is_same_run = self.driver.is_greeted and row.snapshot.boot_id == self.driver.boot_id
        return is_same_run and self.live_state.view.machine not in _BROKEN_OFF

    def refuse(self, command: Command, code: str, rule: str) -> None:
        """Certainly nothing was poured, unless it is from before our memory."""
        if not self.journal.mark_unrecorded(command):
            self.finish(command, refused(code, rule))
