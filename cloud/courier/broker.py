"""The cloud's way to the MQTT broker: dials, again and again, each address in turn; content with what a broker can do.

Publishes with QoS 1, hands received messages to a bounded queue. Knows no order and no message.
"""

import logging
import math
import queue
import random
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from paho.mqtt.client import MQTTMessage

from cloud.courier import broker_address
from cloud.courier.broker_address import USUAL, Tls
from cloud.courier.broker_session import MAX_UNSTORED, SHARED_GROUP, Abilities, CannotConnect, Session
from cloud.settings import Settings
from protocol.topics import ROOT, Channel, every

log = logging.getLogger("cloud.courier.broker")

PAUSES_S = (1.0, 2.0)
"""Before the next round through the addresses, the first ones and the later: we are few, and a broker that is back is
wanted at once."""
LOOK_S, QUIET_S = 1.0, 30.0
"""How often a connection is looked at, on its way and once it stands; when it is lost it says so."""
READY_WITHIN_LOOKS = 10
DISCARDS_TOLD_EVERY_S = 60.0
MIDS = 1 << 16
REPORTS = (SHARED_GROUP + every(Channel.REPORT),)
"""What a worker hears of drinks: one worker of many gets each. Whoever else connects must not join the group: its share
would be lost."""
PRESENCE_AND_STATE = (every(Channel.PRESENCE), every(Channel.STATE))
"""Retained, which no shared subscription is given: one worker of many hears them all."""
ALL_DEVICES = REPORTS + PRESENCE_AND_STATE


@dataclass(frozen=True)
class Received:
    """One message of a device."""

    topic: str
    payload: bytes
    mid: int
    qos: int
    retained: bool = False
    """Said before we were here."""
    connection: int = 0
    """The session it came over: on another its number means something else."""
    arrived: float = field(default=0.0, compare=False)
    """In steady seconds."""


@dataclass(frozen=True)
class Acknowledged:
    """The broker's answer to one publish: `code` below 128 is good, 16 means that nobody is subscribed."""

    mid: int
    code: int


class NotConnected(ConnectionError):
    """No byte left us."""


