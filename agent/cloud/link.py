"""The cloud's side of the agent: commands into the journal, then acknowledged; reports out until the cloud has them.

`step(now)` does all that is due; only the callback of an arriving message runs elsewhere. Never talks to the worker.
"""

import logging
from collections.abc import Callable
from random import Random
from typing import Protocol

from msgspec import UNSET, structs

from agent import AGENT_VERSION
from agent.clock import Bell, Clock, CloudClock
from agent.cloud import state_message
from agent.cloud.command_handler import Intake
from agent.cloud.mqtt import Refused
from agent.cloud.report_sender import Delivery
from agent.deadline import ASKED_LATELY_S, contradicts
from agent.journal.journal import Journal
from agent.journal.sqlite_file import JournalFailed
from agent.live_state import Board, View
from agent.rate_limit import Pace
from protocol.errors import Malformed, UnknownKind, WireError
from protocol.heads import named_by
from protocol.messages import (
    GREETING,
    Event,
    Hello,
    Job,
    Make,
    Message,
    Presence,
    Receipt,
    Unsupported,
    Welcome,
    decode_command,
    decode_receipt,
    encode,
)
from protocol.reasons import Happening
from protocol.topics import Channel, topic

LONGEST_SLEEP_S = 1.0
SHORTEST_PAUSE_S, LONGEST_PAUSE_S = 1.0, 60.0
STEADY_S = 30.0
"""A connection that lasted this long earns a quick reconnect."""
READY_WITHIN_S = 10.0
DEAF_S = 60.0
"""A broker that confirms nothing for so long is not there, whatever the library believes of its connection."""
STATE_EVERY_S = 60.0
STATE_PAUSE_S = 0.2
"""Changes closer together than this go out as one."""
STATE_BURST, STATE_CALM_S = 10, 3.0
"""And no more of them in a row, then one every so often."""
HELLO_PAUSES_S = (1.0, 2.0, 4.0, 8.0, 10.0)
"""Between hellos that nobody answers: the cloud may not have been listening yet."""
CLOCK_CHECK_S = 600.0
CLOCK_WRONG_S, CLOCK_RIGHT_S = 60.0, 30.0
"""By how much the wall clock may differ from the cloud's before an operator hears of it, and when it is right again."""
TAKEN_OVER = "Session taken over"
"""MQTT 5's name for why a broker hung up on us; one with 3.1.1 does not say."""
EVENT = str(Event.__struct_config__.tag)
GOODBYE_S = 1.0
log = logging.getLogger(__name__)


class Wire(Protocol):
    """One connection, as `mqtt.Connection` is."""

    is_ready: bool
    why_lost: str
    lacks_mqtt5: bool
    confirmed: int
    is_opening: bool
    """The broker is still being looked for."""
    is_unreachable: bool
    """It was not found: lost before it could say anything."""

    @property
    def is_lost(self) -> bool: ...

    @property
    def waits(self) -> bool: ...

    def open(self) -> None: ...

    def publish(self, topic: str, payload: bytes, *, retain: bool = False) -> int | None: ...

    def is_confirmed(self, ticket: int) -> bool: ...

    def wait_delivered(self, timeout: float) -> bool: ...

    def drop(self, why: str) -> None: ...

    def close(self) -> None: ...


Taker = Callable[[str, bytes, bool, float | None], bool]
Dial = Callable[[bool, bytes, Taker], Wire]
"""`dial(mqtt5, will, on_message)` makes a connection that is not open yet."""


class _Reports:
    """One connection, seen by whoever delivers reports."""

    def __init__(self, wire: Wire, where: str) -> None:
        self._wire = wire
        self._where = where
        self.is_confirmed = wire.is_confirmed

    def send(self, payload: bytes) -> int | None:
        return self._wire.publish(self._where, payload)


