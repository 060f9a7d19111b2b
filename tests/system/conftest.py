"""The shared worlds of the system tests, each a deployment there is: mended before each test, judged after it."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.dynamic_security import a_guarded_mosquitto
from tests.mosquitto import Mosquitto, a_mosquitto
from tests.postgres import PostgresServer
from tests.real_parts import MOSQUITTO, missing
from tests.system.complaints import check_none_since, written
from tests.system.promises import check_all_kept
from tests.system.world import World

DEVICES = ("m-001", "m-002", "m-003")
WORLDS = {"shared_world", "small_world", "guarded_world"}


@pytest.fixture(scope="package")
def broker_memory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file in which the shared world's broker keeps sessions and undelivered messages."""
    return tmp_path_factory.mktemp("mosquitto") / "mosquitto.db"


@pytest.fixture(scope="package")
def mosquitto(broker_memory: Path) -> Iterator[Mosquitto]:
    """The shared world's broker; a missing one skips its tests by name, and fails them when CI=true."""
    if MOSQUITTO.where is None:
        missing(MOSQUITTO)
    with a_mosquitto(broker_memory.parent) as broker:
        yield broker


@pytest.fixture(scope="package")
def shared_world(
    mosquitto: Mosquitto,
    postgres_server: PostgresServer,
    migrated_postgres: str,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[World]:
    """PostgreSQL, two web and two worker processes, three machines with their agents."""
    folder = tmp_path_factory.mktemp("world")
    with (
        postgres_server.fresh_database(like=migrated_postgres) as url,
        World(folder, mosquitto, url, webs=2, workers=2, devices=DEVICES) as world,
    ):
        yield world


@pytest.fixture
def world(shared_world: World, request: pytest.FixtureRequest) -> Iterator[World]:
    """The shared world, mended; afterwards every order in it is held against its promises once more."""
    request.node.user_properties += [("real part", "Mosquitto"), ("real part", "PostgreSQL")]
    with judged(shared_world):
        yield shared_world


@pytest.fixture(scope="package")
def small_world(mosquitto: Mosquitto, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """One process and one machine, on a broker of its own. (`mosquitto` is asked for so that a missing one skips.)"""
    folder = tmp_path_factory.mktemp("small")
    with (
        a_mosquitto(folder / "mosquitto") as broker,
        World(folder, broker, f"sqlite:///{folder}/coffee.db", webs=0, workers=0) as world,
    ):
        yield world


@pytest.fixture
def one_process(small_world: World) -> Iterator[World]:
    """The small world, mended and judged as the shared one."""
    with judged(small_world):
        yield small_world


@pytest.fixture(scope="package")
def guarded_world(
    postgres_server: PostgresServer, migrated_postgres: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[World]:
    """Two web processes and a worker at a broker that is told who may do what; the machine has no agent yet."""
    folder = tmp_path_factory.mktemp("guarded")
    with (
        a_guarded_mosquitto(folder / "broker") as broker,
        postgres_server.fresh_database(like=migrated_postgres) as url,
        World(folder / "world", broker, url, webs=2, agents=False,
              limits={"COFFEE_BROKER_RIGHTS": "dynamic-security"}) as running,
    ):  # fmt: skip
        yield running


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Each of these worlds once, whatever the number of test processes."""
    for item in items:
        for name in WORLDS.intersection(getattr(item, "fixturenames", ())):
            item.add_marker(pytest.mark.xdist_group(name))


@contextmanager
def judged(world: World, forgiven: Iterable[str] = ()) -> Iterator[None]:
    """Mended before, judged after. `forgiven`: words of errors that the test itself causes in our programs."""
    world.mend()
    marks = written(world.programs)
    try:
        yield
    finally:
        print(world.logs())  # shown only when the test fails
    check_all_kept(world)
    check_none_since(marks, forgiven)
