"""What the machine is asked while no drink is made, and when: who it is, its state and counters, what is unknown."""

import logging
from dataclasses import dataclass

from agent.clock import Clock
from agent.journal.journal import Journal
from agent.journal.records import Command
from agent.live_state import LiveState
from agent.machine.capability_rules import Duty
from agent.machine.conversation import Conversation
from agent.machine.driver import Driver
from agent.machine.profile import Profile
from agent.machine.timers import LAST_WORD_S
from agent.making.readiness import Readiness
from agent.making.settle_drink import LateSettler
from protocol.reasons import MachineState

GREET_PAUSES_S = (1.0, 2.0, 5.0, 10.0, 15.0)
SOON_S = 1.0
_SOON_READY = (MachineState.BOOT, MachineState.HEATING, MachineState.BREWING, MachineState.RINSING)
MUTE_S, LONGEST_MUTE_S = 120.0, 3600.0
"""After so long without a word the port is opened anew, each time after twice as long, at most the second."""
RECHECK_WITHIN_S = 24 * 3600.0
"""An outcome still unknown after a day is the operator's, not the machine's."""
log = logging.getLogger(__name__)


@dataclass(slots=True)
class _Due:
    """When each is asked next, steady seconds."""

    greet: float = 0.0
    poll: float = 0.0
    count: float = 0.0
    recheck: float = 0.0


class MachineChecks:
    """Gives the worker the conversation that is due, one at a time."""

    def __init__(
        self,
        *,
        driver: Driver,
        journal: Journal,
        live_state: LiveState,
        readiness: Readiness,
        settler: LateSettler,
        profile: Profile,
        clock: Clock,
    ) -> None:
        self._driver = driver
        self._journal = journal
        self._live_state = live_state
        self._readiness = readiness
        self._settler = settler
        self._profile = profile
        self._clock = clock
        self._due = _Due()
        self._greet_failures = 0
        self._opened_at = 0.0
        self._mute_patience = MUTE_S
        self.never_sent: list[Command] = []
        """Finished as never sent by an earlier run; only the machine's own memory can say otherwise."""

    def begin_line(self, now: float) -> None:
        """The port was opened."""
        self._due.greet, self._greet_failures = now, 0
        self._opened_at = now

    def hear_stranger(self, now: float) -> None:
        """The machine speaks and was not greeted yet."""
        self._due.greet = min(self._due.greet, now + GREET_PAUSES_S[0])

    def next_greeting(self, now: float) -> Conversation[None] | None:
        """None unless it is due; a job that waits may repair what keeps us from the machine."""
        may_greet = self._driver.is_open and not self._driver.is_greeted and not self._live_state.has_job
        return self._greet(now) if may_greet and now >= self._due.greet else None

    def next_check(self, now: float) -> Conversation[None] | None:
        if not self._driver.is_greeted:
            return None
        if now >= self._due.recheck or self._journal.questions():
            self._due.recheck = now + self._profile.timers.recheck
            return self._recheck()
        if self._is_poll_due(now):
            self._due.poll = now + min(self._profile.timers.status_poll, self._poll_pause())
            self._due.count = now + self._profile.timers.counter_watch
            return self._poll()
        return None

    def next_at(self) -> float:
        """When the next check is due if nothing is heard until then, steady seconds."""
        poll = max(self._due.poll, self._readiness.heard_at + self._poll_pause())
        return min(poll, self._due.count, self._due.recheck)

    def _is_poll_due(self, now: float) -> bool:
        if self._driver.must(Duty.REPORT_PORT_ONLY):
            return False
        return now >= self._due.count or now >= max(self._due.poll, self._readiness.heard_at + self._poll_pause())

    def _poll_pause(self) -> float:
        """A machine without a heartbeat is asked before it counts as quiet; one that is getting ready, every second."""
        timers = self._profile.timers
        if self._live_state.view.machine in _SOON_READY:
            return min(SOON_S, timers.quiet / 2)
        return min(timers.status_poll, timers.quiet / 2) if self._driver.must(Duty.POLL_STATUS) else timers.quiet

    def _greet(self, now: float) -> Conversation[None]:
        if (yield from self._driver.greet()):
            self._greet_failures = 0
            self._mute_patience = MUTE_S
            self._due.recheck = now
            missing = self._profile.expects.wanted - self._driver.abilities
            if missing:
                log.warning("the machine cannot: %s", ", ".join(sorted(missing)))
            yield from self._poll()
        else:
            pause = GREET_PAUSES_S[min(self._greet_failures, len(GREET_PAUSES_S) - 1)]
            self._greet_failures += 1
            self._due.greet = self._clock.monotonic() + pause
            self._renew_if_mute(self._clock.monotonic())

    def _renew_if_mute(self, now: float) -> None:
        """An adapter, or the far end of a network, may be stuck until the port is opened anew; or the machine is off.

        Never while a drink may be under way: opening the port can reset the machine.
        """
        if now - max(self._opened_at, self._readiness.heard_at) < self._mute_patience:
            return
        if self._journal.unsettled() or self._journal.recently_unknown(LAST_WORD_S):
            return
        self._mute_patience = min(2 * self._mute_patience, LONGEST_MUTE_S)
        log.warning("nothing is heard of the machine: its port is opened anew")
        self._driver.renew_line()

    def _poll(self) -> Conversation[None]:
        yield from self._driver.status()
        if self._driver.can("counters"):
            yield from self._driver.counters()

    def _recheck(self) -> Conversation[None]:
        asked_about = self._journal.questions()
        unknown = self._journal.recently_unknown(RECHECK_WITHIN_S)
        known = {command.command_id for command in asked_about}
        for command in [*asked_about, *(one for one in unknown if one.command_id not in known)]:
            self._journal.requests.drop_question(command.command_id)
            yield from self._settler.recheck(command)
        for command in list(self.never_sent):
            if (yield from self._settler.recheck(command)):
                self.never_sent.remove(command)
