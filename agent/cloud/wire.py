"""One connection to the broker as the rest of this folder sees it, and the `Speaker` on the present one."""

import logging
from collections.abc import Callable
from typing import Protocol

from protocol.errors import WireError
from protocol.messages import Message, encode

log = logging.getLogger(__name__)


class Wire(Protocol):
    """One connection, as `mqtt.Connection` is."""

    is_ready: bool
    why_lost: str
    lacks_mqtt5: bool
    confirmed: int
    is_opening: bool
    """The broker is still being looked for."""
    is_unreachable: bool
    """It was not found: lost before it could say anything."""

    @property
    def is_lost(self) -> bool: ...

    @property
    def waits(self) -> bool: ...

    def open(self) -> None: ...

    def publish(self, topic: str, payload: bytes, *, retain: bool = False) -> int | None: ...

    def is_confirmed(self, ticket: int) -> bool: ...

    def wait_delivered(self, timeout: float) -> bool: ...

    def drop(self, why: str) -> None: ...

    def close(self) -> None: ...


Receive = Callable[[str, bytes, bool, float | None], bool]
"""`receive(topic, payload, retained, expires_in)`: True when the message may be acknowledged."""
Dial = Callable[[bool, bytes, Receive], Wire]
"""`dial(mqtt5, will, receive)` makes a connection that is not open yet."""


class ReportLine:
    """One connection, as the report sender sees it."""

    def __init__(self, wire: Wire, topic: str) -> None:
        self._wire = wire
        self._topic = topic
        self.is_confirmed = wire.is_confirmed

    def send(self, payload: bytes) -> int | None:
        return self._wire.publish(self._topic, payload)


class Speaker:
    """Says on the present connection what may be lost with it."""

    def __init__(self, report_topic: str) -> None:
        self._topic = report_topic
        self.wire: Wire | None = None

    @property
    def is_connected(self) -> bool:
        return self.wire is not None and self.wire.is_ready

    def say(self, message: Message) -> int | None:
        """A ticket, or None when it was not said."""
        wire = self.wire
        if wire is None or not wire.is_ready:
            return None
        try:
            return wire.publish(self._topic, encode(message))
        except WireError as error:
            log.error("cannot be said: %s", error)
            return None