class Link:
    """Speaks for one device; `new_id` gives the ids of hellos."""

    def __init__(
        self,
        *,
        device_uuid: str,
        profile: str,
        dial: Dial,
        journal: Journal,
        intake: Intake,
        board: Board,
        clock: Clock,
        cloud: CloudClock,
        random: Random,
        new_id: Callable[[], str],
        worker_bell: Bell,
    ) -> None:
        self._topics = {channel: topic(device_uuid, channel) for channel in Channel}
        self._profile = profile
        self._dial = dial
        self._journal = journal
        self._intake = intake
        self._board = board
        self._clock = clock
        self._cloud = cloud
        self._random = random
        self._new_id = new_id
        self._worker_bell = worker_bell
        self._wire: Wire | None = None
        self._connections = 0
        """How often this session has dialled; tells a second agent's connect from one that is only heard twice."""
        self._mqtt5 = self._has_mqtt5 = True
        self._turned_away = 0
        self._dialled_at = 0.0
        self._dial_after = 0.0
        self._pause = SHORTEST_PAUSE_S
        self._greeted = False
        self._hello: tuple[str, float] | None = None
        self._hello_due = 0.0
        self._hellos = 0
        """Not answered, on this connection."""
        self._asked_at = float("-inf")
        self._delivery = Delivery(journal.outgoing)
        self._confirmed = 0
        self._progress_at = 0.0
        """When the broker last confirmed something, or had nothing to confirm."""
        self._holds_back = False
        """Something came that could not be stored; the broker keeps it until it is asked anew."""
        self._is_clock_wrong = False
        self._states = Pace(STATE_BURST, STATE_CALM_S)
        self._told: View | None = None
        self._told_at = 0.0

    @property
    def is_connected(self) -> bool:
        wire = self._wire
        return wire is not None and wire.is_ready

    def step(self, now: float) -> float:
        """Returns when to be called again if nothing rings."""
        wire = self._wire
        if wire is None:
            if now >= self._dial_after:
                self._connect(now)
        elif wire.is_opening:
            self._dialled_at = now
        elif wire.is_lost:
            self._hang_up(wire, now)
        elif self._holds_back and not self._journal.failure:
            wire.drop("what could not be stored may come again now")
        elif wire.is_ready:
            self._speak(wire, now)
            self._listen_for_confirmations(wire, now)
            return min(now + LONGEST_SLEEP_S, self._state_due(now))
        elif now - self._dialled_at > READY_WITHIN_S:
            wire.drop("no answer to our connect")
        return now + LONGEST_SLEEP_S

    def stop(self) -> None:
        """Say goodbye in order, if anybody is there."""
        wire, self._wire = self._wire, None
        if wire is None:
            return
        if wire.is_ready:
            wire.publish(self._topics[Channel.PRESENCE], self._presence(online=False), retain=True)
            wire.wait_delivered(GOODBYE_S)
        wire.close()

    # Connecting

    def _connect(self, now: float) -> None:
        try:
            wire = self._dial(self._mqtt5, self._presence(online=False), self.take)
        except OSError as error:
            log.error("cannot set up the connection: %s", error)
            self._dial_after = now + LONGEST_PAUSE_S
            return
        self._wire, self._dialled_at, self._greeted, self._holds_back = wire, now, False, False
        self._connections += 1
        try:
            wire.open()
        except Refused as refused:
            log.warning("no broker: %s", refused)
            wire.is_unreachable = True
            self._hang_up(wire, now)

    def _hang_up(self, wire: Wire, now: float) -> None:
        wire.close()
        self._wire = None
        self._delivery.lost(_Reports(wire, self._topics[Channel.REPORT]), now)
        self._choose_version(wire)
        if self._greeted and now - self._dialled_at > STEADY_S:
            self._pause = SHORTEST_PAUSE_S
        pause = self._pause * self._random.uniform(0.5, 1.0)
        self._dial_after = now + pause
        self._pause = min(LONGEST_PAUSE_S, self._pause * 2)
        if TAKEN_OVER in wire.why_lost:
            log.error("another client has taken our name at the broker; is this computer's card a copy of another's?")
        if wire.why_lost:
            log.warning("the broker is lost (%s); again in %.1f s", wire.why_lost, pause)

    def _choose_version(self, wire: Wire) -> None:
        """3.1.1 for good when the broker says that it has no 5; for a try when it keeps hanging up without a word."""
        self._turned_away = 0 if self._greeted or wire.is_unreachable else self._turned_away + 1
        if wire.lacks_mqtt5:
            log.warning("the broker has no MQTT 5: going on with 3.1.1")
            self._has_mqtt5 = False
        self._mqtt5 = self._has_mqtt5 and self._turned_away % 4 != 3

    # Hearing; runs in the thread of the connection

    def take(self, where: str, payload: bytes, retained: bool, expires_in: float | None = None) -> bool:
        """True when the message may be acknowledged: it is committed, or nobody can make anything of it."""
        try:
            if retained:
                log.error("a command must never be retained; ignored")
            elif where == self._topics[Channel.COMMAND]:
                self._command(payload, expires_in)
            elif where == self._topics[Channel.RECEIPT]:
                self._receipt(payload)
        except JournalFailed as failed:
            # Nobody resends on a live connection: kept open to say why nothing is sold, cut when that is over.
            log.error("not acknowledged, for the journal failed: %s", failed)
            self._holds_back = True
            return False
        except UnknownKind as unknown:
            log.warning("unsupported: %s", unknown)
            self._say(Unsupported(unknown_kind=unknown.kind[:500], reference=unknown.reference))
        except WireError as error:
            log.error("dropped a message nobody can read: %s", error)
        return True

    def _command(self, payload: bytes, expires_in: float | None) -> None:
        try:
            message = decode_command(payload)
        except Malformed:
            if (named := named_by(payload)) is not None:
                self._intake.refuse_unreadable(named)
            raise
        if expires_in is not None and isinstance(message, Make | Job):
            until = self._clock.monotonic() + expires_in
            self._board.limit(message.command_id if isinstance(message, Make) else message.job_id, until)
        answer = self._intake.take(message)
        if answer is not None:
            self._say(answer)
        if isinstance(message, Make | Job):
            self._ask_time_if_needed(message)

    def _receipt(self, payload: bytes) -> None:
        message = decode_receipt(payload)
        if isinstance(message, Receipt):
            self._journal.outgoing.confirm(message.message_ids)
        else:
            self._welcome(message)

    def _ask_time_if_needed(self, message: Make | Job) -> None:
        """It waits for the cloud's time, or the cloud's clock has been set since we asked."""
        known = self._cloud.now()
        if known is None or contradicts(message.issued_at, message.deadline_at, known):
            self._ask_time()

    def _ask_time(self) -> None:
        if self._clock.monotonic() - self._asked_at >= ASKED_LATELY_S:
            self._say_hello()

    def _welcome(self, welcome: Welcome) -> None:
        if welcome.hello_id == GREETING:
            self._ask_time()
        hello = self._hello
        if hello is None or hello[0] != welcome.hello_id:
            return
        self._journal.outgoing.takes_events = welcome.takes is not UNSET and EVENT in welcome.takes
        self._note_rival("" if welcome.rival_session is UNSET else welcome.rival_session)
        if self._cloud.learn(welcome.cloud_time, hello[1]):
            self._judge_clock()
            self._hello, self._hellos = None, 0
            self._hello_due = self._clock.monotonic() + CLOCK_CHECK_S
            self._worker_bell.ring()

    def _note_rival(self, session: str) -> None:
        """The cloud knows who else speaks under our name; it lets us sell again when a person has sorted it out."""
        if session == self._board.view.rival:
            return
        self._board.change(rival=session)
        self._worker_bell.ring()
        if session:
            log.error("another agent, session %s, speaks under our name: a copied card? nothing is sold", session)
            self._journal.chronicle.tell(Happening.TWO_AGENTS, rival_session=session)

    def _judge_clock(self) -> None:
        """The machine's own clock dates its logs and frames for people; no deadline hangs on it."""
        ahead = (self._clock.wall() - self._cloud.best()).total_seconds()
        if abs(ahead) > CLOCK_WRONG_S and not self._is_clock_wrong:
            self._is_clock_wrong = True
            self._journal.chronicle.tell(Happening.CLOCK_WRONG, ahead_s=round(ahead))
        elif abs(ahead) < CLOCK_RIGHT_S and self._is_clock_wrong:
            self._is_clock_wrong = False
            self._journal.chronicle.tell(Happening.CLOCK_RIGHT, ahead_s=round(ahead))

    # Speaking

    def _speak(self, wire: Wire, now: float) -> None:
        if not self._greeted:
            self._greeted = True
            self._delivery.connected()
            self._confirmed, self._progress_at = wire.confirmed, now
            self._told = None
            self._hello_due, self._hellos = now, 0
            wire.publish(self._topics[Channel.PRESENCE], self._presence(online=True), retain=True)
        if now >= self._hello_due:
            self._say_hello()
        try:
            self._delivery.step(_Reports(wire, self._topics[Channel.REPORT]), now)
        finally:  # outcomes wait for no state, and a journal that fails does not keep the state from saying so
            for said in (*self._board.take_replies(), *self._board.take_progress(), *self._board.take_answers()):
                self._say(said)
            if now >= self._state_due(now):
                self._tell_state(wire, now)

    def _listen_for_confirmations(self, wire: Wire, now: float) -> None:
        if not wire.waits or wire.confirmed != self._confirmed:
            self._confirmed, self._progress_at = wire.confirmed, now
        elif now - self._progress_at > DEAF_S:
            wire.drop(f"it has confirmed nothing for {DEAF_S:.0f} s")

    def _say(self, message: Message) -> None:
        wire = self._wire
        if wire is None or not wire.is_ready:
            return
        try:
            wire.publish(self._topics[Channel.REPORT], encode(message))
        except WireError as error:
            log.error("cannot be said: %s", error)

    def _say_hello(self) -> None:
        now = self._clock.monotonic()
        self._hello, self._asked_at = (self._new_id(), now), now
        self._hello_due = now + HELLO_PAUSES_S[min(self._hellos, len(HELLO_PAUSES_S) - 1)]
        self._hellos += 1
        self._say(Hello(hello_id=self._hello[0], agent_version=AGENT_VERSION, profile=self._profile))

    def _presence(self, *, online: bool) -> bytes:
        said = Presence(online=online, session_id=self._journal.session, agent_version=AGENT_VERSION)
        return encode(structs.replace(said, connection=self._connections) if online else said)

    def _state_due(self, now: float) -> float:
        """News soon, but a contact that bounces as seldom as anybody can use; the same again now and then."""
        if self._board.view is self._told:
            return self._told_at + STATE_EVERY_S
        return max(self._told_at + STATE_PAUSE_S, self._states.next_at(now))

    def _tell_state(self, wire: Wire, now: float) -> None:
        view = self._board.view
        state = state_message.encoded(view, self._profile, self._cloud.best())
        wire.publish(self._topics[Channel.STATE], state, retain=True)
        self._states.allows(now)
        self._told, self._told_at = view, now
