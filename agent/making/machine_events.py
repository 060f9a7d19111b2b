"""What the machine says, and what it changes: verdicts, outcomes, progress, faults, reboots.

An event is acknowledged after its consequence is committed, never before; the same event twice changes nothing.
"""

import logging
from collections import deque
from collections.abc import Callable

from msgspec import UNSET

from agent.journal.journal import Journal
from agent.journal.records import UNSETTLED, Command, CommandState, Snapshot, Verdict, Word
from agent.journal.sqlite_file import JournalFailed
from agent.live_state import Board
from agent.log import about
from agent.machine.driver import Driver
from agent.machine.profile import Profile
from agent.making.breaker import commit_verdict
from protocol.fields import Fact
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
from protocol.messages import Counters, Evidence, Fault, Progress
from protocol.reasons import FaultLevel, Happening, Phase, RejectCode, Result, Spout, Stage

REMEMBERED_EVENTS = 256
"""Outcome events already applied; the machine repeats each for minutes at most, and has one drink at a time."""
DENIED = "told as certainly nothing; now the machine says that it has it"
_WORD_OF = {
    Phase.ACCEPTED: Word.TAKEN,
    Phase.INTERRUPTED: Word.TAKEN,
    Phase.BREWING: Word.MOVING,
    Phase.DONE: Word.MOVING,
}
"""Phases of an order that a machine has. A failed one it may have refused; an end is the table's to weigh."""
log = logging.getLogger(__name__)


