"""Agents without machines: one MQTT client that answers every command for machines nobody stands in for otherwise.

Also notes, for every machine, when the broker handed out its command: the cloud's part of the chain ends there.
"""

import threading
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import msgspec
from paho.mqtt.client import Client, MQTTMessage, MQTTv5
from paho.mqtt.enums import CallbackAPIVersion

from bench.mqtt import connected_client
from protocol.messages import Accepted, AnyMessage, Make, Message, Outcome, Presence, Receipt, encode
from protocol.reasons import Result, Spout
from protocol.topics import Channel, every, parse, topic


@dataclass(slots=True)
class FleetTimes:
    """Seconds since 1970."""

    commanded: dict[str, float] = field(default_factory=dict)
    """By order: its command came from the broker, for the first time."""
    repeated: int = 0
    """Commands that came again."""
    receipted: list[float] = field(default_factory=list)
    """The cloud said that it holds an outcome."""
    online: dict[str, float] = field(default_factory=dict)
    """By device: the first time it said that it is there."""


class Fleet:
    """`real` devices have an agent of their own. Each outcome the cloud holds gives one `permit` back."""

    def __init__(self, mqtt_url: str, real: Iterable[str], permits: Any) -> None:
        self._real = frozenset(real)
        self._permits = permits
        self._times = FleetTimes()
        self._lock = threading.Lock()
        self._decode = msgspec.json.Decoder(AnyMessage).decode
        client = Client(CallbackAPIVersion.VERSION2, client_id="bench-fleet", protocol=MQTTv5)
        client.max_inflight_messages_set(5000)
        client.on_message = self._on_message
        self._client = connected_client(
            client, mqtt_url, [every(Channel.COMMAND), every(Channel.RECEIPT), every(Channel.PRESENCE)]
        )

    def address(self) -> None:
        return None

    def take(self) -> FleetTimes:
        with self._lock:
            taken, self._times = self._times, FleetTimes()
        return taken

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    def _on_message(self, _client: Client, _data: Any, message: MQTTMessage) -> None:
        now = time.time()
        device_uuid, _ = parse(message.topic)
        match self._decode(message.payload):
            case Make() as make:
                self._commanded(device_uuid, make, now)
            case Receipt(message_ids=ids):
                self._receipted(device_uuid, ids, now)
            case Presence(online=True):
                with self._lock:
                    self._times.online.setdefault(device_uuid, now)

    def _commanded(self, device_uuid: str, make: Make, now: float) -> None:
        with self._lock:
            self._times.repeated += make.order_id in self._times.commanded
            self._times.commanded.setdefault(make.order_id, now)
        if device_uuid in self._real:
            return
        for said in self.answers(make):
            self._client.publish(topic(device_uuid, Channel.REPORT), encode(said), qos=1)

    def answers(self, make: Make) -> Sequence[Message]:
        """What a machine says that pours at once."""
        at, command_id, asked_for = datetime.now(UTC), make.command_id, make.order_id
        accepted = Accepted(message_id=f"a-{asked_for}", command_id=command_id, order_id=asked_for, at=at)
        done = Outcome(
            message_id=f"o-{asked_for}", command_id=command_id, order_id=asked_for, at=at,
            result=Result.DONE, out=Spout.FULL,
        )  # fmt: skip
        return accepted, done

    def _receipted(self, device_uuid: str, ids: list[str], now: float) -> None:
        outcomes = sum(message_id.startswith("o-") for message_id in ids)
        if device_uuid in self._real:
            return
        with self._lock:
            self._times.receipted += [now] * outcomes
        for _ in range(outcomes):
            self._permits.release()
