"""One connection of the cloud to a broker with paho, from CONNECT to its end; the next one is a new object.

Obeys what CONNACK and SUBACK say. paho waits with `select` and so fails above 1024 open files: it lives in the worker.
"""

import contextlib
import logging
import socket
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Protocol

from paho.mqtt.client import MQTT_ERR_SUCCESS, MQTT_LOG_ERR, Client, MQTTMessage, MQTTv5, MQTTv311
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from cloud.courier import broker_address
from cloud.courier.broker_address import Address, Tls

log = logging.getLogger("cloud.courier.broker")

KEEPALIVE_S = 20
CONNECT_TIMEOUT_S = 5.0
MAX_IN_FLIGHT = 200
MAX_UNSTORED = 5000
"""Messages of devices waiting for us: a broker with MQTT 5 is told to give no more before some are acknowledged."""
SHARED_GROUP = "$share/workers/"
NO_SHARED_SUBSCRIPTIONS = 0x9E
GRANTED = 1
"""What we ask for. A subscription granted with QoS 0 gives everything so, and that is discarded."""


class CannotConnect(ConnectionError):
    """Nobody is there, or not one we can talk to."""


@dataclass
class Abilities:
    """What a broker has shown that it can do; until then the best is believed."""

    mqtt5: bool = True
    shares: bool = True
    """Shared subscriptions: each message to one worker. MQTT 3.1.1 has no word for them."""
    is_proven: bool = False
    """It has accepted us so."""

    @property
    def has_shares(self) -> bool:
        return self.mqtt5 and self.shares


class SessionOwner(Protocol):
    """Whom a session reports to; called from paho's thread, so each returns at once."""

    def session_ready(self, session: "Session") -> None:
        """Accepted, and subscribed to all that was asked for; again when that has become more."""

    def session_lost(self, session: "Session") -> None:
        """It is over; `why` says why."""

    def session_received(self, session: "Session", message: MQTTMessage) -> None:
        """Something came."""

    def session_answered(self, session: "Session", mid: int, code: int) -> None:
        """The broker's answer to a publish."""


