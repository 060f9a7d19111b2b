"""The bytes of a make: the last look at the clock, the commit, and only then the frame. Once, or once more on proof."""

import logging
from dataclasses import dataclass
from enum import Enum

from agent.clock import Clock
from agent.deadline import Timeliness
from agent.journal.journal import Journal
from agent.journal.records import Command, Snapshot
from agent.log import about
from agent.machine.capability_rules import Duty
from agent.machine.conversation import LineLost
from agent.machine.driver import Driver
from agent.machine.profile import Profile
from agent.making.finish_command import CommandFinisher
from agent.making.preconditions import Preconditions
from agent.making.unordered_drinks import Expected, UnorderedDrinks
from protocol.machine import MakeDrink, TextFlag
from protocol.reasons import AgentCode

_TEXT_FLAGS: tuple[TextFlag, ...] = ("0", "1", "2")
log = logging.getLogger(__name__)


class Written(Enum):
    """How much of a make has left."""

    NOTHING = "certainly no byte"
    PERHAPS = "some of it, or none"
    WHOLE = "all of it"


@dataclass(frozen=True, slots=True)
class MakeSender:
    """The only one that writes a make."""

    journal: Journal
    driver: Driver
    clock: Clock
    profile: Profile
    preconditions: Preconditions
    finisher: CommandFinisher
    unordered: UnorderedDrinks

    def fits(self, command: Command) -> bool:
        """Is there a frame of this machine that holds it?"""
        return self.driver.fits(_drink(command))

    def send_make(self, command: Command, snapshot: Snapshot) -> Written:
        """Where nothing was written the command is over."""
        if not self._commit_sending(command, snapshot):
            return Written.NOTHING
        if self.preconditions.timeliness(command) is not Timeliness.FRESH:
            self.finisher.refuse(command, AgentCode.EXPIRED, "the deadline passed during the commit")
            return Written.NOTHING
        return self.write_make(command)

    def _commit_sending(self, command: Command, snapshot: Snapshot) -> bool:
        """The intent with its snapshot, and "sent", in one commit: nothing is done between them."""
        with self.journal.transaction():
            if not self.journal.mark_intent(command.command_id, snapshot):
                return False  # taken back while it was prepared
            if self.preconditions.timeliness(command) is not Timeliness.FRESH:
                self.finisher.refuse(command, AgentCode.EXPIRED, "the deadline passed while preparing")
            elif self._has_rival(command):
                rule = "another command of this order has poured since it came"
                self.finisher.refuse(command, AgentCode.CONFLICT, rule)
            elif not self.journal.mark_sent(command.command_id):
                self.finisher.refuse(command, AgentCode.CANCELLED, "taken back before the first byte")
            else:
                return True
        return False

    def write_make(self, command: Command) -> Written:
        """As `send_make`, when all is committed."""
        until = self.clock.monotonic() + self.profile.give_up_after(command.drink_no)
        self.unordered.expect_drink(Expected(command.command_id, until, self.driver.boot_id))
        try:
            self.driver.make(_drink(command), self.preconditions.expires_at(command))
        except LineLost as lost:
            if lost.wrote_nothing:
                self.finisher.refuse(command, AgentCode.MACHINE_OFFLINE, "the port was closed before the first byte")
                return Written.NOTHING
            log.warning("the line was lost while writing: %s", lost, extra=about(command))
            return Written.PERHAPS
        log.info("sent", extra=about(command))
        return Written.WHOLE

    def expect_no_more_of(self, command: Command) -> None:
        """When it is over: a drink that was refused explains no count."""
        row = self.journal.get(command.command_id)
        if row is not None and row.explains_no_count:
            self.unordered.expect_no_more(command.command_id)

    def send_again(self, row: Command, *, same_boot: bool) -> bool:
        """The same bytes once more: only when this very run of the machine has proved that it never saw them."""
        if self.driver.must(Duty.NEVER_RESEND) or not same_boot:
            return False
        if self.preconditions.timeliness(row) is not Timeliness.FRESH or not self.journal.mark_resent(row.command_id):
            return False
        if self.preconditions.timeliness(row) is not Timeliness.FRESH:
            return False
        log.warning("the machine never saw it: sending it once more", extra=about(row))
        try:
            self.driver.make(_drink(row), self.preconditions.expires_at(row))
        except LineLost as lost:
            log.warning("the line was lost while writing: %s", lost, extra=about(row))
        return True

    def _has_rival(self, command: Command) -> bool:
        """A late truth about an earlier command of the order, refused for certain until then, came before our turn."""
        others = (one for one in self.journal.of_order(command.order_id) if one.command_id != command.command_id)
        return any(one.verdict is not None and not one.verdict.certainly_nothing for one in others)


def _drink(command: Command) -> MakeDrink:
    flag = _TEXT_FLAGS[command.size]
    return MakeDrink(order_uuid=command.order_id, drink_no=command.drink_no, text_flag=flag, price=command.price)
