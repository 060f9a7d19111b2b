"""The development broker as a thing that is started and stopped: addresses, restarts, bounds."""

import socket

import pytest

from simulator.broker import Broker, Limits, NotLoopback
from tests.simulator.broker.clients import V3, V5
from tests.simulator.broker.conftest import Clients
from tests.simulator.broker.test_sessions import LASTING
from tests.waiting import wait_until


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.10", "example.org", ""])
def test_nothing_but_loopback_is_served(host: str) -> None:
    with pytest.raises(NotLoopback, match="loopback"):
        Broker(host=host)


def test_the_address_is_known_once_started(development_broker: Broker) -> None:
    assert development_broker.port
    assert development_broker.url == f"mqtt://127.0.0.1:{development_broker.port}"


def test_a_taken_port_is_an_error_at_the_start(development_broker: Broker) -> None:
    with pytest.raises(OSError, match="in use"):
        Broker(development_broker.port).start()


def test_a_second_close_does_nothing() -> None:
    broker = Broker().start()
    broker.close()
    broker.close()


def test_another_broker_goes_on_with_the_memory_or_without(clients: Clients, root: str) -> None:
    with Broker() as first:
        agent = clients(first.port, **LASTING)
        agent.subscribe(root)
    agent.wait_until_dropped()
    with Broker(first.port, memory=first.memory) as second:
        assert agent.connect().session_present
        assert second.clients == {agent.client_id}
    with Broker(first.port):
        assert not agent.connect().session_present


@pytest.mark.parametrize("version", [V3, V5])
def test_closing_tells_no_wills(clients: Clients, root: str, version: int) -> None:
    broker = Broker().start()
    watcher = clients(broker.port, version, **LASTING)
    watcher.subscribe(f"{root}/#")
    clients(broker.port, version, will={"topic": f"{root}/will", "payload": "gone", "qos": 1})
    broker.close()
    with Broker(broker.port, memory=broker.memory):
        watcher.connect()
        watcher.publish(f"{root}/end", "end")
        watcher.expect("end")


def test_a_client_that_is_taken_over_is_told_why(development_broker: Broker, clients: Clients) -> None:
    first = clients(development_broker.port)
    clients(development_broker.port, client_id=first.client_id)
    first.wait_until_dropped()
    assert first.farewell == "Session taken over"


def test_no_socket_waits_for_more_before_it_sends(development_broker: Broker, clients: Clients) -> None:
    clients(development_broker.port)
    lines = list(development_broker._lines)
    sockets = [line._transport.get_extra_info("socket") for line in lines]
    assert [one.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) for one in sockets] == [1]


def test_more_connections_than_allowed_are_closed_at_once(clients: Clients) -> None:
    with Broker(limits=Limits(connections=1)) as broker:
        client = clients(broker.port)
        assert clients.raw(broker.port).is_hung_up()
        assert broker.clients == {client.client_id}


def test_more_sessions_than_allowed_are_refused(clients: Clients) -> None:
    with Broker(limits=Limits(sessions=1)) as broker:
        clients(broker.port)
        assert clients(broker.port).refusal == "Quota exceeded"


def test_a_packet_larger_than_allowed_ends_its_connection(clients: Clients, root: str) -> None:
    with Broker(limits=Limits(packet_bytes=200)) as broker:
        client = clients(broker.port)
        client.publish(root, "x" * 100)
        raw = clients.raw(broker.port)
        raw.connect(clients.new_id())
        raw.send_bytes(b"\x30\x80\x02")
        assert raw.read() == (0xE0, b"\x95")
        assert raw.is_hung_up()


def test_a_client_that_does_not_introduce_itself_is_let_go(clients: Clients) -> None:
    with Broker(limits=Limits(silence_before_connect_s=0.1)) as broker:
        assert clients.raw(broker.port).is_hung_up()


def test_a_client_that_does_not_read_stops_being_served_and_the_others_do_not(clients: Clients, root: str) -> None:
    with Broker(limits=Limits(unread_bytes=1000, queued_messages=50)) as broker:
        deaf = clients.raw(broker.port)
        deaf_id = clients.new_id()
        deaf.connect(deaf_id)
        deaf.send(0x82, b"\0\1\0" + len(root).to_bytes(2, "big") + root.encode() + b"\0")
        client = clients(broker.port)
        payload = "x" * 100_000
        for _ in range(200):
            client.publish(root, payload)
        client.subscribe(f"{root}/own")
        client.publish(f"{root}/own", "fine")
        client.expect("fine")
        wait_until(lambda: broker.memory.sessions[deaf_id].dropped, what="messages dropped for the deaf client")
        assert broker.memory.sessions[deaf_id].waiting <= 50
