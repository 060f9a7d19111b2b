"""The two kinds of client the conformance suite has: paho, and bare bytes for what paho will not do."""

import socket
import time
from collections.abc import Sequence
from typing import Any, Self

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode
from paho.mqtt.subscribeoptions import SubscribeOptions

from tests.waiting import wait_until

V3 = paho.MQTTv311
V5 = paho.MQTTv5


def let_time_pass(seconds: float) -> None:
    """Only for what the protocol itself counts in seconds: keepalive, expiry, will delay."""
    time.sleep(seconds)


def properties(packet_type: int, **values: object) -> Properties:
    """`properties(PacketTypes.PUBLISH, MessageExpiryInterval=3)`"""
    made = Properties(packet_type)  # type: ignore[no-untyped-call] # paho leaves this module untyped
    for name, value in values.items():
        setattr(made, name, value)
    return made


def publish_properties(**values: object) -> Properties:
    return properties(PacketTypes.PUBLISH, **values)


def properties_of(message: paho.MQTTMessage) -> Any:
    """paho's properties have their names at run time only."""
    return message.properties


def _send_at_once(sock: Any) -> None:
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


class Client:
    """A paho client that keeps what it is told, and returns from each call when the broker has answered."""

    def __init__(
        self,
        port: int,
        client_id: str,
        version: int = V5,
        *,
        clean_start: bool = True,
        session_s: int = 0,
        keepalive: int = 60,
        manual_ack: bool = False,
        receive_maximum: int | None = None,
        user: tuple[str, str] | None = None,
        will: dict[str, Any] | None = None,
    ) -> None:
        self.client_id = client_id
        self.messages: list[paho.MQTTMessage] = []
        self.refusal: ReasonCode | None = None
        self.farewell: ReasonCode | None = None
        self.session_present = False
        self.welcome: Any = None
        self.paho: paho.Client
        self._answers: dict[int, list[ReasonCode]] = {}
        self._answered = False
        self._version, self._keepalive, self._port = version, keepalive, port
        self._clean_start, self._session_s, self._receive_maximum = clean_start, session_s, receive_maximum
        self._manual_ack, self._user, self._will = manual_ack, user, will

    def _a_process(self) -> paho.Client:
        """paho, knowing nothing of an earlier connection."""
        made = paho.Client(
            CallbackAPIVersion.VERSION2,
            self.client_id,
            clean_session=self._clean_start if self._version == V3 else None,
            protocol=MQTTProtocolVersion(self._version),
            reconnect_on_failure=False,
            manual_ack=self._manual_ack,
        )
        made.on_connect = self._on_connect
        made.on_disconnect = self._on_disconnect
        made.on_message = lambda client, data, message: self.messages.append(message)
        made.on_subscribe = lambda client, data, mid, codes, props: self._answers.update({mid: codes})
        made.on_unsubscribe = lambda client, data, mid, codes, props: self._answers.update({mid: codes})
        made.on_publish = lambda client, data, mid, code, props: self._answers.update({mid: [code]})
        made.on_socket_open = lambda client, data, sock: _send_at_once(sock)
        if self._user:
            made.username_pw_set(*self._user)
        if self._will:
            made.will_set(**self._will)
        return made

    def connect(self) -> Self:
        """Connect as a new process would, and return at the CONNACK; `refusal` says if it was a no."""
        self.paho, self._answered, self.farewell = self._a_process(), False, None
        if self._version == V5:
            asked: dict[str, object] = {"SessionExpiryInterval": self._session_s}
            if self._receive_maximum is not None:
                asked["ReceiveMaximum"] = self._receive_maximum
            self.paho.connect(
                "127.0.0.1",
                self._port,
                self._keepalive,
                clean_start=self._clean_start,
                properties=properties(PacketTypes.CONNECT, **asked),
            )
        else:
            self.paho.connect("127.0.0.1", self._port, self._keepalive)
        self.paho.loop_start()
        wait_until(lambda: self._answered, what=f"CONNACK for {self.client_id}")
        return self

    def subscribe(self, wanted: str, qos: int = 1, *, identifier: int | None = None, **options: Any) -> ReasonCode:
        if self._version == V5:
            extra = {"SubscriptionIdentifier": identifier} if identifier else {}
            _, mid = self.paho.subscribe(
                wanted,
                options=SubscribeOptions(qos, **options),
                properties=properties(PacketTypes.SUBSCRIBE, **extra),
            )
        else:
            _, mid = self.paho.subscribe(wanted, qos)
        return self._answer(mid)[0]

    def unsubscribe(self, wanted: str) -> None:
        _, mid = self.paho.unsubscribe(wanted)
        self._answer(mid)

    def publish(
        self, topic: str, payload: bytes | str = b"", qos: int = 1, *, retain: bool = False, **extra: object
    ) -> ReasonCode:
        """Publish and return what the broker answered (at once for QoS 0); `extra` are its properties."""
        sent = self.start_publish(topic, payload, qos, retain=retain, **extra)
        return self._answer(sent.mid)[0]

    def start_publish(
        self, topic: str, payload: bytes | str = b"", qos: int = 1, *, retain: bool = False, **extra: object
    ) -> paho.MQTTMessageInfo:
        props = publish_properties(**extra) if extra else None
        return self.paho.publish(topic, payload, qos, retain, props)

    def payloads(self) -> list[str]:
        return [message.payload.decode() for message in self.messages]

    def expect(self, *payloads: str) -> Sequence[paho.MQTTMessage]:
        """Wait until as many messages came, and fail if they are others."""
        wait_until(lambda: len(self.messages) >= len(payloads), what=f"{payloads}, got {self.payloads()}")
        assert self.payloads() == list(payloads)
        return self.messages

    def wait_until_dropped(self) -> None:
        wait_until(lambda: self.farewell is not None, what=f"the end of {self.client_id}'s connection")

    def disconnect(self) -> None:
        """Leave as the protocol wants it."""
        self.paho.disconnect()
        self.paho.loop_stop()

    def vanish(self) -> None:
        """Be gone without a DISCONNECT."""
        sock: Any = self.paho.socket()
        sock.shutdown(socket.SHUT_RDWR)
        self.wait_until_dropped()
        self.paho.loop_stop()

    def _answer(self, mid: int | None) -> list[ReasonCode]:
        assert mid is not None
        wait_until(lambda: mid in self._answers, what=f"the answer to request {mid}")
        return self._answers.pop(mid)

    def _on_connect(
        self, client: object, data: object, flags: paho.ConnectFlags, code: ReasonCode, props: Properties | None
    ) -> None:
        self.refusal = code if code.is_failure else None
        self.session_present, self.welcome = flags.session_present, props
        self._answered = True

    def _on_disconnect(
        self, client: object, data: object, flags: object, code: ReasonCode, props: Properties | None
    ) -> None:
        self.farewell = code


