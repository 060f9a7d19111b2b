"""What stands in the way of the next drink: one object, asked by the worker, the preconditions and the readiness probe.

The disk is measured once a step. All else is in memory and is weighed at each question, for a word of the machine or
of the cloud may have come since: nothing is sold on a stale answer.
"""

import logging

from agent.clock import Clock
from agent.journal.journal import Journal
from agent.live_state import LiveState
from agent.machine.capability_rules import Duty
from agent.machine.driver import Driver, Line
from agent.machine.profile import Profile
from agent.making.event_rules import EventRules
from agent.refusal import refusal_code
from protocol.reasons import AgentCode, MachineState

LONGEST_REASON = 500
_AT_REST = (MachineState.READY, MachineState.FAULT, MachineState.SERVICE, MachineState.OFF)
log = logging.getLogger(__name__)


class Readiness:
    """Keeps the live state up to date. The worker's thread only."""

    def __init__(
        self, *, line: Line, driver: Driver, journal: Journal, live_state: LiveState, profile: Profile, clock: Clock
    ) -> None:
        self._line = line
        self._driver = driver
        self._journal = journal
        self._live_state = live_state
        self._profile = profile
        self._clock = clock
        self._event_rules = EventRules(journal.event_log)
        self.heard_at = clock.monotonic()
        """When the machine last said anything, steady seconds."""
        self.shortage = ""
        """Why there is too little room on the disk to begin anything, or ""; measured at the start of the step."""

    def begin_step(self) -> None:
        self.shortage = self._journal.sales_block.shortage()

    def refusal(self, drink_no: str) -> str:
        """The code of why this drink cannot be made now; "" when it can. Brings the live state up to date first."""
        self.refresh()
        return refusal_code(self._live_state.view, drink_no)

    def refresh(self) -> None:
        """Bring the live state up to date, and record what is worth an event."""
        self._end_greeting_if_silent()
        self._live_state.update(
            at_rest_since=self._at_rest_since(),
            link=self._link(),
            stopped=self._why_stopped(),
            model=self._driver.model,
            frame_error_ratio=self._line.error_ratio(),
            capabilities=tuple(self._driver.capabilities),
            make_room=self._profile.make_room,
        )
        self._event_rules.compare(self._live_state.view, self._clock.monotonic())

    def _at_rest_since(self) -> float | None:
        view = self._live_state.view
        if view.machine not in _AT_REST:
            return None
        return self._clock.monotonic() if view.at_rest_since is None else view.at_rest_since

    def _link(self) -> str:
        """How the machine is heard; of one that never speaks only the port can be told."""
        if not self._driver.is_greeted:
            return "down"
        if self._driver.must(Duty.REPORT_PORT_ONLY):
            return "open"
        return "quiet" if self._silent_for() >= self._profile.timers.quiet else "up"

    def _end_greeting_if_silent(self) -> None:
        """A machine that has said nothing for so long must be greeted anew; not one that never speaks."""
        silent = self._silent_for()
        if self._driver.must(Duty.REPORT_PORT_ONLY) or silent < self._profile.timers.down:
            return
        if self._driver.is_greeted:
            self._driver.is_greeted = False
            log.warning("the machine has been silent for %.0f s", silent)

    def _silent_for(self) -> float:
        return self._clock.monotonic() - self.heard_at

    def _why_stopped(self) -> str:
        if self._journal.failure:
            return f"{AgentCode.STORAGE}: {self._journal.failure}"[:LONGEST_REASON]
        if rival := self._live_state.view.rival:
            words = f"{rival} is the session of another agent with this device's name: give each machine its own"
            return words[:LONGEST_REASON]
        missing = self._profile.expects.required - self._driver.abilities
        if self._driver.is_greeted and missing:
            return f"the machine cannot {', '.join(sorted(missing))}, which profile {self._profile.name} needs"
        return self._journal.sales_block.needs_person() or self.shortage