class BrokerLink:
    """Connects, stays connected; what it lacks is told in `trouble`."""

    def __init__(
        self,
        url: str,
        client_id: str,
        on_change: Callable[[], None] = lambda: None,
        user: str = "",
        password: str = "",
        listens_to: Sequence[str] = ALL_DEVICES,
        tls: Tls = USUAL,
        *,
        for_one_reader: bool = False,
        keeps_answers: bool = True,
    ) -> None:
        """`url`: addresses parted by commas. `for_one_reader`: one worker of many hears it, whatever the broker.

        `keeps_answers`: somebody takes them out of `acknowledged`.
        """
        self.inbox: queue.Queue[Received] = queue.Queue(MAX_UNSTORED)
        """Full all the same, by MQTT 3.1.1 or with what a lost connection left, the connection is dropped, and devices
        repeat what matters."""
        self.acknowledged: queue.Queue[Acknowledged] = queue.Queue()
        self.on_change = on_change
        """Called from the network thread when the connection changed; like the next two it must return at once."""
        self.on_received = on_change
        """Something is in `inbox`."""
        self.on_answer = on_change
        """Something is in `acknowledged`."""
        self.connections = 0
        """How often the broker has accepted us; what was sent over an earlier connection is answered no more."""
        self.trouble = "no connection to the broker yet"
        """Why there is no connection; empty while there is one."""
        self._client_id = client_id
        self._listens_to = list(listens_to)
        self._tls = tls
        self._places = [(address, Abilities()) for address in broker_address.addresses(url, user, password)]
        self._turned_away = [0] * len(self._places)
        """How often in a row each has hung up on us without a word."""
        self._next = self._dialled = self._failed = self._looks = 0
        self._ready_number = -1
        self._discarded = 0
        """Since it was last told."""
        self._discards_told_at = -math.inf
        self._is_reader = True
        self._for_one_reader = for_one_reader
        self._keeps_answers = keeps_answers
        self._session: Session | None = None
        self._connected = threading.Event()
        self._redialling = Redialling(self._step, self._part)

    @property
    def connected(self) -> bool:
        """Whether the broker has accepted us, and our subscriptions."""
        return self._connected.is_set()

    @property
    def user(self) -> str:
        """Our name there."""
        return self._places[0][0].user

    @property
    def is_listening(self) -> bool:
        """Whether devices are heard here; without shared subscriptions one worker of many hears them."""
        session = self._session
        return self.connected and session is not None and session.is_listening

    @property
    def lacks_shares(self) -> bool:
        """Connected, and this cannot be shared out among workers: one of them must read all."""
        session = self._session
        return self.connected and session is not None and (self._for_one_reader or not session.able.has_shares)

    def lag_s(self) -> float:
        """For how long the oldest message has been waiting to be read."""
        with self.inbox.mutex:
            oldest = self.inbox.queue[0] if self.inbox.queue else None
        return time.monotonic() - oldest.arrived if oldest is not None and oldest.arrived else 0.0

    def start(self) -> None:
        """Connect in the background, for ever."""
        self._redialling.start()

    def stop(self) -> None:
        """Disconnect cleanly."""
        self._connected.clear()
        self._redialling.end()

    def wait_connected(self, timeout: float) -> bool:
        """True once connected."""
        return self._connected.wait(timeout)

    def read_alone(self, is_reader: bool) -> None:
        """At a broker without shared subscriptions: become the only reader of the devices, or leave that to another."""
        self._is_reader = is_reader
        session = self._session
        if session is None or not self.lacks_shares or is_reader == session.is_listening:
            return
        if is_reader:
            session.listen()
        else:
            session.drop("another worker reads for all")

    def publish(self, topic: str, payload: bytes, expiry_s: int, *, retain: bool = False) -> int:
        """Send with QoS 1; the answer comes into `acknowledged` under the number given back.

        Raises `NotConnected`: nothing was sent. A broker with MQTT 5 drops the message after `expiry_s` seconds.
        """
        session = self._session
        if session is None or not self.connected:
            raise NotConnected("no connection to the broker")
        mid = session.publish(topic, payload, expiry_s, retain=retain)
        if mid is None:
            raise NotConnected("the client would not send")
        return _number(session, mid)

    def drop(self) -> None:
        """Break the connection: a broker does not repeat on a live one what we could not store."""
        if (session := self._session) is not None:
            session.drop("dropped, to get again what could not be stored")

    def ack(self, received: Received) -> None:
        """What the message said is safely stored."""
        session = self._session
        if session is not None and received.connection == session.number:
            session.ack(received.mid, received.qos)

    # Dialling, in a thread of its own

    def _step(self) -> float:
        """Do what is due; in how many seconds to look again."""
        session = self._session
        if session is None:
            return self._dial()
        session.look()
        if session.is_lost:
            return self._hang_up(session)
        self._looks = 0 if session.is_ready else self._looks + 1
        if self._looks > READY_WITHIN_LOOKS:
            session.drop(f"{session.address}: no answer to our connect")
        return QUIET_S if session.is_ready else LOOK_S

    def _dial(self) -> float:
        where = self._next % len(self._places)
        address, able = self._places[where]
        is_silent = self._turned_away[where] % 4 == 3 and not able.is_proven  # it may be too old to say that it is
        tries = Abilities(mqtt5=False) if is_silent else able
        self._dialled += 1
        try:
            session = Session(address, self._tls, tries, self._client_id, self._dialled, self._wanted, self)
            self._session, self._looks = session, 0
            session.open()
        except (CannotConnect, OSError) as error:
            self._session = None
            return self._failed_at(str(error))
        return LOOK_S

    def _part(self) -> None:
        """After the last step: nobody else closes what a step may still be opening."""
        self._connected.clear()
        session, self._session = self._session, None
        if session is not None:
            session.close()

    def _wanted(self, is_shared: bool) -> list[str]:
        if is_shared and not self._for_one_reader:
            return self._listens_to
        return [topic.removeprefix(SHARED_GROUP) for topic in self._listens_to] if self._is_reader else []

    def _hang_up(self, session: Session) -> float:
        self._session = None
        session.close()
        where = self._next % len(self._places)
        self._turned_away[where] = 0 if session.was_spoken_to else self._turned_away[where] + 1
        if session.number == self._ready_number:  # it had worked: once more the same, then the others
            self._failed = 0
            return PAUSES_S[0]
        return self._failed_at(session.why)

    def _failed_at(self, why: str) -> float:
        """On to the next address; a pause when all were tried."""
        if why != self.trouble:
            log.error("no connection to the broker: %s", why)
        self.trouble = why
        self._next += 1
        self._failed += 1
        self.on_change()
        if self._failed % len(self._places):
            return 0.0
        return PAUSES_S[min(self._failed // len(self._places), len(PAUSES_S)) - 1]

    # Told by a session, from paho's thread

    def session_ready(self, session: Session) -> None:
        if session.number != self._ready_number:
            self._ready_number = session.number
            self.connections += 1
            self.trouble, self._failed = "", 0
            self._connected.set()
            log.info("connected to the broker %s%s", session.address, _manner(session.able))
        self.on_change()

    def session_lost(self, session: Session) -> None:
        if session is self._session and self._connected.is_set():
            self.trouble = session.why
            log.warning("connection to the broker lost: %s", session.why)
            self._connected.clear()
        self.on_change()
        self._redialling.wake()

    def session_received(self, session: Session, message: MQTTMessage) -> None:
        if message.qos == 0 and message.topic.startswith(ROOT):
            self._discard(message.topic)
            return
        received = Received(
            message.topic, bytes(message.payload), message.mid, message.qos, message.retain, session.number,
            time.monotonic(),
        )  # fmt: skip
        try:
            self.inbox.put_nowait(received)
        except queue.Full:
            log.error("inbox is full, connecting anew to get this again", extra={"topic": message.topic})
            session.drop("our inbox is full")
            return
        self.on_received()

    def _discard(self, topic: str) -> None:
        """The wire contract wants QoS 1 of devices: no broker holds QoS 0 back, and one could fill our inbox."""
        self._discarded += 1
        now = time.monotonic()
        if now >= self._discards_told_at + DISCARDS_TOLD_EVERY_S:
            log.warning("messages with QoS 0 discarded: %d, one of them here", self._discarded, extra={"topic": topic})
            self._discarded, self._discards_told_at = 0, now

    def session_answered(self, session: Session, mid: int, code: int) -> None:
        if self._keeps_answers:
            self.acknowledged.put(Acknowledged(_number(session, mid), code))
            self.on_answer()


class Redialling:
    """The thread that steps a link, and parts when it ends; a step may take as long as a name server and a connect."""

    def __init__(self, step: Callable[[], float], part: Callable[[], None]) -> None:
        self._step = step
        self._part = part
        self._is_woken = threading.Event()
        self._has_ended = False
        self._thread = threading.Thread(target=self._run, name="broker link", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def wake(self) -> None:
        """Step now."""
        self._is_woken.set()

    def end(self) -> None:
        """No more steps; one that is under way finds out by itself."""
        self._has_ended = True
        self._is_woken.set()
        if self._thread.is_alive():
            self._thread.join(LOOK_S)

    def _run(self) -> None:
        while not self._has_ended:
            try:
                pause = self._step()
            except Exception:  # the way to the broker must outlive any one step
                log.exception("a step of the broker link failed")
                pause = PAUSES_S[-1]
            self._is_woken.wait(pause)
            self._is_woken.clear()  # before the end is looked for: its wake-up is never wiped away
        self._part()


def _number(session: Session, mid: int) -> int:
    """Each session counts anew; ours must not."""
    return session.number * MIDS + mid


def _manner(able: Abilities) -> str:
    if able.has_shares:
        return ""
    return ", without shared subscriptions" if able.mqtt5 else ", by MQTT 3.1.1"


def link_of(
    settings: Settings, client_id: str, on_change: Callable[[], None] = lambda: None,
    listens_to: Sequence[str] = ALL_DEVICES, *, for_one_reader: bool = False, keeps_answers: bool = True,
) -> BrokerLink:  # fmt: skip
    """The link that these settings describe."""
    tls = Tls(settings.mqtt_ca, settings.mqtt_cert, settings.mqtt_key)
    return BrokerLink(
        settings.mqtt_url,
        client_id,
        on_change,
        settings.mqtt_user,
        settings.mqtt_password,
        listens_to,
        tls,
        for_one_reader=for_one_reader,
        keeps_answers=keeps_answers,
    )


def client_id_of(owner: str) -> str:
    """One id for each worker process: two with the same id would throw each other out."""
    return f"coffee-cloud-{owner}-{random.SystemRandom().randrange(2**32):08x}"
