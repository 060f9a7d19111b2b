"""Says what became of an operator's jobs; what the broker has not confirmed is said again on the next connection."""

from collections import deque

from agent.cloud.wire import Speaker, Wire
from agent.live_state import MAX_ANSWERS, LiveState
from protocol.messages import Answer

MOST_TIMES = 5
"""One that was lost with so many connections may be why they are: it is given up."""


class AnswerSender:
    """For one link; told when a connection is lost."""

    def __init__(self, speaker: Speaker, live_state: LiveState) -> None:
        self._speaker = speaker
        self._live_state = live_state
        self._lost: list[tuple[Answer, int]] = []
        """To be said again, and how often each was said."""
        self._said: deque[tuple[Answer, int, int | None]] = deque(maxlen=MAX_ANSWERS)
        """On this connection, oldest first: with the ticket, None when there is none."""

    def step(self) -> None:
        """Say what is new, after what was lost."""
        fresh = [(answer, 0) for answer in self._live_state.take_answers()]
        again, self._lost = [*self._lost, *fresh], []
        for answer, times in again:
            ticket = self._speaker.say(answer)
            self._said.append((answer, times if ticket is None else times + 1, ticket))

    def lost(self, wire: Wire) -> None:
        """The connection went."""
        for answer, times, ticket in self._said:
            is_confirmed = ticket is not None and wire.is_confirmed(ticket)
            if not is_confirmed and times < MOST_TIMES:
                self._lost.append((answer, times))
        self._said.clear()