class Session:
    """`number` tells it from the ones before."""

    def __init__(
        self, address: Address, tls: Tls, able: Abilities, client_id: str, number: int,
        wanted: Callable[[bool], Sequence[str]], owner: SessionOwner,
    ) -> None:  # fmt: skip
        """`wanted` tells what to subscribe to, by whether it may be shared. Raises `OSError` for a bad certificate."""
        self.address = address
        self._tls = tls
        self.number = number
        self.able = able
        self.is_ready = self.is_lost = False
        self.is_listening = False
        """Subscribed, not only connected."""
        self.was_spoken_to = False
        """The broker has said something, be it no."""
        self.why = ""
        self._wanted = wanted
        self._asked: Sequence[str] = ()
        self._owner = owner
        self._client = self._make(client_id)
        self._thread: threading.Thread | None = None
        self._name = f"paho-mqtt-client-{client_id}"

    def open(self) -> None:
        """Connect, and start paho's thread. Raises `CannotConnect`."""
        try:
            properties = _takes_at_most(MAX_UNSTORED) if self.able.mqtt5 else None
            self._client.connect(self.address.host, self.address.port, KEEPALIVE_S, properties=properties)
            self._client.loop_start()
        except (OSError, ValueError) as error:  # ssl's errors are OSErrors
            told = error if isinstance(error, OSError) else OSError(str(error))
            raise CannotConnect(broker_address.why_not(told, self.address)) from error
        threads = [one for one in threading.enumerate() if one.name == self._name]
        self._thread = threads[-1] if threads else None

    def look(self) -> None:
        """Notice that paho's thread died of something in its own code, which paho tells nobody."""
        if self._thread is not None and not self._thread.is_alive() and not self.is_lost:
            self._lose("the network thread died")

    def publish(self, topic: str, payload: bytes, expiry_s: int, *, retain: bool = False) -> int | None:
        """The number its answer will carry; None: it was not sent."""
        properties = _expires_in(expiry_s) if self.able.mqtt5 else None
        info = self._client.publish(topic, payload, qos=1, retain=retain, properties=properties)
        return info.mid if info.rc == MQTT_ERR_SUCCESS else None

    def listen(self) -> None:
        """Subscribe to what is wanted."""
        self._asked = self._wanted(self.able.has_shares)
        if self._asked:
            self._client.subscribe([(topic, 1) for topic in self._asked])
        else:
            self._ready()

    def ack(self, mid: int, qos: int) -> None:
        """What this message said is safely stored."""
        self._client.ack(mid, qos)

    def drop(self, why: str) -> None:
        """Break off without a farewell."""
        self.why = self.why or why
        connection = self._client.socket()
        if isinstance(connection, socket.socket):
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Part in order, unless it is over already; ends paho's thread."""
        if not self.is_lost:
            self._client.disconnect()
        line = self._client.socket()
        with contextlib.suppress(AttributeError):  # paho's thread ends in this moment, and paho forgets it meanwhile
            self._client.loop_stop()
        if isinstance(line, socket.socket):
            line.close()  # paho leaves it open where the broker has refused us
        self.is_ready = self.is_listening = False
        self.is_lost = True

    def _make(self, client_id: str) -> Client:
        client = Client(
            CallbackAPIVersion.VERSION2, client_id=client_id, protocol=MQTTv5 if self.able.mqtt5 else MQTTv311,
            clean_session=None if self.able.mqtt5 else True, reconnect_on_failure=False, manual_ack=True,
        )  # fmt: skip
        client.connect_timeout = CONNECT_TIMEOUT_S
        if self.address.is_tls:
            client.tls_set_context(broker_address.context(self._tls))
        if self.address.user:
            client.username_pw_set(self.address.user, self.address.password)
        client.max_inflight_messages_set(MAX_IN_FLIGHT)
        client.on_socket_open = _no_delay
        client.on_connect = self._on_connect
        client.on_subscribe = self._on_subscribe
        client.on_disconnect = self._on_disconnect
        client.on_message = lambda _client, _data, message: self._owner.session_received(self, message)
        client.on_publish = lambda _client, _data, mid, code, _more: self._owner.session_answered(self, mid, code.value)
        client.on_log = self._on_log
        return client

    # Called by paho's thread

    def _on_connect(self, _client: Client, _data: Any, _flags: Any, code: ReasonCode, properties: Any) -> None:
        self.was_spoken_to = True
        if code.is_failure:
            if self.able.mqtt5 and code.getName() == "Unsupported protocol version":
                self.able.mqtt5 = False
            self._lose(f"{self.address}: the broker refuses us: {code}")
            return
        self.able.is_proven = True
        if self.able.mqtt5 and (wrong := self._learn(properties)):
            self.drop(wrong)
        else:
            self.listen()

    def _learn(self, properties: Any) -> str:
        """Note what CONNACK says that the broker cannot do; return why this broker will not do."""
        able = self.able
        if getattr(properties, "SharedSubscriptionAvailable", 1) == 0:
            able.shares = False
        most = getattr(properties, "ReceiveMaximum", MAX_IN_FLIGHT)
        # paho has a word for it only before the connection, when nobody knows it
        self._client._max_inflight_messages = min(most, MAX_IN_FLIGHT)
        if getattr(properties, "MaximumQoS", 1) == 0:
            return f"{self.address}: the broker confirms no message (Maximum QoS 0)"
        if getattr(properties, "WildcardSubscriptionAvailable", 1) == 0:
            return f"{self.address}: the broker knows no wildcard subscriptions"
        return ""

    def _on_subscribe(self, _client: Any, _data: Any, _mid: int, codes: Sequence[ReasonCode], _more: Any) -> None:
        refused = [(t, c) for t, c in zip(self._asked, codes, strict=False) if c.value != GRANTED]
        if refused:
            if all(topic.startswith(SHARED_GROUP) for topic, _ in refused):
                self.able.shares = False
            topic, code = refused[0]
            self.drop(f"{self.address}: the broker refuses our subscription to {topic}: {code}")
            return
        self.is_listening = True
        self._ready()

    def _ready(self) -> None:
        self.is_ready = True
        self._owner.session_ready(self)

    def _on_disconnect(self, _client: Any, _data: Any, _flags: Any, code: ReasonCode, _more: Any) -> None:
        if code.value == NO_SHARED_SUBSCRIPTIONS:
            self.able.shares = False
        is_shut_out = self.address.is_tls and not self.was_spoken_to
        self._lose(f"{self.address}: {code}{broker_address.shut_out(self._tls) if is_shut_out else ''}")

    def _on_log(self, _client: Any, _data: Any, level: int, said: str) -> None:
        """paho tells only its log that TLS broke after the handshake, as it does for a certificate that is refused."""
        if level == MQTT_LOG_ERR and "SSL" in said:
            self.why = self.why or f"{self.address}: {broker_address.tls_words(said.rpartition('[SSL')[2])}"

    def _lose(self, why: str) -> None:
        if self.is_lost:
            return
        self.why = self.why or why
        self.is_ready = self.is_listening = False
        self.is_lost = True
        self._owner.session_lost(self)


def _takes_at_most(messages: int) -> Properties:
    properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]  # paho's own
    properties.ReceiveMaximum = messages
    return properties


@lru_cache
def _expires_in(seconds: int) -> Properties:
    """Made once: paho only reads it, and making one costs more than packing it."""
    properties = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]  # paho's own
    properties.MessageExpiryInterval = seconds
    return properties


def _no_delay(_client: Client, _data: Any, connection: Any) -> None:
    """Without this a QoS 1 round trip takes 44 ms instead of 0.4 (Nagle against delayed acknowledgement)."""
    try:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    except OSError as error:  # a socket without the option still carries messages
        log.warning("TCP_NODELAY could not be set: %s", error)
