"""A world with a real broker between cloud and machine; publisher and listener are stepped by hand."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any

from cloud.courier.broker import PRESENCE_AND_STATE, REPORTS, BrokerLink
from cloud.courier.listener import Listener
from cloud.courier.message_counts import SENSELESS
from cloud.courier.presence_listener import PresenceListener
from cloud.courier.publisher import Publisher
from cloud.courier.welcomes import Welcomes
from cloud.metrics.counts import ALONE, Counter, Counts
from protocol.messages import (
    CommandMessage,
    Message,
    ReceiptMessage,
    decode_command,
    decode_receipt,
    encode,
)
from protocol.topics import Channel, topic
from tests.cloud.worlds import DEVICE, World
from tests.simulator.broker.clients import Client
from tests.waiting import wait_until


class Machine:
    """A device at the broker: what it got, in order; says what the test wants."""

    def __init__(self, port: int, device_uuid: str = DEVICE, client_id: str = "") -> None:
        self.device_uuid = device_uuid
        self.client = Client(port, client_id or f"device-{device_uuid}")
        self.client.connect()

    def listen(self) -> "Machine":
        self.client.subscribe(topic(self.device_uuid, Channel.COMMAND))
        self.client.subscribe(topic(self.device_uuid, Channel.RECEIPT))
        return self

    def say(self, message: Message | bytes, channel: Channel = Channel.REPORT, device_uuid: str = "") -> None:
        payload = message if isinstance(message, bytes) else encode(message)
        self.client.publish(topic(device_uuid or self.device_uuid, channel), payload)

    @property
    def commands(self) -> list[CommandMessage]:
        return [decode_command(m.payload) for m in self._got(Channel.COMMAND)]

    @property
    def receipts(self) -> list[ReceiptMessage]:
        return [decode_receipt(m.payload) for m in self._got(Channel.RECEIPT)]

    def expiries(self) -> list[Any]:
        """Seconds the broker would have kept each command."""
        return [m.properties.MessageExpiryInterval for m in self._got(Channel.COMMAND) if m.properties]

    def _got(self, channel: Channel) -> list[Any]:
        return [m for m in self.client.messages if m.topic == topic(self.device_uuid, channel)]


class Rig:
    """`link` is the cloud's connection to `port`."""

    def __init__(self, world: World, port: int, name: str) -> None:
        self.world, self.port, self.name = world, port, name
        url = f"mqtt://127.0.0.1:{port}"
        self.link = BrokerLink(url, name, listens_to=REPORTS)
        self.presence_link = BrokerLink(url, f"{name}-presence", listens_to=PRESENCE_AND_STATE, for_one_reader=True)
        self.publisher = Publisher(world.database, self.link, world.rules, "courier", world.clock)
        welcomes = Welcomes(world.database, self.link, world.clock)
        self.counts = Counts()
        self.listener = Listener(world.database, self.link, world.rules, welcomes, world.clock, self.counts)
        self.presence = PresenceListener(world.database, self.presence_link, welcomes, name, world.clock, self.counts)
        self.machines: list[Machine] = []

    def connect(self) -> "Rig":
        for link in (self.link, self.presence_link):
            link.start()
        assert self.link.wait_connected(30)
        assert self.presence_link.wait_connected(30)
        return self

    def machine(self, device_uuid: str = DEVICE, listening: bool = True) -> Machine:
        made = Machine(self.port, device_uuid, f"device-{len(self.machines)}")
        self.machines.append(made)
        return made.listen() if listening else made

    def publish(self) -> datetime:
        return self.publisher.step(self.world.now)

    def publish_until(self, reached: Callable[[], object], what: str = "the publisher's work") -> None:
        """Step the publisher as its loop would until `reached`."""

        def look() -> object:
            self.publish()
            return reached()

        wait_until(look, what=what)

    def hear_until(self, reached: Callable[[], object], what: str = "the listener's work") -> None:
        """Step the listeners as their loops would until `reached`."""

        def look() -> object:
            self.listener.step(self.world.now)
            self.presence.step(self.world.now)
            return reached()

        wait_until(look, what=what)

    def senseless(self, queue: str) -> float:
        """How many messages of this queue were counted as making no sense."""
        return self.counted(SENSELESS, queue)

    def counted(self, counter: Counter, queue: str) -> float:
        counted = self.counts.take()
        self.counts.give_back(counted)
        return counted.get((counter.name, (queue,), ALONE), 0)

    def close(self) -> None:
        for machine in self.machines:
            machine.client.disconnect()
        self.link.stop()
        self.presence_link.stop()


@contextmanager
def a_rig(world: World, port: int, name: str = "cloud-under-test") -> Iterator[Rig]:
    """A rig, taken down at the end."""
    rig = Rig(world, port, name)
    try:
        yield rig
    finally:
        rig.close()
