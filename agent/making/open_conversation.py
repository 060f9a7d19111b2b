"""The one talk with the machine that is open: resumed by what is heard, told of a lost line, dropped after an error."""

import logging

from agent.journal.records import Command
from agent.log import about
from agent.machine.conversation import Heard, LineLost, Talk, Wait

log = logging.getLogger(__name__)


class Conversation:
    """Owned by the worker. `subject`: the command it is about, if it is about one."""

    def __init__(self) -> None:
        self._talk: Talk[None] | None = None
        self._wait: Wait | None = None
        self.subject: Command | None = None

    @property
    def is_open(self) -> bool:
        return self._talk is not None

    @property
    def until(self) -> float:
        """When it wants to be resumed though nothing was heard, steady seconds."""
        return self._wait.until if self._wait is not None else float("inf")

    def start(self, talk: Talk[None], subject: Command | None = None) -> bool:
        self._talk, self.subject = talk, subject
        self._resume(None)
        return True

    def offer(self, heard: Heard) -> None:
        if self._wait is not None and self._wait.wants(heard):
            self._resume(heard)

    def resume_if_late(self, now: float) -> None:
        while now >= self.until:
            self._resume(None)

    def throw(self, lost: LineLost) -> None:
        if self._talk is None:
            return
        talk = self._talk
        try:
            self._wait = talk.throw(lost)
        except (StopIteration, LineLost):
            self._end()

    def drop(self, why: str) -> Command | None:
        """What it was about."""
        talk, subject = self._talk, self.subject
        self._end()
        if talk is not None:
            log.error("stopped in the middle: %s", why, extra=about(subject) if subject is not None else {})
            talk.close()
        return subject

    def _resume(self, heard: Heard | None) -> None:
        if self._talk is None:
            return
        talk = self._talk
        try:
            self._wait = talk.send(heard)
        except (StopIteration, LineLost):
            self._end()

    def _end(self) -> None:
        self._talk = self._wait = self.subject = None
