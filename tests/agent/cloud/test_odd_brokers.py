"""The agent at brokers that are old, mad or gone: which version it speaks, and that it always comes back."""

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from agent.clock import Bell
from agent.cloud import link as link_module
from agent.cloud.mqtt import Connection
from agent.service import Service
from agent.settings import BrokerAddress, Settings
from simulator.broker import Broker
from tests.agent.agents import IMPATIENT
from tests.agent.cloud_side import DEVICE
from tests.mosquitto import Mosquitto
from tests.waiting import wait_until


class ScriptedBroker:
    """Answers each connection with what `answer(version)` says, then waits for its end; remembers the versions."""

    def __init__(self, answer: Callable[[int], bytes]) -> None:
        self._answer = answer
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._server.getsockname()[1]
        self.versions: list[int] = []
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        while True:
            try:
                line, _ = self._server.accept()
            except OSError:
                return
            with line:
                version = line.recv(4096).partition(b"MQTT")[2][0]
                self.versions.append(version)
                line.sendall(self._answer(version))
                while line.recv(4096):
                    pass

    def close(self) -> None:
        self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()
        self._thread.join(5)


@contextmanager
def an_agent_at(broker: ScriptedBroker, folder: Path) -> Iterator[Service]:
    settings = Settings(DEVICE, BrokerAddress("127.0.0.1", broker.port), str(folder / "no-port"), "x", folder / "s")
    service = Service(settings, IMPATIENT, {})
    service.start()
    yield service
    service.stop()
    broker.close()


def test_a_broker_without_mqtt_5_gets_3_1_1(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(link_module, "SHORTEST_PAUSE_S", 0.05)
    old = ScriptedBroker(lambda version: bytes([0x20, 0x02, 0x00, 0x01 if version == 5 else 0x00]))
    with an_agent_at(old, tmp_path):
        wait_until(lambda: len(old.versions) >= 2, what="two connects")
    assert old.versions[:2] == [5, 4]


def test_another_address_is_dialled_when_one_does_not_take_us(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(link_module, "SHORTEST_PAUSE_S", 0.05)
    refusing = ScriptedBroker(lambda _: bytes([0x20, 0x03, 0x00, 0x87, 0x00]))
    with Broker() as good, closing(refusing):
        addresses = BrokerAddress("127.0.0.1", refusing.port), BrokerAddress("127.0.0.1", good.port)
        port, profile, folder = str(tmp_path / "no-port"), "x", tmp_path / "s"
        service = Service(Settings(DEVICE, addresses[0], port, profile, folder, addresses[1:]), IMPATIENT, {})
        service.start()
        wait_until(lambda: DEVICE in good.clients, what="the agent at the other address")
        service.stop()


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_nonsense_of_the_broker_that_ends_the_librarys_thread_leads_to_a_new_connection(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(link_module, "SHORTEST_PAUSE_S", 0.05)
    accepted, nonsense = bytes([0x20, 0x03, 0x00, 0x00, 0x00]), bytes([0x32, 0x01, 0x00])
    mad = ScriptedBroker(lambda _: accepted + nonsense)
    with an_agent_at(mad, tmp_path):
        wait_until(lambda: len(mad.versions) >= 2, what="a second connect")


def test_a_connection_that_is_cut_tells_so_and_closes(mosquitto: Mosquitto) -> None:
    bell = Bell()
    connection = Connection(
        BrokerAddress("127.0.0.1", mosquitto.port),
        "passer-by",
        mqtt5=True,
        subscriptions=["coffee/v1/passer-by/command"],
        will=None,
        on_message=lambda *_: True,
        on_change=bell.ring,
    )
    connection.open()
    wait_until(lambda: connection.is_ready, what="the subscription")
    connection.drop("a test")
    assert connection.is_lost
    connection.close()
    connection.publish("coffee/v1/passer-by/report", b"{}")
