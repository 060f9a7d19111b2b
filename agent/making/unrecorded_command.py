"""A command from before this journal's memory: whether it is made yet, and what the machine's answer about it means."""

from dataclasses import dataclass, replace

from agent.deadline import Timeliness
from agent.journal.journal import Journal
from agent.journal.records import Command, Verdict
from agent.live_state import LiveState
from agent.machine.capability_rules import Duty
from agent.machine.driver import Driver
from agent.making.preconditions import Preconditions
from protocol.reasons import AgentCode, Result


def may_begin(command: Command, *, is_unseen: bool, keeps_record: bool, is_ours: bool, is_waited_for: bool) -> bool:
    """Is it an ordinary make after all? `is_unseen`: the machine proves that it never had it.

    `is_waited_for`: by the cloud's word of this run, or its silence. A copy may come when its order is long over.
    `is_ours`: the journal is older than the command. Then only a copy of the journal could have sent it; where the
    machine keeps no record of orders that is not to be found out, and a restart while somebody pays is the likelier.
    """
    return command.is_unrecorded and is_waited_for and (is_unseen or (is_ours and not keeps_record))


def in_its_words(command: Command, verdict: Verdict) -> Verdict:
    """Refuse what we never sent and the machine never saw, as if it had come to an empty journal."""
    if not command.is_unrecorded or verdict.code != AgentCode.NEVER_STARTED:
        return verdict
    return replace(verdict, result=Result.REJECTED, code=command.unrecorded_code)


@dataclass(frozen=True, slots=True)
class UnrecordedCommands:
    """Begins an unrecorded command as any other if it was certainly never sent."""

    journal: Journal
    driver: Driver
    live_state: LiveState
    preconditions: Preconditions

    def begin_again(self, row: Command, *, is_unseen: bool) -> bool:
        """True when it is in time and waits its turn like any other."""
        keeps_record, is_ours = not self.driver.must(Duty.USE_COUNTERS), self.journal.existed_at_issue(row)
        is_waited_for = self.live_state.view.is_waited_for(row.command_id)
        if not may_begin(
            row, is_unseen=is_unseen, keeps_record=keeps_record, is_ours=is_ours, is_waited_for=is_waited_for
        ):
            return False
        return self.preconditions.timeliness(row) is Timeliness.FRESH and self.journal.begin_again(row)
