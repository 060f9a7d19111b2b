"""A message of the cloud on its way in: committed, then acknowledged. Runs in the thread of the connection."""

import logging
from collections.abc import Mapping

from agent.clock import Clock
from agent.cloud.command_handler import CommandHandler
from agent.cloud.handshake import Handshake
from agent.cloud.wire import Speaker
from agent.journal.journal import Journal
from agent.journal.sqlite_file import JournalFailed
from agent.live_state import LiveState
from protocol.errors import Malformed, TooLarge, UnknownKind, WireError
from protocol.heads import named_by
from protocol.messages import Job, Make, Receipt, Unsupported, decode_command, decode_receipt
from protocol.topics import Channel

LONGEST_KIND = 500
log = logging.getLogger(__name__)


class Receiver:
    """For every connection of one device."""

    def __init__(
        self,
        *,
        topics: Mapping[Channel, str],
        journal: Journal,
        command_handler: CommandHandler,
        handshake: Handshake,
        speaker: Speaker,
        live_state: LiveState,
        clock: Clock,
    ) -> None:
        self._topics = topics
        self._journal = journal
        self._command_handler = command_handler
        self._handshake = handshake
        self._speaker = speaker
        self._live_state = live_state
        self._clock = clock
        self.holds_back = False
        """Something came that could not be stored; the broker keeps it until it is asked anew."""

    def receive(self, where: str, payload: bytes, retained: bool, expires_in: float | None = None) -> bool:
        """True when the message may be acknowledged: it is committed, or nobody can make anything of it."""
        try:
            if retained:
                log.error("a command must never be retained; ignored")
            elif where == self._topics[Channel.COMMAND]:
                self._receive_command(payload, expires_in)
            elif where == self._topics[Channel.RECEIPT]:
                self._receive_receipt(payload)
        except JournalFailed as failed:
            # Nobody resends on a live connection: kept open to say why nothing is sold, cut when that is over.
            log.error("not acknowledged, for the journal failed: %s", failed)
            self.holds_back = True
            return False
        except UnknownKind as unknown:
            log.warning("unsupported: %s", unknown)
            self._speaker.say(Unsupported(unknown_kind=unknown.kind[:LONGEST_KIND], reference=unknown.reference))
        except WireError as error:
            log.error("dropped a message nobody can read: %s", error)
        return True

    def _receive_command(self, payload: bytes, expires_in: float | None) -> None:
        try:
            message = decode_command(payload)
        except TooLarge:
            raise
        except Malformed:
            if (named := named_by(payload)) is not None:
                self._command_handler.refuse_unreadable(named)
            raise
        if expires_in is not None and isinstance(message, Make | Job):
            until = self._clock.monotonic() + expires_in
            self._live_state.set_expiry(message.command_id if isinstance(message, Make) else message.job_id, until)
        answer = self._command_handler.handle(message)
        if answer is not None:
            self._speaker.say(answer)
        if isinstance(message, Make | Job):
            self._handshake.ask_time_for(message)

    def _receive_receipt(self, payload: bytes) -> None:
        message = decode_receipt(payload)
        if isinstance(message, Receipt):
            self._journal.report_queue.confirm(message.message_ids)
        else:
            self._handshake.hear_welcome(message)
