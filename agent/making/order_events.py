"""What the machine says of an order: taken, moving, done, failed. The journal is moved on; late truths are let in."""

import logging

from msgspec import UNSET

from agent.journal.journal import Journal
from agent.journal.records import UNSETTLED, Command, CommandState, Verdict, Word
from agent.live_state import LiveState
from agent.log import about
from agent.making.finish_command import commit_verdict
from protocol.machine import DoneEvent, FailedEvent, MakeReply, ProgressEvent
from protocol.messages import Evidence, Progress
from protocol.reasons import EventKind, Phase, RejectCode, Result, Spout, Stage

DENIED = "told as certainly nothing; now the machine says that it has it"
_WORD_OF = {
    Phase.ACCEPTED: Word.TAKEN,
    Phase.INTERRUPTED: Word.TAKEN,
    Phase.BREWING: Word.MOVING,
    Phase.DONE: Word.MOVING,
}
"""Phases of an order that a machine has. A failed one it may have refused; an end is the table's to weigh."""
log = logging.getLogger(__name__)


class OrderEvents:
    """The worker's."""

    def __init__(self, journal: Journal, live_state: LiveState) -> None:
        self._journal = journal
        self._live_state = live_state
        self._event_log = journal.event_log

    def apply_verdict(self, reply: MakeReply) -> None:
        if reply.ok:
            self.note_has_order(reply.order_uuid, Word.TAKEN, "dup" if reply.dup is True else "")
            return
        command = self._journal.sent_for(reply.order_uuid)
        if command is None or command.state is not CommandState.SENT:
            log.info("a verdict nobody waits for: %s", reply)
            return
        code = RejectCode.FAULT if reply.code is UNSET else reply.code
        if command.resent and code == RejectCode.BUSY:  # with what, if not with the first of the two?
            self.note_has_order(reply.order_uuid, Word.TAKEN, "busy when it was sent again")
            return
        evidence = self._evidence(command, "the machine refused it", reply.boot_id)
        self._finish(command, Verdict(Result.REJECTED, code, Spout.NONE, evidence))

    def apply_progress(self, event: ProgressEvent) -> None:
        """A cup that falls is no drink begun yet: it can still be taken back."""
        command = self.note_has_order(
            event.order_uuid, Word.TAKEN if event.stage is Stage.CUP else Word.MOVING, "seen by its progress"
        )
        if command is None or command.state not in UNSETTLED:
            return
        if event.stage is not None:
            self._live_state.add_progress(
                Progress(command_id=command.command_id, order_id=command.order_id, stage=event.stage, pct=event.pct)
            )

    def apply_phase(self, order_id: str | None, phase: Phase | None, note: str) -> None:
        if order_id is not None and phase in _WORD_OF:
            self.note_has_order(order_id, _WORD_OF[phase], note)

    def note_has_order(self, order_id: str, word: Word, note: str) -> Command | None:
        """By the machine's word it has this order: kept for ever, whatever the journal thought of it before."""
        command = self._journal.sent_for(order_id) or self._not_sent(order_id)
        if command is None:
            return None
        if command.is_finished:
            self._reconsider(command, word)
            return command
        if word <= command.word:
            return command
        say = self._journal.log_after_commit
        with self._journal.transaction():
            if command.state is CommandState.RECEIVED:
                say(log.warning, "the machine has it already: it is not sent", extra=about(command))
                self._journal.mark_taken(command.command_id, "the machine has it already")
            if command.state in (CommandState.RECEIVED, CommandState.SENT):
                self._journal.mark_accepted(command.command_id, note)
                say(log.info, "accepted", extra=about(command))
            if word is Word.MOVING:
                self._journal.mark_brewing(command.command_id)
                say(log.info, "brewing", extra=about(command))
        return self._journal.get(command.command_id)

    def _reconsider(self, command: Command, word: Word) -> None:
        """What was told as certainly nothing, and not by the machine's own end of the drink, is certain no more."""
        verdict = command.verdict
        if verdict is None or verdict.is_the_machines or word <= command.word:
            return
        with self._journal.transaction():
            self._journal.raise_word(command.command_id, word)
            if verdict.certainly_nothing:
                self._journal.log_after_commit(log.error, "%s", DENIED, extra=about(command))
                self._finish(command, Verdict(Result.UNKNOWN, "", Spout.UNKNOWN, self._evidence(command, DENIED, None)))

    def apply_end(self, event: DoneEvent | FailedEvent, order_id: str) -> None:
        command = self._journal.sent_for(order_id) or self._not_sent(order_id)
        if command is None:
            log.error("the machine tells of an order we never sent: %s", event)
            said = "done" if isinstance(event, DoneEvent) else event.code
            self._event_log.record_event(EventKind.STRAY_OUTCOME, said, order_id=order_id, boot_now=event.boot_id)
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
            self._journal.log_after_commit(log.info, "%s %s", verdict.result, verdict.code, extra=about(command))

    def _evidence(self, command: Command, rule: str, boot_now: str | None) -> Evidence:
        before = command.snapshot
        return Evidence(
            rule=rule,
            boot_before=before.boot_id if before else None,
            boot_now=boot_now,
            count_before=before.count if before else None,
        )
