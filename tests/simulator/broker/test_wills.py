"""The last will: published when a client is lost, at the right time, and never when it left properly."""

import time
from itertools import count
from typing import Any

from paho.mqtt.packettypes import PacketTypes

from tests.simulator.broker.clients import V5, Client, let_time_pass, properties, text
from tests.simulator.broker.conftest import Clients, UnderTest
from tests.waiting import wait_until


def a_will(root: str, delay_s: int = 0) -> dict[str, Any]:
    return {
        "topic": f"{root}/will",
        "payload": "gone",
        "qos": 1,
        "properties": properties(PacketTypes.WILLMESSAGE, WillDelayInterval=delay_s) if delay_s else None,
    }


def a_watcher(broker: UnderTest, clients: Clients, version: int = V5) -> Client:
    watcher = clients(broker.port, version)
    watcher.subscribe(f"{clients.root}/#")
    return watcher


def test_the_will_is_published_when_the_connection_breaks(
    broker_under_test: UnderTest, clients: Clients, version: int, root: str
) -> None:
    watcher = a_watcher(broker_under_test, clients, version)
    clients(broker_under_test.port, version, will=a_will(root)).vanish()
    watcher.expect("gone")


def test_the_will_is_forgotten_when_the_client_says_goodbye(
    broker_under_test: UnderTest, clients: Clients, version: int, root: str
) -> None:
    watcher = a_watcher(broker_under_test, clients, version)
    client = clients(broker_under_test.port, version, will=a_will(root))
    client.disconnect()
    clients(broker_under_test.port, version, client.client_id)  # its CONNACK: the broker saw the goodbye
    watcher.publish(f"{root}/later", "later")
    watcher.expect("later")


def test_a_goodbye_may_ask_for_the_will(broker_under_test: UnderTest, clients: Clients, root: str) -> None:
    watcher = a_watcher(broker_under_test, clients)
    raw = clients.raw(broker_under_test.port)
    head = b"\0\4MQTT\5\6\0\0" + b"\0" + text(clients.new_id())
    raw.send(0x10, head + b"\0" + text(f"{root}/will") + text("gone"))
    assert raw.read()[0] == 0x20
    raw.send(0xE0, b"\4")
    watcher.expect("gone")


def test_a_retained_will_is_there_for_those_who_come_later(
    broker_under_test: UnderTest, clients: Clients, version: int, root: str
) -> None:
    watcher = a_watcher(broker_under_test, clients, version)
    clients(broker_under_test.port, version, will={**a_will(root), "retain": True}).vanish()
    watcher.expect("gone")
    late = a_watcher(broker_under_test, clients, version)
    assert late.expect("gone")[0].retain


def test_a_client_that_falls_silent_is_given_up(broker_under_test: UnderTest, clients: Clients, root: str) -> None:
    watcher = a_watcher(broker_under_test, clients)
    raw = clients.raw(broker_under_test.port)
    head = b"\0\4MQTT\5\6\0\1" + b"\0" + text(clients.new_id())
    raw.send(0x10, head + b"\0" + text(f"{root}/will") + text("gone"))
    assert raw.read()[0] == 0x20
    watcher.expect("gone")
    assert raw.is_hung_up()


def test_a_delayed_will_is_cancelled_by_coming_back(broker_under_test: UnderTest, clients: Clients, root: str) -> None:
    """Who is too late for its will is no proof: then another tries."""
    watcher = a_watcher(broker_under_test, clients)
    lasting: dict[str, Any] = {"clean_start": False, "session_s": 3600}
    for number in count():
        will = a_will(root, delay_s=1) | {"payload": f"gone {number}"}
        client = clients(broker_under_test.port, will=will, **lasting)
        began = time.monotonic()
        client.vanish()
        back = clients(broker_under_test.port, client_id=client.client_id, **lasting)
        if time.monotonic() - began < 1:
            break
    let_time_pass(2.1)
    back.publish(f"{root}/back", "back")
    wait_until(lambda: "back" in watcher.payloads(), what="the news")
    assert will["payload"] not in watcher.payloads()


def test_a_delayed_will_comes_when_the_delay_is_over(broker_under_test: UnderTest, clients: Clients, root: str) -> None:
    watcher = a_watcher(broker_under_test, clients)
    client = clients(broker_under_test.port, will=a_will(root, delay_s=1), session_s=3600)
    began = time.monotonic()
    client.vanish()
    watcher.expect("gone")
    assert time.monotonic() - began >= 1
