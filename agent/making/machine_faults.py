"""The machine's faults as it sets, clears and names them: on the live state, in the journal, as events."""

import logging
from collections import deque

from msgspec import UNSET

from agent.journal.journal import Journal
from agent.live_state import LiveState
from agent.machine.profile import Profile
from protocol.fields import Fact
from protocol.machine import FaultEvent, StatusReply
from protocol.messages import Fault
from protocol.reasons import EventKind, FaultLevel

REMEMBERED_EVENTS = 64
"""Of faults, in one boot; the machine repeats each for minutes at most."""
log = logging.getLogger(__name__)


class MachineFaults:
    """The worker's."""

    def __init__(self, journal: Journal, live_state: LiveState, profile: Profile) -> None:
        self._journal = journal
        self._live_state = live_state
        self._profile = profile
        self._known = journal.faults.faults
        self._boot_id = journal.faults.boot_id
        self._of_earlier_boots: set[str] = set()
        self._heard: deque[tuple[str, int]] = deque(maxlen=REMEMBERED_EVENTS)
        """Codes and numbers of this boot's events, in the order in which they first came."""
        if profile.knows_boots:  # or what the machine forgot in a reboot would stand for ever
            live_state.update(faults=self._known)

    def apply_event(self, event: FaultEvent) -> bool:
        """Whether it may be acknowledged."""
        self._enter_boot(event.boot_id)
        if self._is_outdated(event):
            return True
        self._of_earlier_boots.discard(event.code)
        log.info("fault %s %s, %s, drinks %s", event.code, "set" if event.on else "cleared", event.level, event.drinks)
        if event.on:
            self._live_state.set_fault(Fault(code=event.code, level=event.level, drinks=event.drinks))
        else:
            self._live_state.clear_fault(event.code)
        return self._keep_faults()

    def apply_status(self, reply: StatusReply) -> None:
        """A status names faults without their reach; what an event said about one before is kept.

        Where it names none at all, what this boot has told stands.
        """
        self._enter_boot(reply.boot_id)
        standing = self._live_state.view.faults
        if reply.faults is UNSET:
            faults = {code: fault for code, fault in standing.items() if code not in self._of_earlier_boots}
        else:
            known = {**self._known, **standing}
            faults = {code: known.get(code) or self._fault_by_name(code) for code in reply.faults}
        self._of_earlier_boots.clear()
        self._live_state.update(machine=reply.state, faults=faults)
        self._keep_faults()

    def _enter_boot(self, boot_id: str) -> None:
        """A machine that has booted tells its faults anew."""
        if boot_id != self._boot_id:
            self._boot_id, self._of_earlier_boots = boot_id, set(self._live_state.view.faults)
            self._heard.clear()

    def _is_outdated(self, event: FaultEvent) -> bool:
        """Repeated after a newer word on the same fault, for its acknowledgement was lost: the newer one stands."""
        of_this = [evt for code, evt in self._heard if code == event.code]
        if event.evt not in of_this:
            self._heard.append((event.code, event.evt))
        return self._profile.knows_boots and event.evt in of_this[:-1]

    def _keep_faults(self) -> bool:
        before, self._known = self._known, dict(self._live_state.view.faults)
        event_log = self._journal.event_log
        for code in sorted(self._known.keys() - before.keys()):
            fault = self._known[code]
            reach: dict[str, Fact] = {"closes": len(fault.drinks), "drinks": ", ".join(fault.drinks)}
            event_log.record_event(EventKind.FAULT_SET, code, "", level=fault.level, **(reach if fault.drinks else {}))
        for code in sorted(before.keys() - self._known.keys()):
            event_log.record_event(EventKind.FAULT_CLEARED, code)
        return self._journal.faults.keep(self._known, self._boot_id)

    def _fault_by_name(self, code: str) -> Fault:
        drinks = self._profile.faults.closes.get(code, [])
        level = FaultLevel.BLOCK if drinks or code in self._profile.faults.block else FaultLevel.WARN
        return Fault(code=code, level=level, drinks=drinks)
