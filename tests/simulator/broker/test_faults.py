"""What a test can break in the development broker, and that it breaks just that."""

import time

from simulator.broker import Broker
from tests.simulator.broker.clients import V3, text
from tests.simulator.broker.conftest import Clients
from tests.simulator.broker.test_sessions import LASTING
from tests.waiting import wait_until


def test_a_connection_is_dropped_when_ordered(development_broker: Broker, clients: Clients, root: str) -> None:
    watcher = clients(development_broker.port)
    watcher.subscribe(f"{root}/will")
    victim = clients(development_broker.port, will={"topic": f"{root}/will", "payload": "gone"})
    development_broker.faults.drop(victim.client_id)
    assert development_broker.clients == {watcher.client_id}
    victim.wait_until_dropped()
    watcher.expect("gone")


def test_a_connection_is_cut_in_the_middle_of_a_packet_to_the_client(
    development_broker: Broker, clients: Clients, root: str
) -> None:
    publisher = clients(development_broker.port)
    agent = clients(development_broker.port, **LASTING)
    agent.subscribe(root)
    development_broker.faults.drop_after(agent.client_id, sent=10)
    publisher.publish(root, "cut")
    agent.wait_until_dropped()
    assert not agent.messages
    agent.connect()
    assert agent.expect("cut")[0].dup


def test_a_connection_is_cut_in_the_middle_of_a_packet_from_the_client(
    development_broker: Broker, clients: Clients, root: str
) -> None:
    watcher, victim = clients(development_broker.port), clients(development_broker.port)
    watcher.subscribe(root)
    development_broker.faults.drop_after(victim.client_id, received=10)
    victim.start_publish(root, "cut")
    victim.wait_until_dropped()
    watcher.publish(root, "whole")
    watcher.expect("whole")


def test_exactly_the_bytes_allowed_are_sent(development_broker: Broker, clients: Clients) -> None:
    raw = clients.raw(development_broker.port)
    client_id = clients.new_id()
    raw.connect(client_id)
    development_broker.faults.drop_after(client_id, sent=3)
    raw.send_bytes(b"\xc0\0" * 4)
    assert raw.read() == (0xD0, b"")
    assert raw.rest() == b"\xd0"


def test_pubacks_are_withheld_until_released(development_broker: Broker, clients: Clients, root: str) -> None:
    watcher, publisher = clients(development_broker.port), clients(development_broker.port)
    watcher.subscribe(f"{root}/a")
    development_broker.faults.withhold_pubacks(publisher.client_id)
    sent = publisher.start_publish(f"{root}/a", "unacknowledged")
    watcher.expect("unacknowledged")
    publisher.subscribe(f"{root}/probe")
    assert not sent.is_published()
    development_broker.faults.release_pubacks()
    wait_until(sent.is_published, what="the PUBACK")


def test_pubacks_come_later(development_broker: Broker, clients: Clients, root: str) -> None:
    publisher = clients(development_broker.port)
    development_broker.faults.delay_pubacks(0.2)
    began = time.monotonic()
    sent = publisher.start_publish(root, "slow")
    wait_until(sent.is_published, what="the delayed PUBACK")
    assert time.monotonic() - began >= 0.2


def test_one_topic_is_refused(development_broker: Broker, clients: Clients, root: str) -> None:
    client = clients(development_broker.port)
    development_broker.faults.refuse_topic(f"{root}/bad")
    assert client.publish(f"{root}/bad", "x") == "Not authorized"
    assert client.subscribe(f"{root}/bad").is_failure
    assert not client.publish(f"{root}/good", "x").is_failure
    development_broker.faults.allow_topic(f"{root}/bad")
    assert not client.publish(f"{root}/bad", "x").is_failure


def test_a_refused_subscription_says_so_in_3_1_1_too(development_broker: Broker, clients: Clients, root: str) -> None:
    development_broker.faults.refuse_topic(root)
    assert clients(development_broker.port, V3).subscribe(root).is_failure


def test_delivery_stops_and_goes_on_where_it_stopped(development_broker: Broker, clients: Clients, root: str) -> None:
    agent, publisher = clients(development_broker.port), clients(development_broker.port)
    agent.subscribe(root)
    development_broker.faults.stop_delivering(agent.client_id)
    publisher.publish(root, "one")
    publisher.publish(root, "two")
    agent.subscribe(f"{root}/probe")
    assert not agent.messages
    development_broker.faults.resume_delivering(agent.client_id)
    agent.expect("one", "two")


def test_a_refused_message_of_quality_two_leaves_its_packet_id_free(
    development_broker: Broker, clients: Clients, root: str
) -> None:
    watcher = clients(development_broker.port)
    watcher.subscribe(f"{root}/#")
    development_broker.faults.refuse_topic(f"{root}/bad")
    raw = clients.raw(development_broker.port)
    raw.connect(clients.new_id())
    raw.send(0x34, text(f"{root}/bad") + b"\0\7" + b"\0" + b"refused")
    assert raw.read() == (0x50, b"\0\7\x87")
    raw.send(0x34, text(f"{root}/good") + b"\0\7" + b"\0" + b"accepted")
    assert raw.read() == (0x50, b"\0\7")
    watcher.expect("accepted")
