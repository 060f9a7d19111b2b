"""A make whose outcome nobody followed to its end: what became of it is found out, asked again, or left alone."""

import logging
from dataclasses import dataclass

from agent.clock import Clock
from agent.journal.journal import Journal
from agent.journal.records import Command, Verdict
from agent.log import about
from agent.machine.capability_rules import Duty
from agent.machine.conversation import Conversation, LineLost, Wait, is_nudge
from agent.machine.driver import Driver
from agent.machine.profile import Profile
from agent.making.finish_command import CommandFinisher
from agent.making.follow_drink import DrinkFollower
from agent.making.inquiry import Inquiry
from agent.making.unrecorded_command import UnrecordedCommands
from protocol.messages import Evidence
from protocol.reasons import DoubtCode, Phase, Result, Spout

LAST_CHANCE_S = 10.0
"""After a restart every unsettled order gets at least this long to be answered for."""
log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class LateSettler:
    """After a restart, after an error of ours, and once more later about what stayed unknown."""

    journal: Journal
    driver: Driver
    clock: Clock
    profile: Profile
    finisher: CommandFinisher
    inquiry: Inquiry
    unrecorded: UnrecordedCommands
    follower: DrinkFollower

    def settle(self, command: Command) -> Conversation[None]:
        """To its end: by the machine's word, or unknown at the deadline."""
        if self.driver.is_blind:
            if not self.unrecorded.begin_again(command, is_unseen=False):
                yield from self.leave_alone(command, is_sent=False)
            return
        deadline = self.profile.give_up_after(command.drink_no)
        left = max(LAST_CHANCE_S, deadline - self.journal.elapsed(command))
        yield from self.follower.follow_from_inquiry(command, self.clock.monotonic() + min(left, deadline))

    def leave_alone(self, command: Command, *, is_sent: bool) -> Conversation[None]:
        """Nobody will ever say what becomes of it: told at once. Until it must be finished nothing else is sent.

        `is_sent`: all its bytes were written just now; else it may as well have come to nothing.
        """
        code, sent = (DoubtCode.UNOBSERVABLE, "sent") if is_sent else ("", "it may have been sent")
        evidence = Evidence(rule=f"{sent}; this machine never says what becomes of a drink")
        self.finisher.finish(command, Verdict(Result.UNKNOWN, code, Spout.UNKNOWN, evidence))
        while (left := self.profile.max_brew(command.drink_no) - self.journal.elapsed(command)) > 0:
            try:
                yield Wait(self.clock.monotonic() + left, is_nudge)
            except LineLost as lost:
                log.info("the line was lost while the machine may be pouring: %s", lost, extra=about(command))

    def recheck(self, command: Command) -> Conversation[bool]:
        """Ask once more about an outcome nobody knew, or that a lost commit may have falsified; True when answered.

        Only a certain answer changes it. Of what the journal never sent, or told as certainly nothing, only the
        machine's own memory can tell: the drink that a counter shows is somebody else's.
        """
        if self.driver.is_unobservable or (not command.was_sent and self.driver.must(Duty.USE_COUNTERS)):
            return True
        try:
            finding = yield from self.inquiry.inquire(command)
        except LineLost:
            return False
        if finding is None or finding.verdict is None:
            return False
        told = command.verdict
        is_open = command.was_sent and not (told is not None and told.certainly_nothing)
        if is_open or finding.phase in (Phase.DONE, Phase.FAILED):
            self.finisher.finish(command, finding.verdict)
        return True
