"""The cloud's end of the broker, as far as an agent sees it: welcomes, receipts, and a memory of everything said."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar
from urllib.parse import urlsplit

import paho.mqtt.client as paho
from msgspec import UNSET, UnsetType
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

from protocol.messages import (
    Accepted,
    Event,
    Hello,
    Make,
    Message,
    Outcome,
    Presence,
    Receipt,
    State,
    Welcome,
    decode_presence,
    decode_report,
    decode_state,
    encode,
)
from protocol.topics import Channel, parse, topic
from tests.waiting import wait_until

DEVICE = "m-001"
T = TypeVar("T", bound=Message)
_DECODERS = {Channel.REPORT: decode_report, Channel.PRESENCE: decode_presence, Channel.STATE: decode_state}


class CloudSide:
    """`heard` holds every message in order; `receipts` switches the receipts off."""

    def __init__(self, url: str, name: str = "cloud") -> None:
        self.heard: list[Any] = []
        self.receipts = True
        self.rival: str | UnsetType = UNSET
        """The session of another agent under the same name, if it has heard one."""
        self.takes: list[str] | UnsetType = UNSET
        """As an older cloud's welcome: it says nothing of events."""
        self.ahead = timedelta()
        """How far its clock is ahead of this machine's."""
        self._ready = threading.Event()
        self._client = paho.Client(CallbackAPIVersion.VERSION2, client_id=name, protocol=MQTTProtocolVersion.MQTTv5)
        self._client.on_connect = lambda client, *_: client.subscribe("coffee/v1/#", 1)
        self._client.on_subscribe = lambda *_: self._ready.set()
        self._client.on_message = self._take
        self._client.reconnect_delay_set(1, 1)
        parts = urlsplit(url)
        self._client.connect(parts.hostname or "", parts.port or 1883, clean_start=True)
        self._client.loop_start()
        assert self._ready.wait(10)

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    def command(self, message: Message) -> None:
        self.raw(encode(message))

    def raw(self, payload: bytes, channel: Channel = Channel.COMMAND, *, retain: bool = False) -> None:
        self._client.publish(topic(DEVICE, channel), payload, 1, retain).wait_for_publish(10)

    def make(self, command_id: str = "c1", order_id: str = "o1", *, within: float = 60.0) -> Make:
        """Order a drink now."""
        made = a_make(command_id, order_id, within)
        self.command(made)
        return made

    def all_of(self, kind: type[T]) -> list[T]:
        return [one for one in self.heard if isinstance(one, kind)]

    def outcomes(self, command_id: str = "c1") -> list[Outcome]:
        return [one for one in self.all_of(Outcome) if one.command_id == command_id]

    def outcome(self, command_id: str = "c1", timeout: float = 30.0) -> Outcome:
        wait_until(lambda: self.outcomes(command_id), timeout, what=f"an outcome of {command_id}")
        return self.outcomes(command_id)[-1]

    def wait_online(self, online: bool = True) -> Presence:
        def is_so() -> bool:
            said = self.all_of(Presence)
            return bool(said) and said[-1].online is online

        wait_until(is_so, what=f"presence online={online}")
        return self.all_of(Presence)[-1]

    def wait_ready(self) -> State:
        """Until the agent is there and tells of a machine that could pour."""
        self.wait_online()

        def is_ready() -> bool:
            states = self.all_of(State)
            return bool(states) and states[-1].machine == "ready" and states[-1].link == "up" and states[-1].selling

        wait_until(is_ready, what="a ready machine")
        return self.all_of(State)[-1]

    def _take(self, client: paho.Client, _: Any, message: paho.MQTTMessage) -> None:
        decode = _DECODERS.get(parse(message.topic).channel)
        if decode is None or not message.payload:
            return
        said = decode(bytes(message.payload))
        self.heard.append(said)
        answer: Message | None = None
        if isinstance(said, Hello):
            now = datetime.now(UTC) + self.ahead
            answer = Welcome(hello_id=said.hello_id, cloud_time=now, takes=self.takes, rival_session=self.rival)
        elif isinstance(said, Outcome | Accepted | Event) and self.receipts:
            answer = Receipt(message_ids=[said.message_id])
        if answer is not None:
            client.publish(topic(DEVICE, Channel.RECEIPT), encode(answer), 1)


def a_make(command_id: str, order_id: str, within: float) -> Make:
    """A command of this moment, sent to nobody yet."""
    now = datetime.now(UTC)
    return Make(
        command_id=command_id,
        order_id=order_id,
        attempt=1,
        drink_no="americano",
        size=1,
        price=17900,
        issued_at=now,
        deadline_at=now + timedelta(seconds=within),
    )


@contextmanager
def a_cloud_side(url: str, name: str = "cloud") -> Iterator[CloudSide]:
    side = CloudSide(url, name)
    try:
        yield side
    finally:
        side.close()
