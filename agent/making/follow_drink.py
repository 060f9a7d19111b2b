"""A drink from its first byte to its end: watch it while all goes well, ask when in doubt, give up at the deadline."""

import logging
from dataclasses import dataclass

from agent.clock import Clock
from agent.journal.journal import Journal
from agent.journal.records import Command, CommandState, Verdict, Word
from agent.live_state import LiveState
from agent.log import about
from agent.machine.capability_rules import Duty
from agent.machine.conversation import Conversation, Heard, LineLost, Wait, is_opened
from agent.machine.driver import Driver
from agent.machine.profile import Profile
from agent.making import unrecorded_command
from agent.making.drink_watch import ASK_AGAIN_S, DrinkWatch, concerns
from agent.making.finish_command import CommandFinisher
from agent.making.inquiry import Finding, Inquiry
from agent.making.outcome_table import Then
from agent.making.send_make import MakeSender
from agent.making.unrecorded_command import UnrecordedCommands
from protocol.machine import LinkNak, MakeReply
from protocol.messages import Answer, Evidence
from protocol.reasons import AgentCode, AnswerStatus, MachineState, Phase, RejectCode, Result, Spout

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class DrinkFollower:
    """One drink at a time. Never a second make, but for the one that is proved to be missing."""

    journal: Journal
    driver: Driver
    live_state: LiveState
    clock: Clock
    profile: Profile
    finisher: CommandFinisher
    sender: MakeSender
    inquiry: Inquiry
    unrecorded: UnrecordedCommands

    def follow_sent(self, command: Command) -> Conversation[None]:
        """Begin with the make that was written just now."""
        give_up_at = self.clock.monotonic() + self.profile.give_up_after(command.drink_no)
        must_ask = yield from self._await_verdict(command)
        yield from self._follow(command, give_up_at, must_ask=must_ask, may_resend=True)

    def follow_from_inquiry(self, command: Command, give_up_at: float) -> Conversation[None]:
        """Ask the machine first, for nobody listened when it was written; the make is never written again."""
        yield from self._follow(command, give_up_at, must_ask=True, may_resend=False)

    def _await_verdict(self, command: Command) -> Conversation[bool]:
        """True when the machine must be asked instead."""
        until = self.clock.monotonic() + self.profile.timers.make_verdict

        def wanted(heard: Heard) -> bool:
            return isinstance(heard, LinkNak) or self._concerns(command, heard)

        try:
            heard = yield Wait(until, wanted)
        except LineLost:
            return True
        is_repeat = isinstance(heard, MakeReply) and heard.dup is True
        return heard is None or isinstance(heard, LinkNak) or is_repeat or not self.driver.is_greeted

    def _follow(self, command: Command, give_up_at: float, *, must_ask: bool, may_resend: bool) -> Conversation[None]:
        watch = DrinkWatch(command, self.journal, self.driver, self.profile, self.clock)
        while (row := self._unfinished(command)) is not None:
            if self.clock.monotonic() >= give_up_at:
                self._give_up(row, "no answer in time")
                return
            try:
                if not self.driver.is_open:
                    must_ask = True
                    yield Wait(give_up_at, is_opened)
                elif must_ask or row.state is CommandState.SENT:
                    watch.begin_inquiry()
                    finding = yield from self.inquiry.inquire(row)
                    is_overdue = watch.is_overdue(row)
                    must_ask = yield from self._act_on(row, finding, is_overdue=is_overdue, may_resend=may_resend)
                else:
                    must_ask = yield from self._watch(row, watch, give_up_at)
            except LineLost:
                must_ask = True

    def _watch(self, row: Command, watch: DrinkWatch, give_up_at: float) -> Conversation[bool]:
        """Listen until something happens to this order; True when the machine must be asked."""
        if self.journal.requests.is_cancel_asked(row.command_id):
            yield from self._cancel(row)
            return False
        heard = yield Wait(min(give_up_at, watch.listen_until(row)), watch.hear)
        return watch.must_ask(heard)

    def _act_on(
        self, row: Command, finding: Finding | None, *, is_overdue: bool, may_resend: bool
    ) -> Conversation[bool]:
        """Follow what the machine answered; True when it must be asked again."""
        if finding is None:
            yield Wait(self.clock.monotonic() + ASK_AGAIN_S, is_opened)
            return True
        if finding.row.trips_breaker:
            why = "the counter moved by more than one during one order; needs a person"
            self.journal.sales_block.stop_selling(why)
        if finding.verdict is not None and self._may_still_say(row, finding.verdict):
            yield Wait(self.clock.monotonic() + ASK_AGAIN_S, lambda heard: self._concerns(row, heard))
            return True
        if finding.verdict is not None:
            is_unseen = finding.verdict.code == AgentCode.NEVER_STARTED
            if is_unseen and may_resend and self.sender.send_again(row, same_boot=finding.same_boot):
                return (yield from self._await_verdict(row))
            if not self.unrecorded.begin_again(row, is_unseen=is_unseen):
                self.finisher.finish(row, unrecorded_command.in_its_words(row, finding.verdict))
            return False
        if is_overdue:
            self._give_up(row, "brewing for longer than any drink", finding)
            return False
        return (yield from self._keep_waiting(row, finding))

    def _may_still_say(self, row: Command, verdict: Verdict) -> bool:
        """Nothing to be asked proves anything, but the machine has not had its time yet."""
        if verdict.result is not Result.UNKNOWN or not self.driver.must(Duty.REPORT_UNKNOWN):
            return False
        before = row.snapshot
        is_same_run = before is not None and before.boot_id == self.driver.boot_id
        is_at_it = self.driver.can("finish") or self.live_state.view.machine is MachineState.BREWING
        return is_same_run and is_at_it and self.journal.elapsed(row) < self.profile.max_brew(row.drink_no)

    def _keep_waiting(self, row: Command, finding: Finding) -> Conversation[bool]:
        if finding.row.then is Then.WAIT and finding.phase is Phase.BREWING:
            self.journal.mark_brewing(row.command_id)
        elif finding.phase is Phase.ACCEPTED:
            self.journal.mark_accepted(row.command_id, "the machine said so when asked")
        else:
            yield Wait(
                self.clock.monotonic() + ASK_AGAIN_S, lambda heard: is_opened(heard) or self._concerns(row, heard)
            )
            return True
        return False

    def _cancel(self, row: Command) -> Conversation[None]:
        self.journal.requests.drop_cancel(row.command_id)
        reply = (yield from self.driver.cancel(row.order_id)) if self.driver.can("cancel") else None
        now = self._unfinished(row)
        if now is None:
            return
        if reply is not None and reply.ok and now.word < Word.MOVING:
            evidence = Evidence(rule="cancelled by the machine before anything moved", phase=reply.phase)
            self.finisher.finish(row, Verdict(Result.REJECTED, AgentCode.CANCELLED, Spout.NONE, evidence))
            return
        log.info("too late to cancel: %s", reply, extra=about(row))
        self.live_state.add_answer(
            Answer(
                reference=row.command_id,
                asked="cancel",
                status=AnswerStatus.REFUSED,
                code=RejectCode.TOO_LATE,
                words="the machine has the order; its outcome follows",
            )
        )

    def _give_up(self, row: Command, rule: str, finding: Finding | None = None) -> None:
        before = row.snapshot
        evidence = Evidence(
            rule=rule,
            phase=finding.phase if finding else None,
            boot_before=before.boot_id if before else None,
            boot_now=self.driver.boot_id or None,
            count_before=before.count if before else None,
        )
        self.finisher.finish(row, Verdict(Result.UNKNOWN, "", Spout.UNKNOWN, evidence))

    def _concerns(self, command: Command, heard: Heard) -> bool:
        return concerns(heard, command.order_id, self.driver)

    def _unfinished(self, command: Command) -> Command | None:
        row = self.journal.get(command.command_id)
        return None if row is None or row.is_finished or row.state is CommandState.RECEIVED else row
