"""The cloud's side of the agent: connects to the broker, again and again, and sends out what the others have to say.

`step(now)` does all that is due; only the callback of an arriving message runs elsewhere. Never talks to the worker.
"""

import logging
from collections.abc import Callable
from random import Random

from msgspec import structs

from agent import AGENT_VERSION
from agent.clock import Bell, Clock, CloudClock
from agent.cloud.answer_sender import AnswerSender
from agent.cloud.command_handler import CommandHandler
from agent.cloud.handshake import Handshake
from agent.cloud.mqtt import Refused
from agent.cloud.receiver import Receiver
from agent.cloud.report_sender import ReportSender
from agent.cloud.state_sender import StateSender
from agent.cloud.wire import Dial, ReportLine, Speaker, Wire
from agent.journal.journal import Journal
from agent.live_state import LiveState
from protocol.messages import Presence, encode
from protocol.topics import Channel, topic

LONGEST_SLEEP_S = 1.0
SHORTEST_PAUSE_S, LONGEST_PAUSE_S = 1.0, 60.0
STEADY_S = 30.0
"""A connection that lasted this long earns a quick reconnect."""
READY_WITHIN_S = 10.0
DEAF_S = 60.0
"""A broker that confirms nothing for so long is not there, whatever the library believes of its connection."""
TAKEN_OVER = "Session taken over"
"""MQTT 5's name for why a broker hung up on us; one with 3.1.1 does not say."""
GOODBYE_S = 1.0
NOT_SET_UP = "cannot set up the connection"
"""How `Link.trouble` begins."""
log = logging.getLogger(__name__)


