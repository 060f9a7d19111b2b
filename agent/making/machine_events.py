"""What the machine says, and what it changes: verdicts, outcomes, progress, faults, reboots.

An event is acknowledged after its consequence is committed, never before; the same event twice changes nothing.
"""

import logging
from collections import deque

from msgspec import UNSET

from agent.clock import Clock
from agent.journal.journal import Journal
from agent.journal.records import Snapshot, Word
from agent.journal.sqlite_file import JournalFailed
from agent.live_state import LiveState
from agent.log import about
from agent.machine.driver import Driver
from agent.machine.profile import Profile
from agent.making.counter_watch import CounterWatch
from agent.making.machine_faults import MachineFaults
from agent.making.operator_jobs import OperatorJobs
from agent.making.order_events import OrderEvents
from protocol.machine import (
    Booted,
    CancelReply,
    CountersReply,
    DoneEvent,
    FailedEvent,
    FaultEvent,
    Heartbeat,
    HelloReply,
    MachineMessage,
    MakeReply,
    OrderReply,
    ProgressEvent,
    StatusReply,
)
from protocol.messages import Counters
from protocol.reasons import EventKind, Phase

REMEMBERED_EVENTS = 256
"""Outcome events already applied; the machine repeats each for minutes at most, and has one drink at a time."""
log = logging.getLogger(__name__)


class MachineEvents:
    """Applies every message of the machine to journal and live state, whoever else waits for it."""

    def __init__(
        self,
        *,
        journal: Journal,
        live_state: LiveState,
        driver: Driver,
        profile: Profile,
        counter_watch: CounterWatch,
        operator_jobs: OperatorJobs,
        clock: Clock,
    ) -> None:
        self._counter_watch = counter_watch
        self._operator_jobs = operator_jobs
        self._journal = journal
        self._live_state = live_state
        self._driver = driver
        self._applied: deque[tuple[str, int, str]] = deque(maxlen=REMEMBERED_EVENTS)
        self._orders = OrderEvents(journal, live_state)
        self._faults = MachineFaults(journal, live_state, profile, clock)
        self._event_log = journal.event_log
        self._boot_noted = ""

    def hear(self, message: MachineMessage) -> None:
        """Raises `JournalFailed`; then nothing was acknowledged, and the machine will say it again."""
        self._notice_reboot(message)
        if isinstance(message, HelloReply | Booted):
            self._faults.apply_boot(message)
        match message:
            case MakeReply():
                self._orders.apply_verdict(message)
            case ProgressEvent():
                self._orders.apply_progress(message)
            case DoneEvent() | FailedEvent():
                self._outcome(message)
            case FaultEvent():
                if not self._faults.apply_event(message):
                    return
            case StatusReply():
                self._apply_status(message)
            case OrderReply(order_uuid=str() as order_id) | CancelReply(order_uuid=str() as order_id) if (
                message.phase is not Phase.DONE
            ):
                self._orders.apply_phase(order_id, message.phase, "the machine said so when asked")
            case Booted():
                phase = message.last_phase or Phase.ACCEPTED
                self._orders.apply_phase(message.last_order, phase, "the machine's last order before it booted")
            case CountersReply():
                counts = Counters(total=message.total, paid=message.paid, free=message.free, test=message.test)
                self._live_state.update(counters=counts)
                if message.boot_id == self._driver.boot_id:  # else it is greeted first, and counts again
                    self._counter_watch.weigh_reading(Snapshot.from_reply(message, ""))
            case Heartbeat():
                self._live_state.update(machine=message.state)
            case _:
                pass
        if isinstance(message, Booted | DoneEvent | FailedEvent | FaultEvent):
            self._driver.acknowledge(message.boot_id, message.evt)

    def overheard(self, order_id: str | None) -> None:
        """A word about this drink that cannot be read: the machine knows of it, and the make is never written again."""
        command = self._journal.sent_for(order_id) if order_id is not None else None
        if command is None or command.is_finished or command.word is not Word.NOTHING:
            return
        try:
            with self._journal.transaction():
                self._journal.raise_word(command.command_id, Word.TAKEN)
                self._journal.add_note(command.command_id, "the machine said something of it that cannot be read")
        except JournalFailed as failed:
            log.error("not remembered, for the journal failed: %s", failed, extra=about(command))

    def _notice_reboot(self, message: MachineMessage) -> None:
        boot_id = getattr(message, "boot_id", None)
        self._record_reboot(message, boot_id)
        if boot_id is None or isinstance(message, HelloReply) or not self._driver.is_greeted:
            return
        if boot_id != self._driver.boot_id:
            log.warning("the machine was boot %s and now says %s", self._driver.boot_id, boot_id)
            self._driver.is_greeted = False

    def _record_reboot(self, message: MachineMessage, boot_id: str | None) -> None:
        """By its greeting, or by its own word, which says why; a stale boot id in anything else is none."""
        if not isinstance(message, Booted | HelloReply) or boot_id is None or boot_id == self._boot_noted:
            return
        before, self._boot_noted = self._boot_noted, boot_id
        why, facts = "", {"boot_before": before, "boot_now": boot_id}
        if isinstance(message, Booted):
            why = message.why
            facts |= {"last_order": message.last_order or "", "last_phase": message.last_phase or ""}
        if before or why:
            self._event_log.record_event(EventKind.MACHINE_BOOTED, why, **facts)

    def _outcome(self, event: DoneEvent | FailedEvent) -> None:
        meant = event.job_uuid if event.order_uuid is UNSET else event.order_uuid
        if meant is UNSET or (key := (event.boot_id, event.evt, meant)) in self._applied:
            return
        if event.order_uuid is UNSET:
            self._operator_jobs.end_rinse(event, meant)
        else:
            self._orders.apply_end(event, meant)
        self._applied.append(key)

    def _apply_status(self, reply: StatusReply) -> None:
        if reply.order_uuid is not None:
            self._orders.note_has_order(reply.order_uuid, Word.TAKEN, "seen by its state")
        self._faults.apply_status(reply)
