"""Connects a paho client for a stand-in, and returns once its subscriptions stand."""

import socket
import threading
from typing import Any
from urllib.parse import urlsplit

from paho.mqtt.client import Client

WITHIN_S = 20.0


def connected_client(client: Client, url: str, topics: list[str]) -> Client:
    """The same client, connected, subscribed with QoS 1, its network thread running."""
    subscribed = threading.Event()

    def on_subscribe(*_: Any) -> None:
        subscribed.set()

    def no_delay(_client: Client, _data: Any, line: Any) -> None:
        line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    client.on_subscribe = on_subscribe
    client.on_socket_open = no_delay
    parts = urlsplit(url)
    client.connect(parts.hostname or "127.0.0.1", parts.port or 1883)
    client.subscribe([(topic, 1) for topic in topics])
    client.loop_start()
    if not subscribed.wait(WITHIN_S):
        raise TimeoutError("the broker does not answer")
    return client
