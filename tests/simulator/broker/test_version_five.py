"""What only MQTT 5 has: properties, expiry, shared subscriptions, subscription options, aliases."""

import time

import pytest
from paho.mqtt.packettypes import PacketTypes

from tests.simulator.broker.clients import let_time_pass, properties, properties_of, text
from tests.simulator.broker.conftest import Clients, UnderTest
from tests.waiting import wait_until


def test_request_and_response_properties_are_passed_on(
    broker_under_test: UnderTest, clients: Clients, root: str
) -> None:
    client = clients(broker_under_test.port)
    client.subscribe(root)
    client.publish(
        root,
        "ask",
        ResponseTopic=f"{root}/answer",
        CorrelationData=b"\0\1\2",
        ContentType="application/json",
        PayloadFormatIndicator=1,
        UserProperty=[("order", "17"), ("order", "18"), ("язык", "ру")],
    )
    passed = properties_of(client.expect("ask")[0])
    assert passed.ResponseTopic == f"{root}/answer"
    assert passed.CorrelationData == b"\0\1\2"
    assert passed.ContentType == "application/json"
    assert passed.PayloadFormatIndicator == 1
    assert passed.UserProperty == [("order", "17"), ("order", "18"), ("язык", "ру")]


def test_an_expired_message_reaches_neither_a_returning_nor_a_new_client(
    broker_under_test: UnderTest, clients: Clients, root: str
) -> None:
    publisher = clients(broker_under_test.port)
    away = clients(broker_under_test.port, clean_start=False, session_s=3600)
    away.subscribe(f"{root}/#")
    away.disconnect()
    publisher.publish(f"{root}/a", "stale", retain=True, MessageExpiryInterval=1)
    publisher.publish(f"{root}/b", "fresh", retain=True, MessageExpiryInterval=60)
    let_time_pass(2.1)
    away.connect()
    assert 0 < properties_of(away.expect("fresh")[0]).MessageExpiryInterval <= 58
    new = clients(broker_under_test.port)
    new.subscribe(f"{root}/#")
    assert 0 < properties_of(new.expect("fresh")[0]).MessageExpiryInterval <= 58


def test_a_message_delivered_at_once_has_its_whole_life_before_it(
    broker_under_test: UnderTest, clients: Clients, root: str
) -> None:
    client = clients(broker_under_test.port)
    client.subscribe(root)
    began = time.monotonic()
    client.publish(root, "make", MessageExpiryInterval=60)
    passed = properties_of(client.expect("make")[0])
    assert 59 - (time.monotonic() - began) <= passed.MessageExpiryInterval <= 60


def test_a_shared_subscription_gives_each_message_to_one_member(
    broker_under_test: UnderTest, clients: Clients, root: str
) -> None:
    publisher = clients(broker_under_test.port)
    members = [clients(broker_under_test.port) for _ in range(2)]
    outsider = clients(broker_under_test.port)
    outsider.subscribe(f"{root}/#")
    for member in members:
        member.subscribe(f"$share/workers/{root}/#")
    for number in range(20):
        publisher.publish(f"{root}/a", str(number))
    wait_until(lambda: sum(len(member.messages) for member in members) >= 20, what="20 messages shared")
    outsider.expect(*map(str, range(20)))
    shared = [payload for member in members for payload in member.payloads()]
    assert sorted(shared, key=int) == outsider.payloads()
    assert all(member.messages for member in members)


def test_no_local_keeps_a_client_from_hearing_itself(broker_under_test: UnderTest, clients: Clients, root: str) -> None:
    client, other = clients(broker_under_test.port), clients(broker_under_test.port)
    client.subscribe(root, noLocal=True)
    client.publish(root, "own")
    other.publish(root, "other's")
    client.expect("other's")


