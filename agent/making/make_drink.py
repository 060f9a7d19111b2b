"""One command from received to finished, as talks with the machine: pour it, settle it, ask again about it.

Every state is committed before its act; after the first byte only the machine's word or the table decides.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass, replace

from agent.clock import Clock, CloudClock
from agent.deadline import Timeliness
from agent.journal.journal import Journal
from agent.journal.records import Command, CommandState, Verdict, Word, refused
from agent.live_state import Board
from agent.log import about
from agent.machine.capability_rules import Duty
from agent.machine.conversation import Heard, LineLost, Sign, Talk, Wait
from agent.machine.driver import Driver
from agent.machine.frame_dump import Recorder
from agent.machine.profile import Profile
from agent.making import unrecorded_command
from agent.making.breaker import commit_verdict
from agent.making.drink_watch import ASK_AGAIN_S, Vigil, concerns
from agent.making.inquiry import Enquiry, Finding
from agent.making.outcome_table import Then
from agent.making.preconditions import Preparing
from agent.making.unordered_drinks import Tally
from protocol.machine import LinkNak, MakeDrink, MakeReply, TextFlag
from protocol.messages import Answer, Evidence
from protocol.reasons import (
    AgentCode,
    AnswerStatus,
    DoubtCode,
    MachineState,
    Phase,
    RejectCode,
    Result,
    Spout,
)

_TEXT_FLAGS: tuple[TextFlag, ...] = ("0", "1", "2")
LAST_CHANCE_S = 10.0
"""After a restart every unsettled order gets at least this long to be answered for."""
log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Pouring:
    """The talks; each leaves its command finished, or is cut off by a crash and settled at the next start."""

    journal: Journal
    driver: Driver
    board: Board
    clock: Clock
    cloud: CloudClock
    profile: Profile
    recorder: Recorder
    tally: Tally
    started: float
    """When this process began, steady seconds."""
    look: Callable[[], None]
    """Brings the board up to date."""

    def pour(self, command: Command) -> Talk[None]:
        """Make the drink, or refuse it with certainty."""
        if not self.driver.fits(_drink(command)):
            self.refuse(command, RejectCode.BAD_BODY, "no frame of this machine holds it")
            return
        snapshot = yield from self._preparing.until_ready(command)
        if snapshot is None or not self.journal.intend(command.command_id, snapshot):
            return
        self.board.change(busy_order=command.order_id)
        try:
            if self._send(command):
                yield from self._see_through(command)
        finally:
            self.board.change(busy_order=None)
        yield from self._count_after()

    def is_stale(self, command: Command) -> bool:
        """Too late for it, whatever the machine may be able to do."""
        return self._preparing.timeliness(command) is Timeliness.EXPIRED

    def settle(self, command: Command) -> Talk[None]:
        """Find out what became of a make that an earlier talk left open."""
        timers = self.profile.timers
        left = max(LAST_CHANCE_S, timers.unknown_deadline - self._elapsed(command))
        self.board.change(busy_order=command.order_id)
        try:
            if self.driver.is_blind:
                if not self._begin_again(command, is_unseen=False):
                    yield from self._leave_alone(command)
                return
            give_up_at = self.clock.monotonic() + min(left, timers.unknown_deadline)
            yield from self._follow(command, give_up_at, in_doubt=True, may_resend=False)
        finally:
            self.board.change(busy_order=None)

    def let_finish(self, command: Command) -> Talk[None]:
        """After a restart: a machine that says nothing may still be pouring what an earlier run sent."""
        self.board.change(busy_order=command.order_id)
        try:
            yield from self._leave_alone(command)
        finally:
            self.board.change(busy_order=None)

    def recheck(self, command: Command) -> Talk[bool]:
        """Ask once more about an outcome nobody knew, or that a lost commit may have falsified; True when answered.

        Only a certain answer changes it. Of what the journal never sent only the machine's own memory can tell.
        """
        if self.driver.is_unobservable:
            return True
        try:
            finding = yield from self._enquire(command)
        except LineLost:
            return False
        if finding is None or finding.verdict is None:
            return False
        if command.was_sent or finding.phase in (Phase.DONE, Phase.FAILED):
            self._finish(command, finding.verdict)
        return True

    def refuse(self, command: Command, code: str, rule: str) -> None:
        """Certainly nothing was poured, unless it is from before our memory."""
        if not self.journal.doubts(command):
            self._finish(command, refused(code, rule))

    # The first byte

    def _send(self, command: Command) -> bool:
        """The last look at the clock, the commit, and the bytes. False when it is certain that none was written."""
        if self._preparing.timeliness(command) is not Timeliness.FRESH:
            self.refuse(command, AgentCode.EXPIRED, "the deadline passed while preparing")
        elif self._has_rival(command):
            self.refuse(command, AgentCode.CONFLICT, "another command of this order has poured since it came")
        elif not self.journal.mark_sent(command.command_id):
            self.refuse(command, AgentCode.CANCELLED, "taken back before the first byte")
        elif self._preparing.timeliness(command) is not Timeliness.FRESH:
            self.refuse(command, AgentCode.EXPIRED, "the deadline passed during the commit")
        else:
            return self._write(command)
        return False

    def _write(self, command: Command) -> bool:
        self.tally.sent(self.clock.monotonic())
        try:
            self.driver.make(_drink(command), self._preparing.expires_at(command))
        except LineLost as lost:
            if lost.wrote_nothing:
                self.refuse(command, AgentCode.MACHINE_OFFLINE, "the port was closed before the first byte")
                return False
            log.warning("the line was lost while writing: %s", lost, extra=about(command))
        else:
            log.info("sent", extra=about(command))
        return True

    # After the first byte

    def _see_through(self, command: Command) -> Talk[None]:
        if self.driver.is_blind:
            yield from self._leave_alone(command)
            return
        give_up_at = self.clock.monotonic() + self.profile.timers.unknown_deadline
        in_doubt = yield from self._verdict(command)
        yield from self._follow(command, give_up_at, in_doubt=in_doubt, may_resend=True)

    def _leave_alone(self, command: Command) -> Talk[None]:
        """Nobody will ever say what becomes of it: told at once. Until it must be finished nothing else is sent."""
        sent = "it may have been sent" if command.is_hearsay else "sent"
        evidence = Evidence(rule=f"{sent}; this machine never says what becomes of a drink")
        self._finish(command, Verdict(Result.UNKNOWN, "", Spout.UNKNOWN, evidence))
        while (left := self.profile.max_brew(command.drink_no) - self._elapsed(command)) > 0:
            try:
                yield Wait(self.clock.monotonic() + left, lambda heard: heard is Sign.NUDGE)
            except LineLost as lost:
                log.info("the line was lost while the machine may be pouring: %s", lost)

    def _verdict(self, command: Command) -> Talk[bool]:
        """Wait for the machine's verdict; True when it must be asked instead. Never a second make."""
        until = self.clock.monotonic() + self.profile.timers.make_verdict

        def wanted(heard: Heard) -> bool:
            return isinstance(heard, LinkNak) or self._concerns(command, heard)

        try:
            heard = yield Wait(until, wanted)
        except LineLost:
            return True
        is_repeat = isinstance(heard, MakeReply) and heard.dup is True
        return heard is None or isinstance(heard, LinkNak) or is_repeat or not self.driver.is_greeted

    def _follow(self, command: Command, give_up_at: float, *, in_doubt: bool, may_resend: bool) -> Talk[None]:
        """Until the command is finished: watch while all goes well, ask when in doubt, give up at the deadline."""
        vigil = Vigil(command, self.journal, self.driver, self.profile, self.clock)
        while (row := self._unfinished(command)) is not None:
            if self.clock.monotonic() >= give_up_at:
                self._give_up(row, "no answer in time")
                return
            try:
                if not self.driver.is_open:
                    in_doubt = True
                    yield Wait(give_up_at, _opened)
                elif in_doubt or row.state is CommandState.SENT:
                    vigil.asks()
                    finding = yield from self._enquire(row)
                    overdue = vigil.is_overdue(row)
                    in_doubt = yield from self._act_on(row, finding, overdue=overdue, may_resend=may_resend)
                else:
                    in_doubt = yield from self._watch(row, vigil, give_up_at)
            except LineLost:
                in_doubt = True

    def _watch(self, row: Command, vigil: Vigil, give_up_at: float) -> Talk[bool]:
        """Listen until something happens to this order; True when the machine must be asked."""
        if self.journal.is_cancel_asked(row.command_id):
            yield from self._cancel(row)
            return False
        heard = yield Wait(min(give_up_at, vigil.until(row)), vigil.wants)
        return vigil.is_to_be_asked(heard)

    def _act_on(self, row: Command, finding: Finding | None, *, overdue: bool, may_resend: bool) -> Talk[bool]:
        """Follow what the machine answered; True while still in doubt."""
        if finding is None:
            yield Wait(self.clock.monotonic() + ASK_AGAIN_S, _opened)
            return True
        if finding.row.trips_breaker:
            self.journal.sales_block.stop_selling("the counter moved by more than one during one order; needs a person")
        if finding.verdict is not None and self._may_still_say(row, finding.verdict):
            yield Wait(self.clock.monotonic() + ASK_AGAIN_S, lambda heard: self._concerns(row, heard))
            return True
        if finding.verdict is not None:
            is_unseen = finding.verdict.code == AgentCode.NEVER_STARTED
            if is_unseen and may_resend and self._resend(row, finding):
                return (yield from self._verdict(row))
            if not self._begin_again(row, is_unseen=is_unseen):
                self._finish(row, unrecorded_command.in_its_words(row, finding.verdict))
            return False
        if overdue:
            self._give_up(row, "brewing for longer than any drink", finding)
            return False
        return (yield from self._keep_waiting(row, finding))

    def _may_still_say(self, row: Command, verdict: Verdict) -> bool:
        """Nothing to be asked proves anything, but the machine has not had its time yet."""
        if verdict.result is not Result.UNKNOWN or not self.driver.must(Duty.REPORT_UNKNOWN):
            return False
        before = row.snapshot
        is_same_run = before is not None and before.boot_id == self.driver.boot_id
        is_at_it = self.driver.can("finish") or self.board.view.machine is MachineState.BREWING
        return is_same_run and is_at_it and self._elapsed(row) < self.profile.max_brew(row.drink_no)

    def _keep_waiting(self, row: Command, finding: Finding) -> Talk[bool]:
        if finding.row.then is Then.WAIT and finding.phase is Phase.BREWING:
            self.journal.mark_brewing(row.command_id)
        elif finding.phase is Phase.ACCEPTED:
            self.journal.mark_accepted(row.command_id, "the machine said so when asked")
        else:
            yield Wait(self.clock.monotonic() + ASK_AGAIN_S, lambda heard: _opened(heard) or self._concerns(row, heard))
            return True
        return False

    def _resend(self, row: Command, finding: Finding) -> bool:
        """The same bytes once more: only when this very run of the machine has proved that it never saw them."""
        if self.driver.must(Duty.NEVER_RESEND) or not finding.same_boot:
            return False
        if self._preparing.timeliness(row) is not Timeliness.FRESH or not self.journal.mark_resent(row.command_id):
            return False
        if self._preparing.timeliness(row) is not Timeliness.FRESH:
            return False
        log.warning("the machine never saw it: sending it once more", extra=about(row))
        try:
            self.driver.make(_drink(row), self._preparing.expires_at(row))
        except LineLost as lost:
            log.warning("the line was lost while writing: %s", lost, extra=about(row))
        return True

    def _begin_again(self, row: Command, *, is_unseen: bool) -> bool:
        """A make of before our memory, which was never sent and is in time, waits its turn like any other."""
        keeps_record, is_ours = not self.driver.must(Duty.USE_COUNTERS), self.journal.existed(row)
        if not unrecorded_command.may_begin(row, is_unseen=is_unseen, keeps_record=keeps_record, is_ours=is_ours):
            return False
        return self._preparing.timeliness(row) is Timeliness.FRESH and self.journal.begin_again(row)

    def _cancel(self, row: Command) -> Talk[None]:
        self.journal.drop_cancel(row.command_id)
        reply = (yield from self.driver.cancel(row.order_id)) if self.driver.can("cancel") else None
        now = self._unfinished(row)
        if now is None:
            return
        if reply is not None and reply.ok and now.word < Word.MOVING:
            evidence = Evidence(rule="cancelled by the machine before anything moved", phase=reply.phase)
            self._finish(row, Verdict(Result.REJECTED, AgentCode.CANCELLED, Spout.NONE, evidence))
            return
        log.info("too late to cancel: %s", reply, extra=about(row))
        self.board.answer(
            Answer(
                reference=row.command_id,
                asked="cancel",
                status=AnswerStatus.REFUSED,
                code=RejectCode.TOO_LATE,
                words="the machine has the order; its outcome follows",
            )
        )

    def _count_after(self) -> Talk[None]:
        """Refresh what the board shows, and let the tally see whether one drink was one."""
        try:
            yield from self.driver.status()
            if self.driver.can("counters"):
                yield from self.driver.counters()
        except LineLost:
            return

    # Small questions

    @property
    def _preparing(self) -> Preparing:
        return Preparing(
            journal=self.journal,
            driver=self.driver,
            board=self.board,
            clock=self.clock,
            cloud=self.cloud,
            profile=self.profile,
            started=self.started,
            look=self.look,
            refuse=self.refuse,
        )

    def _enquire(self, row: Command) -> Talk[Finding | None]:
        enquiry = Enquiry(self.journal, self.driver, self.board, self.clock, self.profile)
        return (yield from enquiry.ask(row))

    def _give_up(self, row: Command, rule: str, finding: Finding | None = None) -> None:
        before = row.snapshot
        evidence = Evidence(
            rule=rule,
            phase=finding.phase if finding else None,
            boot_before=before.boot_id if before else None,
            boot_now=self.driver.boot_id or None,
            count_before=before.count if before else None,
        )
        self._finish(row, Verdict(Result.UNKNOWN, "", Spout.UNKNOWN, evidence))

    def _finish(self, command: Command, verdict: Verdict) -> None:
        if verdict.result is Result.UNKNOWN and self.driver.is_unobservable and not command.is_hearsay:
            verdict = replace(verdict, code=DoubtCode.UNOBSERVABLE)
        if not commit_verdict(self.journal, command.command_id, verdict):
            return
        log.info("%s %s: %s", verdict.result, verdict.code, verdict.evidence.rule, extra=about(command))
        if verdict.result is Result.UNKNOWN:
            self.recorder.dump(command.command_id, self.clock.wall())

    def _concerns(self, command: Command, heard: Heard) -> bool:
        return concerns(heard, command.order_id, self.driver)

    def _unfinished(self, command: Command) -> Command | None:
        row = self.journal.get(command.command_id)
        return None if row is None or row.is_finished or row.state is CommandState.RECEIVED else row

    def _has_rival(self, command: Command) -> bool:
        """A late truth about an earlier command of the order, refused for certain until then, came before our turn."""
        others = (one for one in self.journal.of_order(command.order_id) if one.command_id != command.command_id)
        return any(one.verdict is not None and not one.verdict.certainly_nothing for one in others)

    def _elapsed(self, command: Command) -> float:
        row = self.journal.get(command.command_id) or command
        return self.journal.memory.at_least(row.sent)


def _drink(command: Command) -> MakeDrink:
    flag = _TEXT_FLAGS[command.size]
    return MakeDrink(order_uuid=command.order_id, drink_no=command.drink_no, text_flag=flag, price=command.price)


def _opened(heard: Heard) -> bool:
    return heard is Sign.OPENED
