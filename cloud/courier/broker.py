"""The cloud's one connection to the MQTT broker: a quiet shell around paho. Knows no order and no message.

paho waits with `select` and so fails above 1024 open files: it lives in the worker, never beside the event streams.
"""

import contextlib
import logging
import queue
import random
import socket
import ssl
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any
from urllib.parse import unquote, urlsplit

from paho.mqtt.client import MQTT_ERR_SUCCESS, Client, MQTTMessage, MQTTv5
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from protocol.topics import Channel, every

log = logging.getLogger("cloud.courier.broker")

KEEPALIVE_S = 20
RECONNECT_S = (1, 2)
"""Seconds between two tries, the first ones and the later: a broker that is back is wanted at once, and we are few."""
MAX_IN_FLIGHT = 200
MAX_INBOX = 5000
"""Messages of devices waiting for us; beyond it the connection is dropped, and devices repeat what matters."""
SHARED_GROUP = "$share/workers/"
"""One worker of many gets each report; presence and state go to all, they are retained."""
ALL_DEVICES = (SHARED_GROUP + every(Channel.REPORT), every(Channel.PRESENCE), every(Channel.STATE))
"""What a worker hears. Whoever else connects must not join the group: its share of the reports would be lost."""


@dataclass(frozen=True)
class Received:
    """One message of a device."""

    topic: str
    payload: bytes
    mid: int
    qos: int
    retained: bool = False
    """Said before we were here."""


@dataclass(frozen=True)
class Acknowledged:
    """The broker's answer to one publish: `code` below 128 is good, 16 means that nobody is subscribed."""

    mid: int
    code: int


class NotConnected(ConnectionError):
    """No byte left us."""


class BrokerLink:
    """Connects, stays connected, publishes with QoS 1, hands received messages to a bounded queue."""

    def __init__(
        self,
        url: str,
        client_id: str,
        on_change: Callable[[], None] = lambda: None,
        user: str = "",
        password: str = "",
        listens_to: Sequence[str] = ALL_DEVICES,
    ) -> None:
        self.inbox: queue.Queue[Received] = queue.Queue(MAX_INBOX)
        self.acknowledged: queue.Queue[Acknowledged] = queue.Queue()
        self.on_change = on_change
        """Called from the network thread when the connection changed; like the next two it must return at once."""
        self.on_received = on_change
        """Something is in `inbox`."""
        self.on_answer = on_change
        """Something is in `acknowledged`."""
        self.connections = 0
        """How often the broker has accepted us; what was sent over an earlier connection is answered no more."""
        self._listens_to = listens_to
        self._connected = threading.Event()
        self._client = self._make(url, client_id, user, password)

    @property
    def connected(self) -> bool:
        """Whether the broker has accepted us."""
        return self._connected.is_set()

    def start(self) -> None:
        """Connect in the background, for ever."""
        self._client.connect_async(self._host, self._port, KEEPALIVE_S)
        self._client.loop_start()

    def stop(self) -> None:
        """Disconnect cleanly."""
        self._client.disconnect()
        self._client.loop_stop()
        self._connected.clear()

    def wait_connected(self, timeout: float) -> bool:
        """True once connected."""
        return self._connected.wait(timeout)

    def publish(self, topic: str, payload: bytes, expiry_s: int) -> int:
        """Send with QoS 1; the answer comes into `acknowledged` under the number given back.

        Raises `NotConnected`: nothing was sent. The broker drops the message after `expiry_s` seconds.
        """
        if not self.connected:
            raise NotConnected("no connection to the broker")
        info = self._client.publish(topic, payload, qos=1, properties=_expires_in(expiry_s))
        if info.rc != MQTT_ERR_SUCCESS:
            raise NotConnected(f"the client would not send (code {info.rc})")
        return info.mid

    def drop(self) -> None:
        """Break the connection: a broker does not repeat on a live one what we could not store."""
        connection = self._client.socket()
        if isinstance(connection, socket.socket):
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def ack(self, received: Received) -> None:
        """What the message said is safely stored."""
        self._client.ack(received.mid, received.qos)

    def _make(self, url: str, client_id: str, user: str, password: str) -> Client:
        parts = urlsplit(url)
        self._host = parts.hostname or "127.0.0.1"
        self._port = parts.port or (8883 if parts.scheme == "mqtts" else 1883)
        client = Client(CallbackAPIVersion.VERSION2, client_id=client_id, protocol=MQTTv5, manual_ack=True)
        if parts.scheme == "mqtts":
            client.tls_set_context(ssl.create_default_context())
        name = user or unquote(parts.username or "")
        if name:
            client.username_pw_set(name, password or unquote(parts.password or ""))
        client.max_inflight_messages_set(MAX_IN_FLIGHT)
        client.reconnect_delay_set(*RECONNECT_S)
        client.on_socket_open = _no_delay
        client.on_connect = self._on_connect
        client.on_disconnect = self._on_disconnect
        client.on_message = self._on_message
        client.on_publish = self._on_publish
        return client

    def _on_connect(self, client: Client, _data: Any, _flags: Any, code: ReasonCode, _properties: Any) -> None:
        if code.is_failure:
            log.error("the broker refuses us: %s", code)
            return
        client.drop_out_messages()  # paho would send old commands again, each with its whole expiry anew
        self.connections += 1
        if self._listens_to:
            client.subscribe([(topic, 1) for topic in self._listens_to])
        self._connected.set()
        log.info("connected to the broker")
        self.on_change()

    def _on_disconnect(self, _client: Client, _data: Any, _flags: Any, code: ReasonCode, _properties: Any) -> None:
        if self._connected.is_set():
            log.warning("connection to the broker lost: %s", code)
        self._connected.clear()
        self.on_change()

    def _on_message(self, _client: Client, _data: Any, message: MQTTMessage) -> None:
        try:
            self.inbox.put_nowait(
                Received(message.topic, bytes(message.payload), message.mid, message.qos, message.retain)
            )
        except queue.Full:
            log.error("inbox is full, connecting anew to get this again", extra={"topic": message.topic})
            self.drop()
            return
        self.on_received()

    def _on_publish(self, _client: Client, _data: Any, mid: int, code: ReasonCode, _properties: Any) -> None:
        self.acknowledged.put(Acknowledged(mid, code.value))
        self.on_answer()


@lru_cache
def _expires_in(seconds: int) -> Properties:
    """Made once: paho only reads it, and making one costs more than packing it."""
    properties = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]  # paho's own
    properties.MessageExpiryInterval = seconds
    return properties


def client_id_of(owner: str) -> str:
    """One id for each worker process: two with the same id would throw each other out."""
    return f"coffee-cloud-{owner}-{random.SystemRandom().randrange(2**32):08x}"


def _no_delay(_client: Client, _data: Any, connection: Any) -> None:
    """Without this a QoS 1 round trip takes 44 ms instead of 0.4 (Nagle against delayed acknowledgement)."""
    try:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    except OSError as error:  # a socket without the option still carries messages
        log.warning("TCP_NODELAY could not be set: %s", error)
