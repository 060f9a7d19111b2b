"""Brokers that can do less: what CONNACK and SUBACK say is obeyed, and told; another address is tried."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest
from pytest_mock import MockerFixture

from cloud.courier.broker import BrokerLink, Received
from cloud.courier.reader_lease import LEASE_S, Reader
from protocol.topics import Channel, every, topic
from simulator.broker import Broker
from simulator.broker.limits import Limits, Sharing
from simulator.broker.switchboard import Switchboard
from tests.cloud.courier.rig import Machine
from tests.cloud.worlds import World, a_world
from tests.simulator.broker.clients import V3, Client
from tests.waiting import wait_until

pytestmark = pytest.mark.any_database

TO = topic("m-001", Channel.COMMAND)
Dialled = Callable[..., BrokerLink]


@pytest.fixture
def dialled() -> Iterator[Dialled]:
    """Makes links, and parts them at the end."""
    with ExitStack() as closing:

        def dial(url: str, name: str = "link") -> BrokerLink:
            link = BrokerLink(url, name)
            link.start()
            closing.callback(link.stop)
            return link

        yield dial


POORER = {
    "no shared subscriptions, as it says": Limits(sharing=Sharing.UNKNOWN),
    "no shared subscriptions, as it turns out": Limits(sharing=Sharing.UNANNOUNCED),
    "MQTT 3.1.1": Limits(mqtt5=False),
}


@pytest.mark.parametrize("limits", POORER.values(), ids=POORER.keys())
def test_a_broker_without_sharing_or_without_mqtt_5_carries_both_ways(limits: Limits, dialled: Dialled) -> None:
    with Broker(limits=limits) as broker:
        link = dialled(broker.url)
        assert link.wait_connected(30)
        assert (link.lacks_shares, link.is_listening) == (True, True)
        machine = Client(broker.port, "machine", V3)
        machine.connect()
        machine.subscribe(TO)
        machine.publish(topic("m-001", Channel.REPORT), b"hello")
        assert link.inbox.get(timeout=30).payload == b"hello"
        number = link.publish(TO, b"make", 10)
        assert link.acknowledged.get(timeout=30).mid == number
        wait_until(lambda: machine.payloads() == ["make"])
        machine.disconnect()


def test_a_refused_subscription_is_no_connection_and_is_told(
    dialled: Dialled, caplog: pytest.LogCaptureFixture
) -> None:
    with Broker() as broker:
        broker.faults.refuse_topic(every(Channel.STATE))
        link = dialled(broker.url)
        wait_until(lambda: "refuses our subscription" in link.trouble)
        assert not link.connected
        assert every(Channel.STATE) in link.trouble
        assert "refuses our subscription" in caplog.text
        broker.faults.allow_topic(every(Channel.STATE))
        assert link.wait_connected(30), "by itself"
        assert link.trouble == ""


def test_a_subscription_granted_with_qos_0_is_no_connection(dialled: Dialled, mocker: MockerFixture) -> None:
    """All of it would be discarded."""
    subscribe, most = Switchboard.subscribe, {"qos": 0}
    mocker.patch.object(Switchboard, "subscribe", lambda *wished: min(subscribe(*wished), most["qos"]))
    with Broker() as broker:
        link = dialled(broker.url)
        wait_until(lambda: "Granted QoS 0" in link.trouble)
        assert not link.connected
        most["qos"] = 1
        assert link.wait_connected(30), "by itself"


def test_addresses_are_tried_in_turn(dialled: Dialled) -> None:
    with Broker() as first, Broker() as second:
        first.close()
        link = dialled(f"{first.url},{second.url}")
        assert link.wait_connected(30)
        first.start()
        second.close()
        wait_until(lambda: link.connections == 2, what="the other address")
        link.publish(TO, b"x", 10)


def test_no_more_is_under_way_than_the_broker_takes(dialled: Dialled) -> None:
    with Broker(limits=Limits(receive_maximum=3)) as broker:
        link = dialled(broker.url)
        assert link.wait_connected(30)
        machine = Machine(broker.port).listen()
        broker.faults.withhold_pubacks("link")
        for number in range(5):
            link.publish(TO, b"%d" % number, 60)
        wait_until(lambda: len(machine.client.payloads()) == 3)
        broker.faults.release_pubacks()
        wait_until(lambda: len(machine.client.payloads()) == 5)
        machine.client.disconnect()


def test_no_more_is_given_to_us_than_we_hold(dialled: Dialled, mocker: MockerFixture) -> None:
    """Regression: a broker that gives more at once, as it may unless told, filled the inbox of each new connection."""
    for module in ("broker", "broker_session"):
        mocker.patch(f"cloud.courier.{module}.MAX_UNSTORED", 3)
    with Broker() as broker:
        link = dialled(broker.url)
        assert link.wait_connected(30)
        machine = Machine(broker.port)
        for number in range(5):
            machine.say(b"%d" % number)
        wait_until(lambda: broker.memory.sessions["link"].waiting == 5 or link.connections > 1)
        heard: list[Received] = []
        while len(heard) < 5:
            heard.append(link.inbox.get(timeout=30))
            link.ack(heard[-1])
        assert [received.payload for received in heard] == [b"0", b"1", b"2", b"3", b"4"]
        assert link.connections == 1
        machine.client.disconnect()


def test_what_came_over_a_former_connection_is_not_acknowledged_on_this_one(dialled: Dialled) -> None:
    """Its number now belongs to a message that nobody has stored yet."""
    with Broker() as broker:
        link = dialled(broker.url)
        assert link.wait_connected(30)
        machine = Machine(broker.port)
        machine.say(b"old")
        old = link.inbox.get(timeout=30)
        broker.faults.drop("link")
        wait_until(lambda: link.connections == 2)
        machine.say(b"new")
        new = link.inbox.get(timeout=30)
        assert old.mid == new.mid
        link.ack(old)
        session = broker.memory.sessions["link"]
        link.publish(TO, b"x", 10)
        link.acknowledged.get(timeout=30)  # the broker does things in order: it would have the acknowledgement
        assert session.waiting == 1
        link.ack(new)
        wait_until(lambda: session.waiting == 0)
        machine.client.disconnect()


def test_without_sharing_one_worker_hears_the_machines_and_another_takes_over(
    migrated_postgres_url: str, dialled: Dialled
) -> None:
    with a_world(migrated_postgres_url) as world, Broker(limits=Limits(sharing=Sharing.UNKNOWN)) as broker:
        links = [dialled(broker.url, f"link-{number}") for number in range(2)]
        readers = [Reader(world.database, link, f"w{number}") for number, link in enumerate(links)]

        def hearing() -> list[bool]:
            for reader in readers:
                reader.step(world.now)
            return [link.is_listening for link in links]

        wait_until(lambda: all(link.connected for link in links) and hearing() == [True, False], what="one to hear")
        machine = Machine(broker.port)
        machine.say(b"hello")
        assert links[0].inbox.get(timeout=30).payload == b"hello"
        readers.pop(0).end()
        wait_until(lambda: hearing()[1:] == [True], what="the other to hear at once")
        readers = [Reader(world.database, links[0], "w0")]  # and now the other dies without a word
        hearing()
        assert not links[0].is_listening
        world.clock.advance(LEASE_S + 1)
        wait_until(lambda: hearing()[0], what="who outlives the lease to hear")
        machine.client.disconnect()


def test_with_sharing_nobody_writes_a_lease(world: World, dialled: Dialled) -> None:
    with Broker() as broker:
        link = dialled(broker.url)
        reader = Reader(world.database, link, "w1")
        assert link.wait_connected(30)
        assert (reader.step(world.now) - world.now).total_seconds() >= 60
        assert link.is_listening
