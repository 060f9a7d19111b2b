"""What the cloud's commands mean for the journal: a drink once, a cancel in time, a question answered.

Runs inside the broker's callback: one commit, no waiting. Never talks to the machine.
"""

import logging

from agent import refusal
from agent.clock import Bell
from agent.journal.journal import Journal
from agent.journal.records import Command, CommandState, refused
from agent.live_state import LiveState
from agent.log import about
from protocol.heads import Named
from protocol.messages import Answer, Asked, Cancel, CommandMessage, Job, Make, Probe, ProbeReply, Query
from protocol.reasons import AgentCode, AnswerStatus, RejectCode, Result

log = logging.getLogger(__name__)
_CANCELLED, _NEVER_RECEIVED = AgentCode.CANCELLED, AgentCode.NEVER_RECEIVED


class CommandHandler:
    """Takes commands in; `bell` wakes the worker."""

    def __init__(self, journal: Journal, live_state: LiveState, bell: Bell) -> None:
        self._journal = journal
        self._live_state = live_state
        self._bell = bell

    def handle(self, message: CommandMessage) -> ProbeReply | Answer | None:
        """Returns when it is safe to acknowledge. Raises `JournalFailed`; then it must not be acknowledged."""
        match message:
            case Make():
                self._make(message)
            case Cancel():
                self._cancel(message)
            case Query():
                with self._journal.transaction():  # one commit, however many are asked about
                    for asked in message.commands:
                        self._answer(asked)
            case Probe():
                return self._probe(message)
            case Job() if not self._live_state.add_job(message):
                kind = str(message.__struct_config__.tag)
                return Answer(reference=message.job_id, asked=kind, status=AnswerStatus.REFUSED, code=RejectCode.BUSY)
        self._bell.ring()
        return None

    def refuse_unreadable(self, named: Named) -> None:
        """A make that names itself and is otherwise no message: refused for ever, as far as it is not known already."""
        with self._journal.transaction():
            if self._journal.get(named.command_id) is None:
                asked = Asked(command_id=named.command_id, order_id=named.order_id)
                self._journal.refuse_unseen(asked, RejectCode.BAD_BODY, "a make that cannot be read")
        self._bell.ring()

    def _make(self, make: Make) -> None:
        with self._journal.transaction():
            known = self._journal.get(make.command_id)
            if known is not None:
                self._repeat(known, make)
            else:
                self._accept(make)

    def _accept(self, make: Make) -> None:
        earlier = self._journal.of_order(make.order_id)
        self._journal.insert_command(make, CommandState.RECEIVED)
        self._journal.log_after_commit(
            log.info, "received: drink %s size %s, by %s", make.drink_no, make.size, make.deadline_at, extra=about(make)
        )
        if any(not _is_certainly_nothing(command) for command in earlier):
            self._journal.finish(
                make.command_id, refused(AgentCode.CONFLICT, "another command of this order may have poured")
            )
            words = "refused: the order has another command that may have poured"
            self._journal.log_after_commit(log.warning, words, extra=about(make))
        elif shortage := self._journal.sales_block.shortage():
            received = self._journal.get(make.command_id)
            if received is None or not self._journal.mark_unrecorded(received):
                self._journal.finish(make.command_id, refused(AgentCode.STORAGE, shortage))
                self._journal.log_after_commit(log.error, "refused: %s", shortage, extra=about(make))

    def _repeat(self, known: Command, make: Make) -> None:
        """The first one counts. A refusal under the same command id would be a lie about the drink being poured."""
        if known.issued_at is not None and not _is_same(known, make):
            self._journal.add_note(known.command_id, "came again with another body; the first one counts")
            words = "the same command with another body; the first one counts"
            self._journal.log_after_commit(log.error, words, extra=about(known))
        self._journal.report_again(known)

    def _cancel(self, cancel: Cancel) -> None:
        with self._journal.transaction():
            known = self._journal.get(cancel.command_id)
            if known is None:
                self._journal.refuse_unseen(cancel, _CANCELLED, "cancelled before it came")
            elif known.state is CommandState.RECEIVED and not self._journal.mark_unrecorded(known):
                self._journal.finish(known.command_id, refused(_CANCELLED, "cancelled before it was begun"))
                self._journal.log_after_commit(log.info, "cancelled", extra=about(known))
            elif known.is_finished:
                self._journal.report_again(known)
            else:
                self._journal.requests.ask_cancel(known.command_id)

    def _answer(self, asked: Asked) -> None:
        with self._journal.transaction():
            known = self._journal.get(asked.command_id)
            if known is None:
                self._journal.refuse_unseen(asked, _NEVER_RECEIVED, "asked about, never received")
                return
            self._journal.report_again(known)
            if known.was_sent and (known.verdict is None or known.verdict.result is not Result.DONE):
                self._journal.requests.ask_about(known.command_id)

    def _probe(self, probe: Probe) -> ProbeReply | None:
        """What stands in the way is known at once; that nothing does, only the machine can say."""
        code = refusal.refusal_code(self._live_state.view, probe.drink_no)
        if code or not self._live_state.add_probe(probe):
            return ProbeReply(probe_id=probe.probe_id, ready=False, code=code or RejectCode.BUSY)
        self._bell.ring()
        return None


def _is_certainly_nothing(command: Command) -> bool:
    return command.verdict is not None and command.verdict.certainly_nothing


def _is_same(known: Command, make: Make) -> bool:
    theirs = (make.order_id, make.drink_no, make.size, make.price)
    return (known.order_id, known.drink_no, known.size, known.price) == theirs