@pytest.mark.parametrize(
    ("handling", "greeted"), [(0, ["kept", "kept"]), (1, ["kept"]), (2, [])], ids=["always", "when new", "never"]
)
def test_retained_messages_come_when_the_subscription_asks_for_them(
    broker_under_test: UnderTest, clients: Clients, root: str, handling: int, greeted: list[str]
) -> None:
    client = clients(broker_under_test.port)
    client.publish(f"{root}/a", "kept", retain=True)
    client.subscribe(f"{root}/a", retainHandling=handling)
    client.subscribe(f"{root}/a", retainHandling=handling)
    client.publish(f"{root}/a", "end")
    client.expect(*greeted, "end")


def test_retain_as_published_keeps_the_flag(broker_under_test: UnderTest, clients: Clients, root: str) -> None:
    bridge, plain = clients(broker_under_test.port), clients(broker_under_test.port)
    bridge.subscribe(root, retainAsPublished=True)
    plain.subscribe(root)
    plain.publish(root, "kept", retain=True)
    assert bridge.expect("kept")[0].retain
    assert not plain.expect("kept")[0].retain


def test_a_message_names_the_subscription_it_came_by(broker_under_test: UnderTest, clients: Clients, root: str) -> None:
    client = clients(broker_under_test.port)
    client.subscribe(f"{root}/a", identifier=7)
    client.subscribe(f"{root}/b", identifier=300)
    client.publish(f"{root}/b", "b")
    client.publish(f"{root}/a", "a")
    found = [properties_of(message).SubscriptionIdentifier for message in client.expect("b", "a")]
    assert found == [[300], [7]]


def test_a_topic_alias_stands_for_the_topic_it_was_given(
    broker_under_test: UnderTest, clients: Clients, root: str
) -> None:
    client, watcher = clients(broker_under_test.port), clients(broker_under_test.port)
    watcher.subscribe(f"{root}/#")
    client.publish(f"{root}/a", "given", TopicAlias=1)
    client.publish("", "used", TopicAlias=1)
    client.publish(f"{root}/b", "given anew", TopicAlias=1)
    client.publish("", "used anew", TopicAlias=1)
    arrived = watcher.expect("given", "used", "given anew", "used anew")
    assert [message.topic for message in arrived] == [f"{root}/a", f"{root}/a", f"{root}/b", f"{root}/b"]


def test_an_alias_that_was_never_given_ends_the_connection(broker_under_test: UnderTest, clients: Clients) -> None:
    raw = clients.raw(broker_under_test.port)
    raw.connect(clients.new_id())
    raw.send(0x30, text("") + b"\3\x23\0\5" + b"lost")
    assert raw.is_hung_up()


def test_a_client_without_a_name_is_given_one(broker_under_test: UnderTest, clients: Clients) -> None:
    client = clients(broker_under_test.port, client_id="")
    assert client.welcome.AssignedClientIdentifier


def test_a_packet_larger_than_the_client_takes_is_not_sent(
    broker_under_test: UnderTest, clients: Clients, root: str
) -> None:
    publisher = clients(broker_under_test.port)
    raw = clients.raw(broker_under_test.port)
    raw.connect(clients.new_id(), props=b"\x27" + (100).to_bytes(4, "big"))
    raw.send(0x82, b"\0\1\0" + text(root) + b"\1")
    assert raw.read()[0] == 0x90
    publisher.publish(root, "x" * 200)
    publisher.publish(root, "small")
    assert raw.read()[1].endswith(b"small")


def test_the_publisher_is_told_that_nobody_listens(broker_under_test: UnderTest, clients: Clients, root: str) -> None:
    client = clients(broker_under_test.port)
    assert client.publish(root, "anybody?") == "No matching subscribers"
    client.subscribe(root)
    assert client.publish(root, "somebody?") == "Success"


def test_a_client_that_leaves_can_shorten_its_session(
    broker_under_test: UnderTest, clients: Clients, root: str
) -> None:
    client = clients(broker_under_test.port, clean_start=False, session_s=3600)
    client.subscribe(root)
    client.paho.disconnect(properties=properties(PacketTypes.DISCONNECT, SessionExpiryInterval=0))
    client.wait_until_dropped()
    client.paho.loop_stop()
    client.connect()
    assert not client.session_present
