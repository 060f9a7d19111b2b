"""What a broker remembers of a client that is away, and what it repeats when the client is back."""

from typing import Any

from tests.simulator.broker.clients import V5, let_time_pass
from tests.simulator.broker.conftest import Clients, UnderTest

LASTING: dict[str, Any] = {"clean_start": False, "session_s": 3600}


def test_a_lasting_session_collects_messages_while_its_client_is_away(
    broker_under_test: UnderTest, clients: Clients, version: int, root: str
) -> None:
    publisher = clients(broker_under_test.port, version)
    agent = clients(broker_under_test.port, version, **LASTING)
    agent.subscribe(f"{root}/#")
    agent.disconnect()
    publisher.publish(f"{root}/a", "one", 1)
    publisher.publish(f"{root}/a", "two", 2)
    agent.connect()
    assert agent.session_present
    agent.expect("one", "two")


def test_a_clean_start_forgets_the_session(
    broker_under_test: UnderTest, clients: Clients, version: int, root: str
) -> None:
    publisher = clients(broker_under_test.port, version)
    first = clients(broker_under_test.port, version, **LASTING)
    first.subscribe(root)
    first.disconnect()
    publisher.publish(root, "missed")
    again = clients(broker_under_test.port, version, first.client_id, clean_start=True)
    assert not again.session_present
    publisher.publish(root, "not subscribed any more")
    again.subscribe(root)
    publisher.publish(root, "new")
    again.expect("new")


def test_a_session_ends_with_its_connection_unless_asked_to_last(
    broker_under_test: UnderTest, clients: Clients, root: str
) -> None:
    client = clients(broker_under_test.port, V5, clean_start=False, session_s=0)
    client.subscribe(root)
    client.disconnect()
    client.connect()
    assert not client.session_present


def test_a_session_lasts_as_long_as_asked_and_no_longer(
    broker_under_test: UnderTest, clients: Clients, root: str
) -> None:
    client = clients(broker_under_test.port, V5, **LASTING)
    client.subscribe(root)
    client.disconnect()
    hasty = clients(broker_under_test.port, V5, client.client_id, clean_start=False, session_s=1)
    assert hasty.session_present
    hasty.disconnect()
    let_time_pass(2.5)  # Mosquitto looks once a second
    hasty.connect()
    assert not hasty.session_present


def test_what_was_not_acknowledged_comes_again_marked_as_a_repetition(
    broker_under_test: UnderTest, clients: Clients, version: int, root: str
) -> None:
    publisher = clients(broker_under_test.port, version)
    agent = clients(broker_under_test.port, version, manual_ack=True, **LASTING)
    agent.subscribe(root)
    publisher.publish(root, "done")
    publisher.publish(root, "open")
    done, open_ = agent.expect("done", "open")
    agent.paho.ack(done.mid, done.qos)
    publisher.publish(root, "seen", 0)
    agent.expect("done", "open", "seen")
    agent.vanish()
    agent.messages.clear()
    agent.connect()
    again = agent.expect("open")[0]
    assert again.dup
    assert again.mid == open_.mid


def test_a_message_of_quality_two_is_not_repeated_after_it_was_received(
    broker_under_test: UnderTest, clients: Clients, root: str
) -> None:
    publisher = clients(broker_under_test.port)
    client_id = clients.new_id()
    lasting = b"\x11" + (3600).to_bytes(4, "big")
    first = clients.raw(broker_under_test.port)
    first.connect(client_id, clean_start=False, props=lasting)
    first.send(0x82, b"\0\1\0" + len(root).to_bytes(2, "big") + root.encode() + b"\2")
    assert first.read()[0] == 0x90
    publisher.start_publish(root, "once", 2)
    kind, body = first.read()
    assert kind == 0x34
    packet_id = body[2 + len(root) : 4 + len(root)]
    first.send(0x50, packet_id)
    assert first.read() == (0x62, packet_id)
    first.close()

    second = clients.raw(broker_under_test.port)
    assert second.connect(client_id, clean_start=False, props=lasting)[0] == 1
    assert second.read() == (0x62, packet_id)
    second.send(0x70, packet_id)
    second.send(0xC0, b"")
    assert second.read() == (0xD0, b"")


def test_a_repeated_publish_of_quality_two_is_passed_on_once(
    broker_under_test: UnderTest, clients: Clients, root: str
) -> None:
    subscriber = clients(broker_under_test.port)
    subscriber.subscribe(root, 2)
    raw = clients.raw(broker_under_test.port)
    raw.connect(clients.new_id())
    message = len(root).to_bytes(2, "big") + root.encode() + b"\0\7" + b"\0" + b"once"
    raw.send(0x34, message)
    assert raw.read()[0] == 0x50
    raw.send(0x3C, message)
    assert raw.read()[0] == 0x50
    raw.send(0x62, b"\0\7")
    assert raw.read()[0] == 0x70
    raw.send(0x34, message.replace(b"once", b"next"))
    assert raw.read()[0] == 0x50
    raw.send(0x62, b"\0\7")
    subscriber.expect("once", "next")


def test_the_second_client_of_a_name_takes_over(
    broker_under_test: UnderTest, clients: Clients, version: int, root: str
) -> None:
    first = clients(broker_under_test.port, version, **LASTING)
    first.subscribe(root)
    second = clients(broker_under_test.port, version, first.client_id, **LASTING)
    first.wait_until_dropped()
    assert second.session_present
    second.publish(root, "to whom?")
    second.expect("to whom?")
    assert not first.messages


def test_no_more_is_under_way_than_the_client_can_take(
    broker_under_test: UnderTest, clients: Clients, root: str
) -> None:
    publisher = clients(broker_under_test.port)
    agent = clients(broker_under_test.port, manual_ack=True, receive_maximum=2, **LASTING)
    agent.subscribe(root)
    for number in range(4):
        publisher.publish(root, str(number))
    agent.subscribe(f"{root}/probe")  # its SUBACK comes after whatever was sent
    for message in list(agent.expect("0", "1")):
        agent.paho.ack(message.mid, message.qos)
    agent.expect("0", "1", "2", "3")


def test_sessions_and_retained_messages_outlive_a_restart_of_the_broker(
    broker_under_test: UnderTest, clients: Clients, version: int, root: str
) -> None:
    publisher = clients(broker_under_test.port, version)
    agent = clients(broker_under_test.port, version, **LASTING)
    agent.subscribe(f"{root}/#")
    agent.disconnect()
    publisher.publish(f"{root}/kept", "retained", retain=True)
    publisher.publish(f"{root}/queued", "queued")
    publisher.disconnect()
    broker_under_test.stop()
    broker_under_test.start()
    agent.connect()
    assert agent.session_present
    agent.expect("retained", "queued")
    late = clients(broker_under_test.port, version)
    late.subscribe(f"{root}/#")
    late.expect("retained")


def test_an_unacknowledged_message_that_expires_while_its_client_is_away_does_not_come_back(
    broker_under_test: UnderTest, clients: Clients, root: str
) -> None:
    publisher = clients(broker_under_test.port)
    agent = clients(broker_under_test.port, manual_ack=True, **LASTING)
    agent.subscribe(root)
    publisher.publish(root, "stale", MessageExpiryInterval=1)
    publisher.publish(root, "fresh")
    agent.expect("stale", "fresh")
    agent.vanish()
    agent.messages.clear()
    let_time_pass(2.1)
    agent.connect()
    agent.expect("fresh")
