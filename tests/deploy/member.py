"""One connection to the shipped broker: what it heard, and what the broker said to what it published."""

from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from tests.deploy.broker import CLOUD, PASSWORDS, ShippedBroker
from tests.waiting import wait_until

NOT_AUTHORIZED = 135
_WEEK_S = 7 * 24 * 3600


class Member:
    """Connected as `user` (None: anonymous) through its own listener: TLS for all but the cloud."""

    def __init__(
        self,
        broker: ShippedBroker,
        user: str | None,
        *,
        password: str | None = None,
        client_id: str | None = None,
        certificate: tuple[Path, Path] | None = None,
    ) -> None:
        self.heard: list[tuple[str, bytes]] = []
        self.verdict = ""
        """The broker's answer to our CONNECT."""
        self.is_thrown_out = False
        self._codes: dict[int, int] = {}
        self._subscribed: dict[int, list[int]] = {}
        name = client_id or user or "nobody"
        self._client = mqtt.Client(
            CallbackAPIVersion.VERSION2, client_id=name, protocol=mqtt.MQTTv5, reconnect_on_failure=False
        )
        if user is not None:
            self._client.username_pw_set(user, PASSWORDS[user] if password is None else password)
        if user != CLOUD:
            trust = broker.trust()
            if certificate is not None:
                trust.load_cert_chain(*certificate)
            self._client.tls_set_context(trust)
        self._client.on_connect = self._on_connect
        self._client.on_message = lambda _, __, message: self.heard.append((message.topic, bytes(message.payload)))
        self._client.on_publish = self._on_publish
        self._client.on_disconnect = self._on_disconnect
        self._client.on_subscribe = self._on_subscribe
        session = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]  # paho leaves it untyped
        session.SessionExpiryInterval = _WEEK_S
        port = broker.cloud_port if user == CLOUD else broker.machines_port
        self._client.connect("localhost", port, clean_start=False, properties=session)
        self._client.loop_start()
        wait_until(lambda: self.verdict, what="the broker to answer")

    def publish(self, topic: str, payload: bytes, *, retain: bool = False) -> int:
        """With QoS 1; the reason code of the broker's PUBACK, 128 and above for a refusal."""
        mid = self._client.publish(topic, payload, 1, retain).mid
        wait_until(lambda: mid in self._codes, what=f"the broker to answer a message for {topic}")
        return self._codes[mid]

    def send(self, topic: str, payload: bytes) -> None:
        """With QoS 1, without waiting for an answer."""
        self._client.publish(topic, payload, 1)

    def subscribe(self, *filters: str) -> list[int]:
        """The broker's answer to each."""
        _, mid = self._client.subscribe([(topic, 1) for topic in filters])
        wait_until(lambda: mid in self._subscribed, what="the broker to answer a subscription")
        return self._subscribed[mid or 0]

    def hears(self, *messages: tuple[str, bytes]) -> None:
        """Wait for these; fail if anything else came before, between or with them."""
        wait_until(lambda: len(self.heard) >= len(messages), what=f"{messages}, heard {self.heard}")
        assert self.heard == list(messages)

    def leave(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    def _on_connect(self, _: Any, __: Any, ___: Any, reason: Any, ____: Any) -> None:
        self.verdict = str(reason)

    def _on_publish(self, _: Any, __: Any, mid: int, reason: Any, ___: Any) -> None:
        self._codes[mid] = reason.value

    def _on_subscribe(self, _: Any, __: Any, mid: int, reasons: Any, ___: Any) -> None:
        self._subscribed[mid] = [reason.value for reason in reasons]

    def _on_disconnect(self, *_: Any) -> None:
        self.is_thrown_out = True

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.leave()


def refused(codes: Iterable[int]) -> bool:
    """Whether every one of these answers says: not authorized."""
    return set(codes) == {NOT_AUTHORIZED}
