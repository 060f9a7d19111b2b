"""Publishing and subscribing, in both protocol versions: which client gets what, in which order, how often."""

import pytest

from tests.simulator.broker.clients import V3
from tests.simulator.broker.conftest import Clients, UnderTest
from tests.waiting import wait_until


@pytest.mark.parametrize("qos", [0, 1, 2])
def test_messages_arrive_once_and_in_order(
    broker_under_test: UnderTest, clients: Clients, version: int, root: str, qos: int
) -> None:
    publisher = clients(broker_under_test.port, version)
    subscriber = clients(broker_under_test.port, version)
    subscriber.subscribe(f"{root}/a", qos)
    numbers = [str(number) for number in range(30)]
    for number in numbers:
        publisher.start_publish(f"{root}/a", number, qos)
    assert {message.qos for message in subscriber.expect(*numbers)} == {qos}


@pytest.mark.parametrize(("published", "granted", "received"), [(2, 1, 1), (1, 2, 1), (1, 0, 0)])
def test_a_message_comes_with_the_lower_of_both_qualities(
    broker_under_test: UnderTest, clients: Clients, version: int, root: str, published: int, granted: int, received: int
) -> None:
    client = clients(broker_under_test.port, version)
    client.subscribe(root, granted)
    client.publish(root, "x", published)
    assert client.expect("x")[0].qos == received


def test_wildcards_match_levels_and_nothing_else(
    broker_under_test: UnderTest, clients: Clients, version: int, root: str
) -> None:
    publisher = clients(broker_under_test.port, version)
    one_level = clients(broker_under_test.port, version)
    all_below = clients(broker_under_test.port, version)
    one_level.subscribe(f"{root}/+/event")
    all_below.subscribe(f"{root}/m-1/#")
    for topic in ("m-1/event", "m-2/event", "m-1/event/more", "m-1", "event"):
        publisher.publish(f"{root}/{topic}", topic)
    publisher.publish(f"{root}/m-1/event", "end")
    one_level.expect("m-1/event", "m-2/event", "end")
    all_below.expect("m-1/event", "m-1/event/more", "m-1", "end")


def test_a_leading_wildcard_does_not_match_dollar_topics(
    broker_under_test: UnderTest, clients: Clients, version: int, root: str
) -> None:
    client = clients(broker_under_test.port, version)
    client.subscribe(f"+/{root}")
    client.publish(f"$hidden/{root}", "hidden")
    client.publish(f"shown/{root}", "shown")
    client.expect("shown")


def test_two_filters_of_one_client_do_not_repeat_a_message_of_another(
    broker_under_test: UnderTest, clients: Clients, root: str
) -> None:
    first = clients(broker_under_test.port, V3)
    second = clients(broker_under_test.port, V3)
    first.subscribe(f"{root}/#")
    second.subscribe(f"{root}/a")
    first.publish(f"{root}/b", "b")
    first.publish(f"{root}/a", "a")
    first.expect("b", "a")
    second.expect("a")


def test_after_unsubscribing_nothing_more_comes(
    broker_under_test: UnderTest, clients: Clients, version: int, root: str
) -> None:
    client = clients(broker_under_test.port, version)
    client.subscribe(f"{root}/a")
    client.subscribe(f"{root}/b")
    client.unsubscribe(f"{root}/a")
    client.publish(f"{root}/a", "a")
    client.publish(f"{root}/b", "b")
    client.expect("b")


def test_a_retained_message_greets_the_late_subscriber_until_it_is_cleared(
    broker_under_test: UnderTest, clients: Clients, version: int, root: str
) -> None:
    publisher = clients(broker_under_test.port, version)
    early = clients(broker_under_test.port, version)
    early.subscribe(f"{root}/+")
    publisher.publish(f"{root}/a", "old", retain=True)
    publisher.publish(f"{root}/a", "new", retain=True)
    assert [message.retain for message in early.expect("old", "new")] == [False, False]
    late = clients(broker_under_test.port, version)
    late.subscribe(f"{root}/+")
    assert late.expect("new")[0].retain

    publisher.publish(f"{root}/a", b"", retain=True)
    later = clients(broker_under_test.port, version)
    later.subscribe(f"{root}/+")
    publisher.publish(f"{root}/b", "live")
    later.expect("live")


def test_a_large_message_arrives_whole(broker_under_test: UnderTest, clients: Clients, version: int, root: str) -> None:
    client = clients(broker_under_test.port, version)
    client.subscribe(root)
    payload = bytes(range(256)) * 1200
    client.publish(root, payload)
    wait_until(lambda: client.messages, what="the large message")
    assert client.messages[0].payload == payload


def test_two_thousand_messages_lose_none(
    broker_under_test: UnderTest, clients: Clients, version: int, root: str
) -> None:
    publisher = clients(broker_under_test.port, version)
    subscriber = clients(broker_under_test.port, version)
    subscriber.subscribe(root)
    for number in range(2000):
        publisher.start_publish(root, str(number))
    wait_until(lambda: len(subscriber.messages) == 2000, timeout=60, what="2000 messages")
    assert subscriber.payloads() == [str(number) for number in range(2000)]


def test_a_malformed_filter_is_refused(broker_under_test: UnderTest, clients: Clients, root: str) -> None:
    raw = clients.raw(broker_under_test.port)
    raw.connect(clients.new_id(), V3)
    raw.send(0x82, b"\0\1" + b"\0\3a#b" + b"\1")
    try:
        first, body = raw.read()
    except ConnectionError:
        return  # the standard leaves it to the broker to answer or to hang up
    assert (first, body) == (0x90, b"\0\1\x80")
