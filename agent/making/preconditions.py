"""Everything before the first byte: is there still time, can the machine make it, what does its counter say now.

Ends with a snapshot of a machine that is ready, or with a refusal that is certain. Writes no make.
"""

from dataclasses import dataclass

from agent.clock import Clock, CloudClock
from agent.deadline import Term, Timeliness, expires_at, judge
from agent.journal.journal import Journal
from agent.journal.records import Command, CommandState, Snapshot
from agent.live_state import LiveState
from agent.machine.capability_rules import STATUS, Duty
from agent.machine.conversation import Conversation, LineLost, Wait, is_nudge, is_opened
from agent.machine.driver import Driver
from agent.machine.profile import Profile
from agent.making.finish_command import CommandFinisher
from agent.making.readiness import Readiness
from protocol.reasons import AgentCode, Phase

LOOK_AGAIN_S = 0.5
_AT_ONCE = (AgentCode.MACHINE_OFFLINE, AgentCode.NOT_SELLING)
"""Before any other refusal the machine is asked once for its state: what it told last may be old."""


@dataclass(frozen=True, slots=True)
class Preconditions:
    """Of every make, one command at a time."""

    journal: Journal
    driver: Driver
    live_state: LiveState
    clock: Clock
    cloud: CloudClock
    profile: Profile
    started: float
    """When this process began, steady seconds."""
    readiness: Readiness
    finisher: CommandFinisher

    def timeliness(self, command: Command) -> Timeliness:
        """May it still start, at this very moment?"""
        term = self._term(command)
        return Timeliness.EXPIRED if term is None else judge(term, self.cloud.reading())

    def expires_at(self, command: Command) -> float:
        """Steady seconds from which on it may not start, by all that is known now."""
        term = self._term(command)
        return self.clock.monotonic() if term is None else expires_at(term, self.cloud.reading())

    def _term(self, command: Command) -> Term | None:
        if command.issued_at is None or command.deadline_at is None:
            return None
        return Term(
            issued_at=command.issued_at,
            deadline_at=command.deadline_at,
            waiting_since=self._waiting_since(command),
            outlived_a_restart=command.session != self.journal.session,
            freshness_s=self.profile.timers.make_freshness,
            broker_until=self.live_state.expiry_of(command.command_id),
        )

    def is_stale(self, command: Command) -> bool:
        """Too late for it, whatever the machine may be able to do."""
        return self.timeliness(command) is Timeliness.EXPIRED

    def until_ready(self, command: Command) -> Conversation[Snapshot | None]:
        """Wait for what may be waited for, refuse what cannot be made; the snapshot when all is ready."""
        has_asked = False
        while self._is_waiting(command):
            timeliness = self.timeliness(command)
            if timeliness is Timeliness.WAIT:
                yield self._a_moment()
                continue
            if self._end_if_over(command, timeliness):
                return None
            try:
                found = yield from self._try_once(command)
                if isinstance(found, Snapshot):
                    return found
                if found and found not in _AT_ONCE and not has_asked:
                    has_asked, found = True, ""
                    yield from self.driver.status()
            except LineLost:
                continue
            if found and self._is_waiting(command):  # the machine may have said meanwhile that it has it
                self.finisher.refuse(command, found, "the machine could not make it")
        return None

    def _try_once(self, command: Command) -> Conversation[Snapshot | str]:
        """The snapshot when all is ready; the code of why it cannot be made; "" when to try again."""
        patient_until = self._waiting_since(command) + self.profile.timers.gate_patience
        code = self.readiness.refusal(command.drink_no)
        if code == AgentCode.MACHINE_OFFLINE and self.clock.monotonic() < patient_until:
            yield from self._await_machine(patient_until)
            return ""
        if code:
            return code
        if (yield from self._hold_back_known(command)):
            return ""
        snapshot = yield from self._snapshot(command)
        if snapshot is None:
            return "" if self.clock.monotonic() < patient_until else AgentCode.MACHINE_OFFLINE
        return "" if self.readiness.refusal(command.drink_no) else snapshot

    def _end_if_over(self, command: Command, timeliness: Timeliness) -> bool:
        """Refuse what came too late; leave what may have had its end already to be settled: the machine is asked first.
        True for both.
        """
        if self.journal.mark_unrecorded(command) or self._mark_let_go(command):
            return True
        if timeliness is Timeliness.EXPIRED:
            self.finisher.refuse(command, AgentCode.EXPIRED, "the deadline had passed")
        return timeliness is Timeliness.EXPIRED

    def _hold_back_known(self, command: Command) -> Conversation[bool]:
        """Ask about what an earlier run received: of its last commits a card may have lost that it was sent.

        True where the machine has it, and it counts as sent from now on; and where the machine does not answer: then
        it is asked again while there is time, and nothing is sent.
        """
        if command.session == self.journal.session or command.unrecorded_code or self.driver.must(Duty.USE_COUNTERS):
            return False
        known = yield from self.driver.lookup(command.order_id)
        if known is None:
            yield self._a_moment()
            return True
        if known.phase is Phase.UNKNOWN:
            return False
        return self.journal.count_as_sent(command, "the machine has it: an earlier run sent it")

    def _await_machine(self, until: float) -> Conversation[None]:
        """The line is down, or nobody has answered on it yet."""
        if self.driver.is_open and (yield from self.driver.greet()):
            yield from self.driver.status()
        else:
            yield Wait(min(until, self.clock.monotonic() + LOOK_AGAIN_S), is_opened)

    def _snapshot(self, command: Command) -> Conversation[Snapshot | None]:
        """Boot and counters of this moment; None when the machine does not answer or was not the one we greeted."""
        if not self.driver.can("counters"):
            is_there = not self.driver.can(STATUS) or (yield from self.driver.status()) is not None
            return Snapshot(self.driver.boot_id) if is_there and self.driver.is_greeted else None
        reply = yield from self.driver.counters()
        if reply is None or reply.boot_id != self.driver.boot_id:
            return None
        return Snapshot.from_reply(reply, command.drink_no)

    def _a_moment(self) -> Wait:
        return Wait(self.clock.monotonic() + LOOK_AGAIN_S, is_nudge)

    def _waiting_since(self, command: Command) -> float:
        return command.received_mono if command.session == self.journal.session else self.started

    def _mark_let_go(self, command: Command) -> bool:
        """True for what an earlier run received and the cloud waits for no more: a card may have lost its end. From now
        on it counts as sent.
        """
        if command.session == self.journal.session or self.live_state.view.is_waited_for(command.command_id):
            return False
        return self.journal.count_as_sent(command, "the cloud waits for it no more")

    def _is_waiting(self, command: Command) -> bool:
        row = self.journal.get(command.command_id)
        return row is not None and row.state is CommandState.RECEIVED