class Events:
    """Applies every message of the machine to journal and board, whoever else waits for it."""

    def __init__(self, journal: Journal, board: Board, driver: Driver, profile: Profile) -> None:
        self.on_count: Callable[[Snapshot], None] = lambda _: None
        self.on_job_end: Callable[[DoneEvent | FailedEvent, str], None] = lambda *_: None
        self._journal = journal
        self._board = board
        self._driver = driver
        self._profile = profile
        self._applied: deque[tuple[str, int, str]] = deque(maxlen=REMEMBERED_EVENTS)
        self._known = journal.faults.faults
        self._chronicle = journal.chronicle
        self._told_boot = ""

    def hear(self, message: MachineMessage) -> None:
        """Raises `JournalFailed`; then nothing was acknowledged, and the machine will say it again."""
        self._notice_reboot(message)
        match message:
            case MakeReply():
                self._verdict(message)
            case ProgressEvent():
                self._progress(message)
            case DoneEvent() | FailedEvent():
                self._outcome(message)
            case FaultEvent():
                if not self._fault(message):
                    return
            case StatusReply():
                self._status(message)
            case OrderReply() | CancelReply() if message.phase is not Phase.DONE:
                self._phase(message.order_uuid, message.phase, "the machine said so when asked")
            case Booted():
                phase = message.last_phase or Phase.ACCEPTED
                self._phase(message.last_order, phase, "the machine's last order before it booted")
            case CountersReply():
                counts = Counters(total=message.total, paid=message.paid, free=message.free, test=message.test)
                self._board.change(counters=counts)
                self.on_count(Snapshot.of(message, ""))
            case Heartbeat():
                self._board.change(machine=message.state)
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
                self._journal.keep_word(command.command_id, Word.TAKEN)
                self._journal.note(command.command_id, "the machine said something of it that cannot be read")
        except JournalFailed as failed:
            log.error("not remembered, for the journal failed: %s", failed, extra=about(command))

    def _notice_reboot(self, message: MachineMessage) -> None:
        boot_id = getattr(message, "boot_id", None)
        self._tell_reboot(message, boot_id)
        if boot_id is None or isinstance(message, HelloReply) or not self._driver.is_greeted:
            return
        if boot_id != self._driver.boot_id:
            log.warning("the machine was boot %s and now says %s", self._driver.boot_id, boot_id)
            self._driver.is_greeted = False

    def _tell_reboot(self, message: MachineMessage, boot_id: str | None) -> None:
        """By its greeting, or by its own word, which says why; a stale boot id in anything else is none."""
        if not isinstance(message, Booted | HelloReply) or boot_id is None or boot_id == self._told_boot:
            return
        before, self._told_boot = self._told_boot, boot_id
        why, facts = "", {"boot_before": before, "boot_now": boot_id}
        if isinstance(message, Booted):
            why = message.why
            facts |= {"last_order": message.last_order or "", "last_phase": message.last_phase or ""}
        if before or why:
            self._chronicle.tell(Happening.MACHINE_BOOTED, why, **facts)

    def _verdict(self, reply: MakeReply) -> None:
        if reply.ok:
            self._has(reply.order_uuid, Word.TAKEN, "dup" if reply.dup is True else "")
            return
        command = self._journal.sent_for(reply.order_uuid)
        if command is None or command.state is not CommandState.SENT:
            log.info("a verdict nobody waits for: %s", reply)
            return
        code = RejectCode.FAULT if reply.code is UNSET else reply.code
        if command.resent and code == RejectCode.BUSY:  # with what, if not with the first of the two?
            self._has(reply.order_uuid, Word.TAKEN, "busy when it was sent again")
            return
        evidence = self._evidence(command, "the machine refused it", reply.boot_id)
        self._finish(command, Verdict(Result.REJECTED, code, Spout.NONE, evidence))

    def _progress(self, event: ProgressEvent) -> None:
        """A cup that falls is no drink begun yet: it can still be taken back."""
        command = self._has(
            event.order_uuid, Word.TAKEN if event.stage is Stage.CUP else Word.MOVING, "seen by its progress"
        )
        if command is None or command.state not in UNSETTLED:
            return
        if event.stage is not None:
            self._board.tell_progress(
                Progress(command_id=command.command_id, order_id=command.order_id, stage=event.stage, pct=event.pct)
            )

    def _phase(self, order_id: str | None, phase: Phase | None, note: str) -> None:
        if order_id is not None and phase in _WORD_OF:
            self._has(order_id, _WORD_OF[phase], note)

    def _has(self, order_id: str, word: Word, note: str) -> Command | None:
        """By the machine's word it has this order: kept for ever, whatever the journal thought of it before."""
        command = self._journal.sent_for(order_id) or self._not_sent(order_id)
        if command is None:
            return None
        if command.is_finished:
            self._reconsider(command, word)
            return command
        if word <= command.word:
            return command
        with self._journal.transaction():
            if command.state is CommandState.RECEIVED:
                log.warning("the machine has it already: it is not sent", extra=about(command))
                self._journal.mark_taken(command.command_id, "the machine has it already")
            if command.state in (CommandState.RECEIVED, CommandState.SENT):
                self._journal.mark_accepted(command.command_id, note)
                log.info("accepted", extra=about(command))
            if word is Word.MOVING:
                self._journal.mark_brewing(command.command_id)
                log.info("brewing", extra=about(command))
        return self._journal.get(command.command_id)

    def _reconsider(self, command: Command, word: Word) -> None:
        """What was told as certainly nothing, and not by the machine's own end of the drink, is certain no more."""
        verdict = command.verdict
        if verdict is None or verdict.is_the_machines or word <= command.word:
            return
        with self._journal.transaction():
            self._journal.keep_word(command.command_id, word)
            if verdict.certainly_nothing:
                log.error("%s", DENIED, extra=about(command))
                self._finish(command, Verdict(Result.UNKNOWN, "", Spout.UNKNOWN, self._evidence(command, DENIED, None)))

    def _outcome(self, event: DoneEvent | FailedEvent) -> None:
        meant = event.job_uuid if event.order_uuid is UNSET else event.order_uuid
        if meant is UNSET or (key := (event.boot_id, event.evt, meant)) in self._applied:
            return
        if event.order_uuid is UNSET:
            self.on_job_end(event, meant)
        else:
            self._order_ended(event, meant)
        self._applied.append(key)

    def _order_ended(self, event: DoneEvent | FailedEvent, order_id: str) -> None:
        command = self._journal.sent_for(order_id) or self._not_sent(order_id)
        if command is None:
            log.error("the machine tells of an order we never sent: %s", event)
            said = "done" if isinstance(event, DoneEvent) else event.code
            self._chronicle.tell(Happening.STRAY_OUTCOME, said, order_id=order_id, boot_now=event.boot_id)
        elif isinstance(event, DoneEvent):
            rule = "the machine said done" if event.total is UNSET else f"the machine said done, total {event.total}"
            evidence = self._evidence(command, rule, event.boot_id)
            self._finish(command, Verdict(Result.DONE, "", Spout.FULL, evidence))
        else:
            evidence = self._evidence(command, "the machine said failed", event.boot_id)
            self._finish(command, Verdict(Result.FAILED, event.code, event.out, evidence))

    def _not_sent(self, order_id: str) -> Command | None:
        """What the machine has though the journal says that it was never sent: believed where memory can be lost.

        A card that lies loses commits in a power cut: of a command that lived through a restart, or of one whose very
        row is gone, that was only asked about since or has come again. What this run has refused it has not sent.
        """
        for command in self._journal.of_order(order_id):
            is_of_before = command.session != self._journal.session or command.issued_at is None
            if is_of_before or command.state is CommandState.RECEIVED:
                return command
        return None

    def _finish(self, command: Command, verdict: Verdict) -> None:
        if commit_verdict(self._journal, command.command_id, verdict):
            log.info("%s %s", verdict.result, verdict.code, extra=about(command))

    def _evidence(self, command: Command, rule: str, boot_now: str | None) -> Evidence:
        before = command.snapshot
        return Evidence(
            rule=rule,
            boot_before=before.boot_id if before else None,
            boot_now=boot_now,
            count_before=before.count if before else None,
        )

    def _fault(self, event: FaultEvent) -> bool:
        """Whether it may be acknowledged."""
        log.info("fault %s %s, %s, drinks %s", event.code, "set" if event.on else "cleared", event.level, event.drinks)
        if event.on:
            self._board.set_fault(Fault(code=event.code, level=event.level, drinks=event.drinks))
        else:
            self._board.clear_fault(event.code)
        return self._keep_faults()

    def _status(self, reply: StatusReply) -> None:
        """A status names faults without their reach; what an event said about one before is kept."""
        if reply.order_uuid is not None:
            self._has(reply.order_uuid, Word.TAKEN, "seen by its state")
        if reply.faults is UNSET:
            self._board.change(machine=reply.state)
            return
        known = {**self._known, **self._board.view.faults}
        faults = {code: known.get(code) or self._fault_by_name(code) for code in reply.faults}
        self._board.change(machine=reply.state, faults=faults)
        self._keep_faults()

    def _keep_faults(self) -> bool:
        before, self._known = self._known, dict(self._board.view.faults)
        for code in sorted(self._known.keys() - before.keys()):
            fault = self._known[code]
            reach: dict[str, Fact] = {"closes": len(fault.drinks), "drinks": ", ".join(fault.drinks)}
            self._chronicle.tell(Happening.FAULT_SET, code, "", level=fault.level, **(reach if fault.drinks else {}))
        for code in sorted(before.keys() - self._known.keys()):
            self._chronicle.tell(Happening.FAULT_CLEARED, code)
        return self._journal.faults.keep(self._known)

    def _fault_by_name(self, code: str) -> Fault:
        drinks = self._profile.faults.closes.get(code, [])
        level = FaultLevel.BLOCK if drinks or code in self._profile.faults.block else FaultLevel.WARN
        return Fault(code=code, level=level, drinks=drinks)