class Link:
    """Speaks for one device."""

    def __init__(
        self,
        *,
        device_uuid: str,
        profile: str,
        dial: Dial,
        journal: Journal,
        command_handler: CommandHandler,
        live_state: LiveState,
        clock: Clock,
        cloud: CloudClock,
        random: Random,
        new_id: Callable[[], str],
        worker_bell: Bell,
    ) -> None:
        self._topics = {channel: topic(device_uuid, channel) for channel in Channel}
        self._dial = dial
        self._journal = journal
        self._live_state = live_state
        self._random = random
        self._speaker = speaker = Speaker(self._topics[Channel.REPORT])
        self._handshake = handshake = Handshake(
            profile=profile, speaker=speaker, journal=journal, live_state=live_state, clock=clock, cloud=cloud,
            random=random, new_id=new_id, worker_bell=worker_bell,
        )  # fmt: skip
        self.receiver = Receiver(
            topics=self._topics, journal=journal, command_handler=command_handler, handshake=handshake,
            speaker=speaker, live_state=live_state, clock=clock,
        )  # fmt: skip
        self._report_sender = ReportSender(journal.report_queue)
        self._answer_sender = AnswerSender(speaker, live_state)
        self._state_sender = StateSender(live_state, profile, cloud)
        self._connections = 0
        """How often this session has dialled; tells a second agent's connect from one that is only heard twice."""
        self._mqtt5 = self._has_mqtt5 = True
        self._turned_away = 0
        self.trouble = ""
        """Why nobody can be dialled at all: a file that cannot be used."""
        self._dialled_at = 0.0
        self._dial_after = 0.0
        self._pause = SHORTEST_PAUSE_S
        self._greeted = False
        self._confirmed = 0
        self._progress_at = 0.0
        """When the broker last confirmed something, or had nothing to confirm."""

    @property
    def is_connected(self) -> bool:
        return self._speaker.is_connected

    @property
    def is_welcome(self) -> bool:
        """Every hello is answered."""
        return not self._handshake.is_unanswered

    def step(self, now: float) -> float:
        """Returns when to be called again if nothing rings."""
        wire = self._speaker.wire
        if wire is None:
            if now >= self._dial_after:
                self._connect(now)
        elif wire.is_opening:
            self._dialled_at = now
        elif wire.is_lost:
            self._hang_up(wire, now)
        elif self.receiver.holds_back and not self._journal.failure:
            wire.drop("what could not be stored may come again now")
        elif wire.is_ready:
            self._speak(wire, now)
            self._listen_for_confirmations(wire, now)
            return min(now + LONGEST_SLEEP_S, self._state_sender.due_at(now))
        elif now - self._dialled_at > READY_WITHIN_S:
            wire.drop("no answer to our connect")
        return now + LONGEST_SLEEP_S

    def stop(self) -> None:
        """Say goodbye in order, if anybody is there."""
        wire, self._speaker.wire = self._speaker.wire, None
        if wire is None:
            return
        if wire.is_ready:
            wire.publish(self._topics[Channel.PRESENCE], self._presence(online=False), retain=True)
            wire.wait_delivered(GOODBYE_S)
        wire.close()

    # Connecting

    def _connect(self, now: float) -> None:
        try:
            wire = self._dial(self._mqtt5, self._presence(online=False), self.receiver.receive)
        except OSError as error:
            self.trouble = f"{NOT_SET_UP}: {error}"
            log.error("%s", self.trouble)
            self._dial_after = now + LONGEST_PAUSE_S
            return
        self.trouble = ""
        self.receiver.holds_back = False
        self._speaker.wire, self._dialled_at, self._greeted = wire, now, False
        self._connections += 1
        self._open(wire, now)

    def _open(self, wire: Wire, now: float) -> None:
        try:
            wire.open()
        except Refused as refused:
            log.warning("no broker: %s", refused)
            wire.is_unreachable = True
            self._hang_up(wire, now)

    def _hang_up(self, wire: Wire, now: float) -> None:
        wire.close()
        self._speaker.wire = None
        self._report_sender.lost(ReportLine(wire, self._topics[Channel.REPORT]), now)
        self._answer_sender.lost(wire)
        self._choose_version(wire)
        if self._greeted and now - self._dialled_at > STEADY_S:
            self._pause = SHORTEST_PAUSE_S
        pause = self._pause * self._random.uniform(0.5, 1.0)
        if self._greeted and not self.receiver.holds_back:  # the whole fleet may have lost it at this moment
            pause += self._random.uniform(0.0, self._handshake.spread_s)
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

    # Speaking

    def _speak(self, wire: Wire, now: float) -> None:
        if not self._greeted:
            self._greeted = True
            self._report_sender.connected()
            self._confirmed, self._progress_at = wire.confirmed, now
            self._state_sender.begin_connection()
            self._handshake.begin_connection(now)
            wire.publish(self._topics[Channel.PRESENCE], self._presence(online=True), retain=True)
        elif self._handshake.take_missed():  # a cluster of brokers may keep nothing for a subscriber at another node
            self._state_sender.begin_connection()
            wire.publish(self._topics[Channel.PRESENCE], self._presence(online=True), retain=True)
        self._handshake.say_hello_if_due(now)
        try:
            self._report_sender.step(ReportLine(wire, self._topics[Channel.REPORT]), now)
        finally:  # outcomes wait for no state, and a journal that fails does not keep the state from saying so
            self._say_what_may_be_lost()
            self._answer_sender.step()
            if (state := self._state_sender.next_message(now)) is not None:
                wire.publish(self._topics[Channel.STATE], state, retain=True)

    def _say_what_may_be_lost(self) -> None:
        live_state = self._live_state
        for said in (*live_state.take_probe_replies(), *live_state.take_progress()):
            self._speaker.say(said)

    def _listen_for_confirmations(self, wire: Wire, now: float) -> None:
        if not wire.waits or wire.confirmed != self._confirmed:
            self._confirmed, self._progress_at = wire.confirmed, now
        elif now - self._progress_at > DEAF_S:
            wire.drop(f"it has confirmed nothing for {DEAF_S:.0f} s")

    def _presence(self, *, online: bool) -> bytes:
        said = Presence(online=online, session_id=self._journal.session, agent_version=AGENT_VERSION)
        return encode(structs.replace(said, connection=self._connections) if online else said)
