"""One connection to the broker with paho, from CONNECT to its end; the next one is a new object.

So nothing that paho would hoard outlives its connection. Knows bytes and topics, no messages.
"""

import logging
import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from agent import tls
from agent.settings import BrokerAddress

KEEPALIVE_S = 10
"""A machine whose plug is pulled is missed by the broker after one and a half of these."""
SESSION_EXPIRY_S = 7 * 24 * 3600
"""The broker keeps our session, and commands that have not expired, through a week without us."""
CONNECT_TIMEOUT_S = 5.0
GOODBYE_S = 1.0
AT_LEAST_ONCE = 1
log = logging.getLogger(__name__)


class Refused(Exception):
    """The broker said no, or could not be reached."""


class Connection:
    """`on_message(topic, payload, retained, expires_in)` says whether it may be acknowledged; it runs in paho's thread.

    One that may not comes again on the next connection, never on this one. `expires_in`: the seconds that the broker
    left it, None without an expiry.
    """

    def __init__(
        self,
        broker: BrokerAddress,
        client_id: str,
        *,
        mqtt5: bool,
        subscriptions: list[str],
        will: tuple[str, bytes] | None,
        on_message: Callable[[str, bytes, bool, float | None], bool],
        on_change: Callable[[], None],
        is_passing: bool = False,
        beat: Callable[[], None] | None = None,
    ) -> None:
        """`is_passing`: only a look; a broker with MQTT 5 keeps no session. Raises `OSError` for a bad CA file.

        `beat` is called whenever paho's thread has come round, at least once a second.
        """
        self._broker = broker
        self._mqtt5 = mqtt5
        self._subscriptions = subscriptions
        self._take = on_message
        self._on_change = on_change
        self._beat = beat
        self.is_ready = False
        """Connected and subscribed."""
        self.was_ready = False
        self.is_opening = self.is_unreachable = False
        self.why_lost = ""
        self.why_refused = ""
        """What the broker last had against a message of ours, on a connection it keeps."""
        self._lost = False
        self._thread: threading.Thread | None = None
        self.lacks_mqtt5 = False
        self._delivered = threading.Condition()
        self._unconfirmed: set[int] = set()
        self._early: set[int] = set()
        """Confirmed before `publish` had come to writing them down."""
        self.confirmed = 0
        """How many messages of ours the broker has taken or refused so far."""
        self._is_passing = is_passing
        self._client = self._make_client(client_id)
        if will is not None:
            self._client.will_set(*will, qos=AT_LEAST_ONCE, retain=True)

    @property
    def is_lost(self) -> bool:
        """Also when paho's thread died of something in its own code, which paho tells nobody."""
        if self._thread is not None and not self._thread.is_alive():
            self._lost, self.is_ready = True, False
        return self._lost

    def open(self) -> None:
        """Connect and start paho's thread. Raises `Refused`."""
        where = (self._broker.host, self._broker.port, KEEPALIVE_S)
        properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]  # paho leaves it untyped
        properties.SessionExpiryInterval = 0 if self._is_passing else SESSION_EXPIRY_S
        try:
            if self._mqtt5:
                self._client.connect(*where, clean_start=self._is_passing, properties=properties)
            else:
                self._client.connect(*where)
            before = set(threading.enumerate())
            self._client.loop_start()
            born = [one for one in threading.enumerate() if one not in before and one.name.startswith("paho")]
            self._thread = born[0] if born else None
        except (OSError, ValueError) as error:  # ssl's errors are OSErrors
            raise Refused(f"{self._broker.host}:{self._broker.port}: {error}") from error

    @property
    def waits(self) -> bool:
        """Is something of ours unconfirmed?"""
        return bool(self._unconfirmed)

    def publish(self, topic: str, payload: bytes, *, retain: bool = False) -> int | None:
        """Hand one message to the broker, at least once; lost with the connection. A ticket, or None when lost."""
        if self.is_lost:
            return None
        info = self._client.publish(topic, payload, AT_LEAST_ONCE, retain)
        if info.rc != MQTTErrorCode.MQTT_ERR_SUCCESS:
            return None
        with self._delivered:
            if info.mid in self._early:
                self._early.discard(info.mid)
            else:
                self._unconfirmed.add(info.mid)
        return info.mid

    def is_confirmed(self, ticket: int) -> bool:
        """Has the broker answered for this message?"""
        with self._delivered:
            return ticket not in self._unconfirmed

    def wait_delivered(self, timeout: float) -> bool:
        """Wait until the broker has confirmed everything published."""
        with self._delivered:
            return self._delivered.wait_for(lambda: not self._unconfirmed or self.is_lost, timeout)

    def drop(self, why: str) -> None:
        """Cut the line without a farewell: the broker sends our will, and what we did not acknowledge comes again."""
        log.warning("dropping the broker: %s", why)
        self._lose(why)
        self._cut()

    def close(self) -> None:
        """Part in order (no will is sent) unless the connection is lost already; ends paho's thread."""
        if not self.is_lost:
            self._client.disconnect()
            with self._delivered:
                self._delivered.wait_for(lambda: self.is_lost, GOODBYE_S)
        line = self._client.socket()
        self._cut()
        with suppress(AttributeError):  # paho's thread ends in this moment, and paho forgets it before it has looked
            self._client.loop_stop()
        if isinstance(line, socket.socket):
            line.close()  # paho leaves it open where the broker has refused us

    def _cut(self) -> None:
        line = self._client.socket()
        if isinstance(line, socket.socket):
            with suppress(OSError):
                line.shutdown(socket.SHUT_RDWR)

    def _make_client(self, client_id: str) -> paho.Client:
        protocol = MQTTProtocolVersion.MQTTv5 if self._mqtt5 else MQTTProtocolVersion.MQTTv311
        client = paho.Client(
            CallbackAPIVersion.VERSION2,
            client_id=client_id,
            clean_session=None if self._mqtt5 else False,
            protocol=protocol,
            reconnect_on_failure=False,
            manual_ack=True,
        )
        client.connect_timeout = CONNECT_TIMEOUT_S
        if self._broker.user is not None:
            client.username_pw_set(self._broker.user, self._broker.password)
        if self._broker.tls:
            context = tls.client_context(self._broker.ca_file)
            if self._broker.cert_file:
                context.load_cert_chain(self._broker.cert_file, self._broker.key_file)
            client.tls_set_context(context)
        if self._beat is not None:
            client.loop_misc = self._watched(client.loop_misc)  # type: ignore[method-assign]  # ends each round of paho's
        client.on_socket_open = _no_delay
        client.on_connect = self._connected
        client.on_subscribe = self._subscribed
        client.on_message = self._message
        client.on_publish = self._published
        client.on_disconnect = self._disconnected
        client.on_log = self._logged
        return client

    def _watched(self, end_round: Callable[[], MQTTErrorCode]) -> Callable[[], MQTTErrorCode]:
        def watched() -> MQTTErrorCode:
            self._came_round()
            return end_round()

        return watched

    # Called by paho's thread; an exception here would end it, so nothing may escape

    def _came_round(self) -> None:
        if self._beat is not None:
            self._beat()

    def _connected(self, client: paho.Client, _: Any, flags: paho.ConnectFlags, reason: ReasonCode, __: Any) -> None:
        if reason.is_failure:
            self.lacks_mqtt5 = self._mqtt5 and reason.getName() == "Unsupported protocol version"
            self._lose(f"the broker refused us: {reason}")
            return
        log.info("connected, session %s", "resumed" if flags.session_present else "new")
        if self._subscriptions:
            client.subscribe([(topic, AT_LEAST_ONCE) for topic in self._subscriptions])
        else:
            self._ready()

    def _subscribed(self, _: Any, __: Any, ___: int, reasons: list[ReasonCode], ____: Any) -> None:
        if refused := [str(reason) for reason in reasons if reason.is_failure]:
            self.drop(f"the broker refused our subscriptions: {refused[0]}")
            return
        self._ready()

    def _ready(self) -> None:
        self.is_ready = self.was_ready = True
        self._on_change()

    def _message(self, client: paho.Client, _: Any, message: paho.MQTTMessage) -> None:
        try:
            expires_in = getattr(message.properties, "MessageExpiryInterval", None)
            may_acknowledge = self._take(message.topic, bytes(message.payload), message.retain, expires_in)
        except Exception:
            # Unacknowledged it would come for ever and stop the line; what it was about shows as silence.
            log.exception("a message could not be handled")
            may_acknowledge = True
        if self.is_lost:
            return
        if may_acknowledge:
            client.ack(message.mid, message.qos)

    def _published(self, _: Any, __: Any, mid: int, reason: ReasonCode, ___: Any) -> None:
        if reason.is_failure:
            self.why_refused = str(reason)
            log.error("the broker refused a message of ours: %s", reason)
        with self._delivered:
            if mid in self._unconfirmed:
                self._unconfirmed.discard(mid)
            else:
                self._early.add(mid)
            self.confirmed += 1
            self._delivered.notify_all()
        self._on_change()

    def _disconnected(self, _: Any, __: Any, ___: Any, reason: ReasonCode, ____: Any) -> None:
        self._lose(str(reason))

    def _logged(self, _: Any, __: Any, level: int, said: str) -> None:
        """paho tells only its log that TLS broke after the handshake, as it does where our certificate is refused."""
        if level == paho.MQTT_LOG_ERR and "[SSL" in said:
            self.why_lost = self.why_lost or said[said.index("[SSL") :]

    def _lose(self, why: str) -> None:
        if not self._lost:
            self.why_lost = self.why_lost or why
        self._lost = True
        self.is_ready = False
        with self._delivered:
            self._delivered.notify_all()
        self._on_change()


def _no_delay(_: Any, __: Any, line: Any) -> None:
    """Nagle with delayed acknowledgements makes each round trip 44 ms."""
    with suppress(OSError, AttributeError):
        line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