class RawClient:
    """Bytes on a socket. Sends what it is told, answers nothing by itself."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=10)
        _send_at_once(self._socket)
        self._buffer = b""

    def connect(
        self, client_id: str, version: int = V5, *, clean_start: bool = True, keepalive: int = 0, props: bytes = b""
    ) -> bytes:
        """Introduce itself; the CONNACK's body."""
        flags = bytes((2 if clean_start else 0,))
        head = b"\0\4MQTT" + bytes((version,)) + flags + keepalive.to_bytes(2, "big")
        self.send(0x10, head + (bytes((len(props),)) + props if version == V5 else b"") + text(client_id))
        first, body = self.read()
        assert first == 0x20
        return body

    def send(self, first: int, body: bytes) -> None:
        assert len(body) < 128
        self.send_bytes(bytes((first, len(body))) + body)

    def send_bytes(self, data: bytes) -> None:
        self._socket.sendall(data)

    def read(self) -> tuple[int, bytes]:
        """The next packet: first byte and body."""
        first, size, shift = self._take(1)[0], 0, 0
        while True:
            byte = self._take(1)[0]
            size |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return first, self._take(size)

    def rest(self) -> bytes:
        """Whatever comes until the broker closes; fails when it does not within the socket's timeout."""
        try:
            while more := self._socket.recv(65_536):
                self._buffer += more
        except ConnectionError:
            pass
        taken, self._buffer = self._buffer, b""
        return taken

    def is_hung_up(self) -> bool:
        """True once the broker has closed; fails when it does not within the socket's timeout."""
        self.rest()
        return True

    def close(self) -> None:
        self._socket.close()

    def _take(self, size: int) -> bytes:
        while len(self._buffer) < size:
            more = self._socket.recv(65_536)
            if not more:
                raise ConnectionError("the broker hung up")
            self._buffer += more
        taken, self._buffer = self._buffer[:size], self._buffer[size:]
        return taken


def text(value: str) -> bytes:
    return len(value).to_bytes(2, "big") + value.encode()
