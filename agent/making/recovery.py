"""What an earlier run of the agent left: commands not sent, drinks perhaps still pouring, the last count."""

from dataclasses import dataclass

from agent import AGENT_VERSION
from agent.clock import Clock
from agent.journal.journal import Journal
from agent.journal.records import Command, Verdict
from agent.machine.driver import Driver
from agent.machine.profile import Profile
from agent.making.inquiry import REMEMBERED_ORDERS
from agent.making.unordered_drinks import Expected, UnorderedDrinks
from protocol.messages import Evidence
from protocol.reasons import AgentCode, EventKind, Result, Spout


@dataclass(slots=True)
class Recovery:
    """The worker's."""

    journal: Journal
    driver: Driver
    profile: Profile
    clock: Clock
    unordered: UnorderedDrinks
    never_sent: list[Command]
    """Where commands go that an earlier run is thought never to have sent: the machine is asked about them later."""
    _is_done: bool = False

    def recover_once(self) -> bool:
        """True at the first call that succeeds. Raises `JournalFailed`."""
        if self._is_done:
            return False
        self.settle_begun()
        self.never_sent += self._left_waiting()
        last = self.journal.last_sent()
        if last is not None and last.snapshot is not None:
            until = self.clock.monotonic() + self.profile.give_up_after(last.drink_no)
            expected = None if last.explains_no_count else Expected(last.command_id, until, last.snapshot.boot_id)
            self.unordered.start_from(last.snapshot, expected, is_settled=last.is_finished)
        who = f"version {AGENT_VERSION}, profile {self.profile.name}"
        self.journal.event_log.record_event(EventKind.AGENT_STARTED, words=who, session=self.journal.session)
        self._is_done = True
        return True

    def _left_waiting(self) -> list[Command]:
        """Of those a card may have lost that they were sent; no more than a machine remembers."""
        left = [command for command in self.journal.received() if command.session != self.journal.session]
        return left[-REMEMBERED_ORDERS:]

    def settle_begun(self) -> None:
        """An intent that nobody drives any more, without a sent byte, was never sent."""
        for command in self.journal.begun():
            evidence = Evidence(rule="the agent stopped before the first byte")
            self.journal.finish(command.command_id, Verdict(Result.FAILED, AgentCode.NEVER_SENT, Spout.NONE, evidence))
            if command.session != self.journal.session:
                self.never_sent.append(command)

    def still_pouring(self) -> Command | None:
        """Of a machine that says nothing: what an earlier run, or this one before an error, sent it moments ago."""
        if not self.driver.is_blind:
            return None
        longest = max([self.profile.timers.max_brew, *map(self.profile.max_brew, self.profile.drinks)])
        late = self.journal.recently_unknown(longest)
        return next((one for one in reversed(late) if not one.is_unrecorded and self._may_pour(one)), None)

    def _may_pour(self, command: Command) -> bool:
        return self.journal.elapsed(command) < self.profile.max_brew(command.drink_no)
