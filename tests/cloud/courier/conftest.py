"""A rig at the development broker, on each database; `mosquitto_rig` has a real Mosquitto instead."""

from collections.abc import Iterator

import pytest

from simulator.broker import Broker
from tests.cloud.courier.rig import Rig, a_rig
from tests.cloud.worlds import World, a_world
from tests.mosquitto import Mosquitto


@pytest.fixture
def broker() -> Iterator[Broker]:
    with Broker() as made:
        yield made


@pytest.fixture
def rig(world: World, broker: Broker) -> Iterator[Rig]:
    with a_rig(world, broker.port) as made:
        yield made.connect()


@pytest.fixture
def sqlite_rig(sqlite_world: World, broker: Broker) -> Iterator[Rig]:
    with a_rig(sqlite_world, broker.port) as made:
        yield made.connect()


@pytest.fixture
def postgres_rig(migrated_postgres_url: str, broker: Broker) -> Iterator[Rig]:
    with a_world(migrated_postgres_url) as world, a_rig(world, broker.port) as made:
        yield made.connect()


@pytest.fixture
def mosquitto_rig(sqlite_world: World, mosquitto: Mosquitto) -> Iterator[Rig]:
    with a_rig(sqlite_world, mosquitto.port) as made:
        yield made.connect()
