"""The link to the broker: connects for ever, says when it is not connected, breaks off when it cannot keep up."""

import queue
import threading
from collections.abc import Iterator
from dataclasses import replace

import pytest

import cloud.courier.broker
from cloud.courier.broker import BrokerLink, NotConnected, client_id_of
from cloud.courier.broker_session import Session
from protocol.topics import Channel, topic
from simulator.broker import Broker
from tests.cloud.courier.rig import Machine
from tests.waiting import wait_until

TO = topic("m-001", Channel.COMMAND)


@pytest.fixture
def broker() -> Iterator[Broker]:
    with Broker() as made:
        yield made


@pytest.fixture
def link(broker: Broker) -> Iterator[BrokerLink]:
    made = BrokerLink(broker.url, "link")
    made.start()
    assert made.wait_connected(30)
    made.publish(TO, b"first", 10)
    made.acknowledged.get(timeout=30)  # the broker does things in order: it has our subscriptions, too
    yield made
    made.stop()


def test_nothing_is_sent_without_a_connection() -> None:
    link = BrokerLink("mqtt://127.0.0.1:1", "link")
    assert not link.connected
    with pytest.raises(NotConnected):
        link.publish(TO, b"x", 10)


def test_every_publish_is_answered_under_its_number(broker: Broker, link: BrokerLink) -> None:
    machine = Machine(broker.port).listen()
    numbers = [link.publish(TO, b"x", 10) for _ in range(5)]
    answers = [link.acknowledged.get(timeout=30) for _ in range(5)]
    assert sorted(answer.mid for answer in answers) == sorted(numbers)
    assert {answer.code for answer in answers} == {0}
    machine.client.disconnect()


def test_nobody_subscribed_is_told(link: BrokerLink) -> None:
    link.publish(TO, b"x", 10)
    assert link.acknowledged.get(timeout=30).code == 16


def test_the_connection_comes_back_by_itself_and_is_counted(broker: Broker, link: BrokerLink) -> None:
    changes: list[bool] = []
    link.on_change = lambda: changes.append(link.connected)
    broker.faults.drop("link")
    wait_until(lambda: link.connections == 2)
    assert changes[0] is False
    wait_until(lambda: changes[-1] is True)


def test_what_was_unanswered_is_not_repeated_by_the_client_itself(broker: Broker, link: BrokerLink) -> None:
    machine = Machine(broker.port).listen()
    broker.faults.withhold_pubacks("link")
    link.publish(TO, b"old", 60)
    wait_until(lambda: machine.client.payloads() == ["old"])
    broker.faults.drop("link")
    wait_until(lambda: link.connections == 2)
    link.publish(TO, b"new", 60)
    wait_until(lambda: "new" in machine.client.payloads())
    assert machine.client.payloads() == ["old", "new"]
    machine.client.disconnect()


def test_a_full_inbox_breaks_the_connection_instead_of_losing_quietly(broker: Broker, link: BrokerLink) -> None:
    link.inbox = queue.Queue(2)
    machine = Machine(broker.port)
    for number in range(3):
        machine.say(b"%d" % number)
    wait_until(lambda: link.connections >= 2, what="a new connection")  # and more, as the inbox stays full
    assert link.inbox.qsize() == 2
    machine.client.disconnect()


def test_what_comes_with_qos_0_takes_nobodys_place(
    broker: Broker, link: BrokerLink, caplog: pytest.LogCaptureFixture
) -> None:
    """Regression: no broker holds it back, and one machine's flood of it cut the line to all, again and again."""
    link.inbox = queue.Queue(2)
    flooding, honest = Machine(broker.port, "m-002"), Machine(broker.port)
    for _ in range(50):
        flooding.client.publish(topic("m-002", Channel.REPORT), b"flood", 0)
    flooding.say(b"done")
    honest.say(b"hello")
    assert {link.inbox.get(timeout=30).payload for _ in range(2)} == {b"done", b"hello"}
    assert link.connections == 1
    assert caplog.text.count("with QoS 0 discarded") == 1, "once in a while, not each"
    for machine in (flooding, honest):
        machine.client.disconnect()


def test_a_refused_password_is_said_and_tried_again(caplog: pytest.LogCaptureFixture) -> None:
    with Broker(users={"cloud": "right"}) as broker:
        link = BrokerLink(broker.url.replace("mqtt://", "mqtt://cloud:wr%6Fng@"), "link")
        link.start()
        wait_until(lambda: "the broker refuses us" in caplog.text)
        assert not link.connected
        assert "wrong" not in caplog.text
        link.stop()
        good = BrokerLink(broker.url, "link", user="cloud", password="right")
        good.start()
        assert good.wait_connected(30)
        good.stop()


def test_each_worker_has_a_name_of_its_own() -> None:
    assert client_id_of("host-1") != client_id_of("host-1")


def test_a_received_message_says_where_it_came_from(broker: Broker, link: BrokerLink) -> None:
    machine = Machine(broker.port)
    machine.say(b"hello")
    received = link.inbox.get(timeout=30)
    assert replace(received, mid=0).payload == b"hello"
    assert received.topic == topic("m-001", Channel.REPORT)
    link.ack(received)
    machine.client.disconnect()


def test_a_stop_while_paho_begins_leaves_the_parting_to_the_thread_that_dials(
    broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cloud.courier.broker, "LOOK_S", 0.01)
    begins, go_on, has_parted = threading.Event(), threading.Event(), threading.Event()
    start, close = threading.Thread.start, Session.close

    def start_late(thread: threading.Thread) -> None:
        if thread.name.startswith("paho") and thread.name.endswith("late"):
            begins.set()
            go_on.wait(60)
        start(thread)

    def close_and_tell(session: Session) -> None:
        close(session)
        has_parted.set()

    monkeypatch.setattr(threading.Thread, "start", start_late)
    monkeypatch.setattr(Session, "close", close_and_tell)
    link = BrokerLink(broker.url, "late")
    link.start()
    assert begins.wait(30)
    link.stop()
    assert not has_parted.is_set()
    go_on.set()
    assert has_parted.wait(30)
