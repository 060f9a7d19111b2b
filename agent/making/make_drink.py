"""One command from its turn to its end, as a conversation with the machine: prepare it, commit it as sent, send it.

Every state is committed before its act; after the first byte only the machine's word or the table decides.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from agent.journal.journal import Journal
from agent.journal.records import Command
from agent.live_state import LiveState
from agent.machine.conversation import Conversation, LineLost
from agent.machine.driver import Driver
from agent.making.finish_command import CommandFinisher
from agent.making.follow_drink import DrinkFollower
from agent.making.preconditions import Preconditions
from agent.making.send_make import MakeSender, Written
from agent.making.settle_drink import LateSettler
from protocol.reasons import RejectCode


@dataclass(frozen=True, slots=True)
class DrinkMaker:
    """Leaves its command finished, or is cut off by a crash; then `settle` goes on at the next start."""

    journal: Journal
    driver: Driver
    live_state: LiveState
    finisher: CommandFinisher
    preconditions: Preconditions
    sender: MakeSender
    follower: DrinkFollower
    settler: LateSettler

    def make_drink(self, command: Command) -> Conversation[None]:
        """Make the drink, or refuse it with certainty."""
        if not self.sender.fits(command):
            self.finisher.refuse(command, RejectCode.BAD_BODY, "no frame of this machine holds it")
            return
        snapshot = yield from self.preconditions.until_ready(command)
        if snapshot is None:
            return
        with self._busy_with(command):
            written = self.sender.send_make(command, snapshot)
            if written is not Written.NOTHING:
                if self.driver.is_blind:
                    yield from self.settler.leave_alone(command, is_sent=written is Written.WHOLE)
                else:
                    yield from self.follower.follow_sent(command)
        self.sender.expect_no_more_of(command)
        yield from self._count_after()

    def settle(self, command: Command) -> Conversation[None]:
        """Find out what became of a make that an earlier conversation left open."""
        with self._busy_with(command):
            yield from self.settler.settle(command)
        self.sender.expect_no_more_of(command)

    def let_finish(self, command: Command) -> Conversation[None]:
        """After a restart: a machine that says nothing may still be pouring what an earlier run sent."""
        with self._busy_with(command):
            yield from self.settler.leave_alone(command, is_sent=False)

    @contextmanager
    def _busy_with(self, command: Command) -> Iterator[None]:
        self.live_state.update(busy_order=command.order_id)
        try:
            yield
        finally:
            self.live_state.update(busy_order=None)

    def _count_after(self) -> Conversation[None]:
        """Refresh the live state, and let the counter show whether one drink was one."""
        try:
            yield from self.driver.status()
            if self.driver.can("counters"):
                yield from self.driver.counters()
        except LineLost:
            return
