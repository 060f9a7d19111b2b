"""One suite, two brokers: each test here that asks for `broker` runs against ours and against Mosquitto."""

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import pytest

from simulator.broker import Broker
from tests.mosquitto import Mosquitto
from tests.simulator.broker.clients import V3, V5, Client, RawClient


@dataclass(frozen=True)
class UnderTest:
    """`stop` and `start` keep port, sessions and retained messages."""

    port: int
    stop: Callable[[], object]
    start: Callable[[], object]


@pytest.fixture(params=["development", pytest.param("mosquitto", marks=pytest.mark.mosquitto)])
def broker_under_test(request: pytest.FixtureRequest) -> Iterator[UnderTest]:
    if request.param == "mosquitto":
        mosquitto: Mosquitto = request.getfixturevalue("mosquitto")
        yield UnderTest(mosquitto.port, mosquitto.stop, mosquitto.start)
    else:
        with Broker() as broker:
            yield UnderTest(broker.port, broker.close, broker.start)


@pytest.fixture
def development_broker() -> Iterator[Broker]:
    with Broker() as broker:
        yield broker


@pytest.fixture(params=[V3, V5], ids=["mqtt-3.1.1", "mqtt-5"])
def version(request: pytest.FixtureRequest) -> int:
    protocol: int = request.param
    return protocol


@pytest.fixture
def root() -> str:
    """The first topic level of this test: a broker elsewhere may be shared."""
    return f"t-{uuid4().hex[:12]}"


@dataclass
class Clients:
    """Makes clients, their ids unique, and ends them after the test."""

    root: str

    def __post_init__(self) -> None:
        self._made: list[Client] = []
        self._raw: list[RawClient] = []
        self._count = itertools.count(1)

    def new_id(self) -> str:
        return f"{self.root}-{next(self._count)}"

    def __call__(self, port: int, version: int = V5, client_id: str | None = None, **options: Any) -> Client:
        """A connected paho client."""
        client = Client(port, self.new_id() if client_id is None else client_id, version, **options)
        self._made.append(client)
        return client.connect()

    def raw(self, port: int) -> RawClient:
        client = RawClient(port)
        self._raw.append(client)
        return client

    def close(self) -> None:
        for client in self._made:
            client.disconnect()
        for raw in self._raw:
            raw.close()


@pytest.fixture
def clients(root: str) -> Iterator[Clients]:
    made = Clients(root)
    yield made
    made.close()
