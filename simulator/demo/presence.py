"""Waits until the machine's agent has said at the broker that it is there and sells. The demo's own ear."""

import threading
from typing import Any
from urllib.parse import urlsplit

from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion

from protocol.errors import WireError
from protocol.messages import decode_presence, decode_state
from protocol.topics import Channel, topic


class Ear:
    """Listens to one device's retained presence and state."""

    def __init__(self, mqtt_url: str, device_uuid: str) -> None:
        self._device_uuid = device_uuid
        self._changed = threading.Condition()
        self._online = False
        self._selling = False
        parts = urlsplit(mqtt_url)
        self._client = Client(CallbackAPIVersion.VERSION2)
        self._client.on_connect = self._on_connect
        self._client.on_message = self._on_message
        self._client.connect_async(parts.hostname or "127.0.0.1", parts.port or 1883)
        self._client.loop_start()

    def wait_selling(self, timeout: float) -> bool:
        """True once the machine can be sold from."""
        with self._changed:
            return self._changed.wait_for(lambda: self._online and self._selling, timeout)

    def close(self) -> None:
        """Stop listening."""
        self._client.disconnect()
        self._client.loop_stop()

    def _on_connect(self, client: Client, *_: Any) -> None:
        client.subscribe([(topic(self._device_uuid, channel), 1) for channel in (Channel.PRESENCE, Channel.STATE)])

    def _on_message(self, _client: Client, _data: Any, message: MQTTMessage) -> None:
        try:
            with self._changed:
                if message.topic.endswith(Channel.PRESENCE.value):
                    self._online = decode_presence(bytes(message.payload)).online
                else:
                    state = decode_state(bytes(message.payload))
                    self._selling = state.selling and state.link == "up"
                self._changed.notify_all()
        except WireError:
            return
