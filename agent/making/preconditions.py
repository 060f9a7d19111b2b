"""Everything before the first byte: is there still time, can the machine make it, what does its counter say now.

Ends with a snapshot of a machine that is ready, or with a refusal that is certain. Writes no make.
"""

from collections.abc import Callable
from dataclasses import dataclass

from agent import readiness
from agent.clock import Clock, CloudClock
from agent.deadline import Term, Timeliness, expires_at, judge
from agent.journal.journal import Journal
from agent.journal.records import Command, CommandState, Snapshot
from agent.live_state import Board
from agent.machine.capability_rules import STATUS
from agent.machine.conversation import Heard, LineLost, Sign, Talk, Wait
from agent.machine.driver import Driver
from agent.machine.profile import Profile
from protocol.reasons import AgentCode

LOOK_AGAIN_S = 0.5


@dataclass(frozen=True, slots=True)
class Preparing:
    """For one command at a time."""

    journal: Journal
    driver: Driver
    board: Board
    clock: Clock
    cloud: CloudClock
    profile: Profile
    started: float
    """When this process began, steady seconds."""
    look: Callable[[], None]
    """Brings the board up to date."""
    refuse: Callable[[Command, str, str], None]
    """Finishes a command: certainly nothing was poured."""

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
            broker_until=self.board.limit_of(command.command_id),
        )

    def until_ready(self, command: Command) -> Talk[Snapshot | None]:
        """Wait for what may be waited for, refuse what cannot be made; the snapshot when all is ready."""
        patient_until = self._waiting_since(command) + self.profile.timers.gate_patience
        asked = False
        while self._is_waiting(command):
            timeliness = self.timeliness(command)
            if timeliness is not Timeliness.WAIT and self.journal.doubts(command):
                return None
            if timeliness is Timeliness.EXPIRED:
                self.refuse(command, AgentCode.EXPIRED, "the deadline had passed")
                return None
            if timeliness is Timeliness.WAIT:
                yield Wait(self.clock.monotonic() + LOOK_AGAIN_S, _nudge)
                continue
            code = self._why_not(command)
            is_offline = code == AgentCode.MACHINE_OFFLINE
            try:
                if not code:
                    snapshot = yield from self._snapshot(command)
                    if snapshot is None:
                        is_offline = True
                    elif not self._why_not(command):
                        return snapshot
                    else:
                        continue
                elif is_offline and self.clock.monotonic() < patient_until:
                    yield from self._await_machine(patient_until)
                    continue
                elif not is_offline and code != AgentCode.NOT_SELLING and not asked:
                    asked = True
                    yield from self.driver.status()
                    continue
            except LineLost:
                continue
            if is_offline and self.clock.monotonic() < patient_until:
                continue
            self.refuse(command, code or AgentCode.MACHINE_OFFLINE, "the machine could not make it")
            return None
        return None

    def _why_not(self, command: Command) -> str:
        self.look()
        return readiness.refusal(self.board.view, command.drink_no)

    def _await_machine(self, until: float) -> Talk[None]:
        """The line is down, or nobody has answered on it yet."""
        if self.driver.is_open and (yield from self.driver.greet()):
            yield from self.driver.status()
        else:
            yield Wait(min(until, self.clock.monotonic() + LOOK_AGAIN_S), _opened)

    def _snapshot(self, command: Command) -> Talk[Snapshot | None]:
        """Boot and counters of this moment; None when the machine does not answer or was not the one we greeted."""
        if not self.driver.can("counters"):
            is_there = not self.driver.can(STATUS) or (yield from self.driver.status()) is not None
            return Snapshot(self.driver.boot_id) if is_there and self.driver.is_greeted else None
        reply = yield from self.driver.counters()
        if reply is None or reply.boot_id != self.driver.boot_id:
            return None
        return Snapshot.of(reply, command.drink_no)

    def _waiting_since(self, command: Command) -> float:
        return command.received_mono if command.session == self.journal.session else self.started

    def _is_waiting(self, command: Command) -> bool:
        row = self.journal.get(command.command_id)
        return row is not None and row.state is CommandState.RECEIVED


def _nudge(heard: Heard) -> bool:
    return heard is Sign.NUDGE


def _opened(heard: Heard) -> bool:
    return heard is Sign.OPENED
