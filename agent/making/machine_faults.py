"""The machine's faults as it sets, clears and names them: on the live state, in the journal, as events."""

import logging

from msgspec import UNSET

from agent.clock import Clock
from agent.journal.journal import Journal
from agent.live_state import LiveState
from agent.machine.profile import Profile
from agent.machine.wording import word
from protocol.fields import Fact
from protocol.machine import Booted, FaultEvent, HelloReply, StatusReply
from protocol.messages import Fault
from protocol.reasons import EventKind, FaultLevel

REMEMBERED_EVENTS = 64
REPEATED_WITHIN_S = 600.0
"""Far above the pause between two repetitions, below the time in which any machine counts through its numbers."""
log = logging.getLogger(__name__)


class MachineFaults:
    """The worker's."""

    def __init__(self, journal: Journal, live_state: LiveState, profile: Profile, clock: Clock) -> None:
        self._journal = journal
        self._live_state = live_state
        self._profile = profile
        self._clock = clock
        self._known = journal.faults.faults
        self._boot_id = journal.faults.boot_id
        self._told: dict[str, set[str]] = {}
        """Codes of the faults that stand, by the boot that told them: the one we are in, and one other at most."""
        self._heard: dict[tuple[str, str, int], float] = {}
        """Boots, codes and numbers of events, in the order in which they first came; steady seconds of the last."""
        says_boot = (StatusReply, HelloReply, Booted)
        self._says_boot = next((kind for kind in says_boot if profile.codec.knows(kind)), None)
        """The word that tells which boot this is; what only others have told goes when it comes."""
        if profile.knows_boots and self._says_boot:  # or what the machine forgot in a reboot would stand for ever
            self._told[self._boot_id] = set(self._known)
            live_state.update(faults=self._known)

    def apply_event(self, event: FaultEvent) -> bool:
        """Whether it may be acknowledged.

        It may be of a boot that is over, or of one we have not met yet: its word is its own boot's alone.
        """
        if not self._note_heard(event):
            return True
        log.info("fault %s %s, %s, drinks %s", event.code, "set" if event.on else "cleared", event.level, event.drinks)
        told = self._told_by(event.boot_id)
        if event.on:
            self._live_state.set_fault(Fault(code=event.code, level=event.level, drinks=event.drinks))
            told.update({event.code} & self._live_state.view.faults.keys())  # too many faults do not all stand
        else:
            told.discard(event.code)
            if not any(event.code in codes for codes in self._told.values()):
                self._live_state.clear_fault(event.code)
        return self._keep_faults()

    def apply_status(self, reply: StatusReply) -> None:
        """A status names faults without their reach; what an event said about one before is kept.

        Where it names none at all, what this boot has told stands.
        """
        standing = self._live_state.view.faults
        if reply.faults is UNSET:
            faults = self._told_in(reply.boot_id)
        else:
            known = {**self._known, **standing}
            faults = {code: known.get(code) or self._fault_by_name(code) for code in reply.faults}
        self._live_state.update(machine=reply.state, faults=faults)
        self._enter_boot(reply.boot_id)

    def apply_boot(self, message: HelloReply | Booted) -> None:
        """Of a machine that has no status."""
        if isinstance(message, self._says_boot or ()):
            self._live_state.update(faults=self._told_in(message.boot_id))
            self._enter_boot(message.boot_id)

    def _enter_boot(self, boot_id: str) -> None:
        """All that stands now is this boot's."""
        self._boot_id = self._named(boot_id)
        self._told = {self._boot_id: set(self._live_state.view.faults)}
        self._keep_faults()

    def _told_in(self, boot_id: str) -> dict[str, Fault]:
        """A machine that has booted tells its faults anew."""
        told = self._told.get(self._named(boot_id), set())
        return {code: fault for code, fault in self._live_state.view.faults.items() if code in told}

    def _told_by(self, boot_id: str) -> set[str]:
        """To be changed; no other boots are kept than this one and ours."""
        boot_id = self._named(boot_id)
        if boot_id not in self._told:
            self._told = {ours: codes for ours, codes in self._told.items() if ours == self._boot_id}
        return self._told.setdefault(boot_id, set())

    def _named(self, boot_id: str) -> str:
        """One and the same for a machine that names its boots in some words only, or in none."""
        return boot_id if self._profile.knows_boots else ""

    def _note_heard(self, event: FaultEvent) -> bool:
        """False for one repeated after a newer word on the same fault, for its acknowledgement was lost: the newer one
        stands.
        """
        now = self._clock.monotonic()
        self._heard = {one: at for one, at in self._heard.items() if now - at < REPEATED_WITHIN_S}
        said = (event.boot_id, event.code, event.evt)
        of_this = [one for one in self._heard if one[:2] == said[:2]]
        is_outdated = self._profile.knows_boots and said in of_this[:-1]
        self._heard |= dict.fromkeys(of_this if is_outdated else [said], now)  # newer words as long as the older comes
        if len(self._heard) > REMEMBERED_EVENTS:
            del self._heard[next(iter(self._heard))]
        return not is_outdated

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
        """The profile writes codes as the machine says them, and `code` is as it was heard."""
        faults = self._profile.faults
        drinks = next((drinks for said, drinks in faults.closes.items() if word(said) == code), [])
        level = FaultLevel.BLOCK if drinks or code in map(word, faults.block) else FaultLevel.WARN
        return Fault(code=code, level=level, drinks=drinks)
