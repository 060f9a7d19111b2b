"""Clients that break the protocol are let go, and nobody else notices."""

import random

import pytest

from tests.simulator.broker.clients import V5, text
from tests.simulator.broker.conftest import Clients, UnderTest

_CONNECT = b"\0\4MQTT\5\2\0\0\0" + text("somebody")


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"GET / HTTP/1.1\r\n\r\n", id="http"),
        pytest.param(b"\xc0\0", id="ping before connect"),
        pytest.param(b"\x10\xff\xff\xff\xff\x01", id="endless length"),
        pytest.param(b"\x10\x06\0\4MQXX", id="other protocol"),
        pytest.param(b"\x10\x0c\0\4MQTT\x09\2\0\0\0\0", id="protocol version 9"),
        pytest.param(b"\x10\x0d\0\4MQTT\5\3\0\0\0\0\0", id="reserved connect flag"),
        pytest.param(b"\x10\x0f\0\4MQTT\5\2\0\0\0\0\2\xff\xfe", id="client id not UTF-8"),
    ],
)
def test_a_connection_that_starts_wrong_is_closed(broker_under_test: UnderTest, clients: Clients, data: bytes) -> None:
    raw = clients.raw(broker_under_test.port)
    raw.send_bytes(data)
    assert raw.is_hung_up()


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"\x10" + bytes((len(_CONNECT),)) + _CONNECT, id="second connect"),
        pytest.param(b"\x36\6\0\1a\0\1\0", id="quality 3"),
        pytest.param(b"\x32\6\0\1a\0\0\0", id="packet id 0"),
        pytest.param(b"\x30\4\0\1#\0", id="published to a wildcard"),
        pytest.param(b"\x82\3\0\1\0", id="subscription to nothing"),
        pytest.param(b"\x80\7\0\1\0\0\1a\1", id="subscribe with wrong flags"),
        pytest.param(b"\x30\4\0\x09ab", id="topic longer than the packet"),
        pytest.param(b"\x30\6\0\1a\2\x11\0", id="property that does not belong"),
        pytest.param(b"\xf0\0", id="authentication nobody asked for"),
    ],
)
def test_a_client_that_breaks_the_protocol_is_let_go(
    broker_under_test: UnderTest, clients: Clients, data: bytes
) -> None:
    raw = clients.raw(broker_under_test.port)
    raw.connect(clients.new_id())
    raw.send_bytes(data)
    assert raw.is_hung_up()


def test_a_packet_may_come_byte_by_byte(broker_under_test: UnderTest, clients: Clients, root: str) -> None:
    watcher = clients(broker_under_test.port)
    watcher.subscribe(root)
    raw = clients.raw(broker_under_test.port)
    raw.connect(clients.new_id())
    message = text(root) + b"\0" + b"in pieces"
    for byte in bytes((0x30, len(message))) + message:
        raw.send_bytes(bytes((byte,)))
    watcher.expect("in pieces")


def test_two_hundred_connections_of_garbage_change_nothing_for_the_others(
    broker_under_test: UnderTest, clients: Clients, root: str, caplog: pytest.LogCaptureFixture
) -> None:
    client = clients(broker_under_test.port)
    client.subscribe(root)
    chance = random.Random(7)
    for number in range(200):
        raw = clients.raw(broker_under_test.port)
        if number % 2:
            raw.connect(clients.new_id(), V5)
        try:
            raw.send_bytes(chance.randbytes(chance.randrange(1, 300)))
        finally:
            raw.close()
    client.publish(root, "still here")
    client.expect("still here")
    assert not [record for record in caplog.records if record.levelname == "ERROR"]
