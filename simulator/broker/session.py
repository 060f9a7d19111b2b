"""What the broker owes one client: its subscriptions, the messages waiting, those not yet acknowledged. Pure."""

import logging
import math
from collections import deque
from dataclasses import dataclass, replace

from simulator.broker import topics
from simulator.broker.packets import Ack, Publish, Type, Wish
from simulator.broker.properties import Properties

log = logging.getLogger(__name__)

NEVER = math.inf
ROUNDING_S = 1e-6
"""What a sum of two times may be off."""


@dataclass(frozen=True, slots=True)
class Message:
    """A published message, whoever gets it; `expires_at` and every `now` here are seconds of one clock."""

    topic: str
    payload: bytes
    qos: int
    retain: bool
    properties: Properties
    origin: str
    expires_at: float = NEVER


@dataclass(frozen=True, slots=True)
class Subscription:
    """One filter of one client; `group` is set when it shares the messages with others."""

    wish: Wish
    filter: str
    group: str | None
    identifier: int | None

    def wants(self, message: Message, client_id: str) -> bool:
        if self.wish.no_local and message.origin == client_id:
            return False
        return topics.matches(self.filter, message.topic)


@dataclass(frozen=True, slots=True)
class Delivery:
    """A message as one client is to get it."""

    message: Message
    qos: int
    retain: bool
    identifiers: tuple[int, ...] = ()

    def packet(self, packet_id: int, now: float, *, dup: bool) -> Publish:
        """The PUBLISH to send now, its expiry counted down (rounded up: the broker never shortens a life)."""
        message, properties = self.message, self.message.properties
        if message.expires_at != NEVER or self.identifiers:
            left = math.ceil(message.expires_at - now - ROUNDING_S) if message.expires_at != NEVER else None
            properties = replace(
                properties,
                message_expiry=None if left is None else max(left, 0),
                subscription_identifiers=self.identifiers,
            )
        return Publish(message.topic, message.payload, self.qos, self.retain, dup, packet_id, properties)


class Session:
    """Outlives connections as long as the client asked for. At most `queue_limit` messages wait."""

    def __init__(self, client_id: str, queue_limit: int) -> None:
        self.client_id = client_id
        self.subscriptions: dict[str, Subscription] = {}
        self.is_connected = False
        self.lifetime = 0.0
        """Seconds it outlives its connection."""
        self.ends_at = NEVER
        self.will: Publish | None = None
        self.will_at = NEVER
        self.last_turn = 0
        """When it last got a message of a shared subscription, counted in turns."""
        self.dropped = 0
        """Messages lost because too many were waiting."""
        self._queue_limit = queue_limit
        self._window = 0
        self._waiting: deque[Delivery] = deque()
        self._unacknowledged: dict[int, Delivery] = {}
        self._received: set[int] = set()
        """QoS 2 messages the client said it has (PUBREC), so only PUBREL is owed."""
        self._again: deque[int] = deque()
        self._last_id = 0
        self._arrived: set[int] = set()
        """QoS 2 messages from the client that it has not released."""

    @property
    def waiting(self) -> int:
        """How many messages are queued or unacknowledged."""
        return len(self._waiting) + len(self._unacknowledged)

    def connected(self, window: int) -> None:
        """A connection begins; what is unacknowledged is owed again, at most `window` at a time."""
        self.is_connected = True
        self.ends_at = self.will_at = NEVER
        self._window = window
        self._again = deque(self._unacknowledged)

    def disconnected(self) -> None:
        self.is_connected = False

    def offer(self, delivery: Delivery) -> None:
        """Keep a message for the client: QoS 0 only while it is connected."""
        if delivery.qos == 0 and not self.is_connected:
            return
        if len(self._waiting) >= self._queue_limit:
            if self.dropped == 0:
                log.warning("%s: more than %d messages waiting, dropping", self.client_id, self._queue_limit)
            self.dropped += 1
            return
        self._waiting.append(delivery)

    def next_packet(self, now: float) -> Publish | Ack | None:
        """What to send now, oldest first; it counts as sent. None when nothing is owed or too much is under way."""
        while len(self._unacknowledged) - len(self._again) < self._window:
            if self._again:
                packet = self._redelivery(self._again.popleft(), now)
            elif self._waiting:
                packet = self._first_delivery(self._waiting.popleft(), now)
            else:
                return None
            if packet is not None:
                return packet
        return None

    def acknowledged(self, packet_id: int) -> bool:
        """PUBACK, PUBCOMP, or a PUBREC that refuses. False when nothing of that id was owed."""
        self._received.discard(packet_id)
        if packet_id in self._again:
            self._again.remove(packet_id)
        return self._unacknowledged.pop(packet_id, None) is not None

    def received(self, packet_id: int) -> bool:
        """PUBREC. False when nothing of that id was owed."""
        if packet_id in self._unacknowledged:
            self._received.add(packet_id)
        return packet_id in self._received

    def arrived(self, packet_id: int) -> bool:
        """A QoS 2 message from the client. False when it is a repetition."""
        is_new = packet_id not in self._arrived
        self._arrived.add(packet_id)
        return is_new

    def released(self, packet_id: int) -> bool:
        """PUBREL. False when there was nothing to release."""
        was_known = packet_id in self._arrived
        self._arrived.discard(packet_id)
        return was_known

    def _first_delivery(self, delivery: Delivery, now: float) -> Publish | None:
        if delivery.message.expires_at <= now:
            return None
        packet_id = 0
        if delivery.qos:
            packet_id = self._next_id()
            self._unacknowledged[packet_id] = delivery
        return delivery.packet(packet_id, now, dup=False)

    def _redelivery(self, packet_id: int, now: float) -> Publish | Ack | None:
        delivery = self._unacknowledged.get(packet_id)
        if delivery is None:
            return None
        if packet_id in self._received:
            return Ack(Type.PUBREL, packet_id)
        if delivery.message.expires_at <= now and delivery.qos == 1:
            del self._unacknowledged[packet_id]  # as Mosquitto: nobody wants it any more
            return None
        return delivery.packet(packet_id, now, dup=True)

    def _next_id(self) -> int:
        while True:
            self._last_id = self._last_id % 65_535 + 1
            if self._last_id not in self._unacknowledged:
                return self._last_id
