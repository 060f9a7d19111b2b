"""Hello and welcome: the cloud's time, whether it takes events, and who else speaks under our name."""

import logging
from collections.abc import Callable
from random import Random

from msgspec import UNSET

from agent import AGENT_VERSION
from agent.clock import Bell, Clock, CloudClock
from agent.cloud.wire import Speaker
from agent.deadline import ASKED_LATELY_S, contradicts
from agent.journal.journal import Journal
from agent.live_state import LiveState
from protocol.messages import GREETING, Event, Hello, Job, Make, Welcome
from protocol.reasons import EventKind

HELLO_PAUSE_S, LONGEST_HELLO_PAUSE_S = 4.0, 120.0
"""Between hellos that nobody answers, twice as long each time: a cloud that is behind is not helped by more of them."""
REMEMBERED = 16
"""Hellos that an answer is still taken to."""
CLOCK_CHECK_S = 600.0
CLOCK_WRONG_S, CLOCK_RIGHT_S = 60.0, 30.0
"""By how much the wall clock may differ from the cloud's before an operator hears of it, and when it is right again."""
EVENT = str(Event.__struct_config__.tag)
log = logging.getLogger(__name__)


class Handshake:
    """For one device; `new_id` gives the ids of hellos, `random` spreads what a fleet does at once."""

    def __init__(
        self,
        *,
        profile: str,
        speaker: Speaker,
        journal: Journal,
        live_state: LiveState,
        clock: Clock,
        cloud: CloudClock,
        random: Random,
        new_id: Callable[[], str],
        worker_bell: Bell,
    ) -> None:
        self._profile = profile
        self._speaker = speaker
        self._journal = journal
        self._live_state = live_state
        self._clock = clock
        self._cloud = cloud
        self._random = random
        self._new_id = new_id
        self._worker_bell = worker_bell
        self._said: dict[str, float] = {}
        """The last hellos not answered, oldest first, and when each left: also those of an earlier connection."""
        self.is_unanswered = False
        self.spread_s = 0.0
        """As the cloud last asked."""
        self._due = 0.0
        self._unanswered = 0
        """Hellos, on this connection."""
        self._began = 0.0
        self._first = ""
        """The first hello of this connection."""
        self._is_heard = self._is_missed = False
        self._asked_at = float("-inf")
        self._is_clock_wrong = False

    def begin_connection(self, now: float) -> None:
        self._due, self._unanswered = now, 0
        self._began = now
        self._first, self._is_heard, self._is_missed = "", False, False

    def take_missed(self) -> bool:
        """True once a connection, if the cloud had not heard our first hello, so nor what we said beside it."""
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
        """Any hello of ours will do; not one from before a hello that is answered, for its answer is older."""
        spread_s = 0.0 if welcome.spread_s is UNSET else welcome.spread_s
        if welcome.hello_id == GREETING:
            self._answer_greeting(spread_s)
        if welcome.spread_s is not UNSET:
            self.spread_s = spread_s
        said_at = self._said.get(welcome.hello_id)
        if said_at is None:
            return
        self._said = {hello: at for hello, at in self._said.items() if at > said_at}
        self._journal.report_queue.takes_events = welcome.takes is not UNSET and EVENT in welcome.takes
        self._note_rival("" if welcome.rival_session is UNSET else welcome.rival_session)
        waited_for = None if welcome.waited_for is UNSET else frozenset(welcome.waited_for)
        self._live_state.update(waited_for=waited_for)
        if self._cloud.learn(welcome.cloud_time, said_at):
            self._compare_clocks()
            if said_at >= self._began and not self._is_heard:
                self._is_heard, self._is_missed = True, welcome.hello_id != self._first
            self.is_unanswered, self._unanswered = False, 0
            self._due = self._clock.monotonic() + CLOCK_CHECK_S * self._random.uniform(0.75, 1.25)
            self._worker_bell.ring()

    def _answer_greeting(self, spread_s: float) -> None:
        """At once when it is for us alone; with a spread the whole fleet hears one at this moment."""
        if spread_s <= 0:
            self._ask_time()
        else:
            self._due = min(self._due, self._clock.monotonic() + self._random.uniform(0.0, spread_s))

    def _ask_time(self) -> None:
        if self._clock.monotonic() - self._asked_at >= ASKED_LATELY_S:
            self._say_hello()

    def _say_hello(self) -> None:
        now = self._clock.monotonic()
        hello_id = self._new_id()
        self._first = self._first or hello_id
        self._said = dict([*self._said.items(), (hello_id, now)][-REMEMBERED:])
        self.is_unanswered, self._asked_at = True, now
        pause = min(LONGEST_HELLO_PAUSE_S, HELLO_PAUSE_S * 2 ** min(self._unanswered, 10))
        self._due = now + pause * self._random.uniform(0.75, 1.25)
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
