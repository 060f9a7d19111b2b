"""The one open conversation with the machine: resumed by what is heard, told of a lost line, dropped after an error."""

import logging

from agent.journal.records import Command
from agent.log import about
from agent.machine.conversation import Conversation, Heard, LineLost, Wait

log = logging.getLogger(__name__)


class OpenConversation:
    """Owned by the worker. `subject`: the command it is about, if it is about one."""

    def __init__(self) -> None:
        self._conversation: Conversation[None] | None = None
        self._wait: Wait | None = None
        self.subject: Command | None = None

    @property
    def is_open(self) -> bool:
        return self._conversation is not None

    @property
    def until(self) -> float:
        """When it wants to be resumed though nothing was heard, steady seconds."""
        return self._wait.until if self._wait is not None else float("inf")

    def start(self, conversation: Conversation[None], subject: Command | None = None) -> bool:
        self._conversation, self.subject = conversation, subject
        self._resume(None)
        return True

    def offer(self, heard: Heard) -> None:
        if self._wait is not None and self._wait.wants(heard):
            self._resume(heard)

    def resume_if_late(self, now: float) -> None:
        while now >= self.until:
            self._resume(None)

    def throw(self, lost: LineLost) -> None:
        if self._conversation is None:
            return
        conversation = self._conversation
        try:
            self._wait = conversation.throw(lost)
        except (StopIteration, LineLost):
            self._end()

    def drop(self, why: str) -> Command | None:
        """What it was about."""
        conversation, subject = self._conversation, self.subject
        self._end()
        if conversation is not None:
            log.error("stopped in the middle: %s", why, extra=about(subject) if subject is not None else {})
            conversation.close()
        return subject

    def _resume(self, heard: Heard | None) -> None:
        if self._conversation is None:
            return
        conversation = self._conversation
        try:
            self._wait = conversation.send(heard)
        except (StopIteration, LineLost):
            self._end()

    def _end(self) -> None:
        self._conversation = self._wait = self.subject = None
