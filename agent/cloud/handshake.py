"""Hello and welcome: the cloud's time, whether it takes events, and who else speaks under our name."""

import logging
from collections.abc import Callable

from msgspec import UNSET

from agent import AGENT_VERSION
from agent.clock import Bell, Clock, CloudClock
from agent.cloud.wire import Speaker
from agent.deadline import ASKED_LATELY_S, contradicts
from agent.journal.journal import Journal
from agent.live_state import LiveState
from protocol.messages import GREETING, Event, Hello, Job, Make, Welcome
from protocol.reasons import EventKind

HELLO_PAUSES_S = (1.0, 2.0, 4.0, 8.0, 10.0)
"""Between hellos that nobody answers: the cloud may not have been listening yet."""
CLOCK_CHECK_S = 600.0
CLOCK_WRONG_S, CLOCK_RIGHT_S = 60.0, 30.0
"""By how much the wall clock may differ from the cloud's before an operator hears of it, and when it is right again."""
EVENT = str(Event.__struct_config__.tag)
log = logging.getLogger(__name__)


class Handshake:
    """For one device; `new_id` gives the ids of hellos."""

    def __init__(
        self,
        *,
        profile: str,
        speaker: Speaker,
        journal: Journal,
        live_state: LiveState,
        clock: Clock,
        cloud: CloudClock,
        new_id: Callable[[], str],
        worker_bell: Bell,
    ) -> None:
        self._profile = profile
        self._speaker = speaker
        self._journal = journal
        self._live_state = live_state
        self._clock = clock
        self._cloud = cloud
        self._new_id = new_id
        self._worker_bell = worker_bell
        self._hello: tuple[str, float] | None = None
        """The id of the last hello and when it left; None when it is answered."""
        self._due = 0.0
        self._unanswered = 0
        """Hellos, on this connection."""
        self._first = ""
        """The first hello of this connection."""
        self._is_heard = self._is_missed = False
        self._asked_at = float("-inf")
        self._is_clock_wrong = False

    @property
    def is_unanswered(self) -> bool:
        return self._hello is not None

    def begin_connection(self, now: float) -> None:
        self._due, self._unanswered = now, 0
        self._first, self._is_heard, self._is_missed = "", False, False

    def take_missed(self) -> bool:
        """Whether who welcomed us had not heard our first hello, so nor what we said beside it; once a connection."""
        missed, self._is_missed = self._is_missed, False
        return missed

    def say_hello_if_due(self, now: float) -> None:
        if now >= self._due:
            self._say_hello()

    def ask_time_for(self, message: Make | Job) -> None:
        """Where it waits for the cloud's time, or the cloud's clock has been set since we asked."""
        known = self._cloud.now()
        if known is None or contradicts(message.issued_at, message.deadline_at, known):
            self._ask_time()

    def hear_welcome(self, welcome: Welcome) -> None:
        if welcome.hello_id == GREETING:
            self._ask_time()
        hello = self._hello
        if hello is None or hello[0] != welcome.hello_id:
            return
        self._journal.report_queue.takes_events = welcome.takes is not UNSET and EVENT in welcome.takes
        self._note_rival("" if welcome.rival_session is UNSET else welcome.rival_session)
        if self._cloud.learn(welcome.cloud_time, hello[1]):
            self._compare_clocks()
            self._is_missed = self._is_missed or (not self._is_heard and welcome.hello_id != self._first)
            self._is_heard = True
            self._hello, self._unanswered = None, 0
            self._due = self._clock.monotonic() + CLOCK_CHECK_S
            self._worker_bell.ring()

    def _ask_time(self) -> None:
        if self._clock.monotonic() - self._asked_at >= ASKED_LATELY_S:
            self._say_hello()

    def _say_hello(self) -> None:
        now = self._clock.monotonic()
        hello_id = self._new_id()
        self._first = self._first or hello_id
        self._hello, self._asked_at = (hello_id, now), now
        self._due = now + HELLO_PAUSES_S[min(self._unanswered, len(HELLO_PAUSES_S) - 1)]
        self._unanswered += 1
        self._speaker.say(Hello(hello_id=hello_id, agent_version=AGENT_VERSION, profile=self._profile))

    def _note_rival(self, session: str) -> None:
        """The cloud knows who else speaks under our name; it lets us sell again when a person has sorted it out."""
        if session == self._live_state.view.rival:
            return
        self._live_state.update(rival=session)
        self._worker_bell.ring()
        if session:
            log.error("another agent, session %s, speaks under our name: a copied card? nothing is sold", session)
            self._journal.event_log.record_event(EventKind.TWO_AGENTS, rival_session=session)

    def _compare_clocks(self) -> None:
        """The machine's own clock dates its logs and frames for people; no deadline hangs on it."""
        ahead = (self._clock.wall() - self._cloud.best()).total_seconds()
        if abs(ahead) > CLOCK_WRONG_S and not self._is_clock_wrong:
            self._is_clock_wrong = True
            self._journal.event_log.record_event(EventKind.CLOCK_WRONG, ahead_s=round(ahead))
        elif abs(ahead) < CLOCK_RIGHT_S and self._is_clock_wrong:
            self._is_clock_wrong = False
            self._journal.event_log.record_event(EventKind.CLOCK_RIGHT, ahead_s=round(ahead))
