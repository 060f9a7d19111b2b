"""A backup is restored under real programs: what was sold since is found again, and every order ends as it should."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from cloud.orders.models import Order
from tests.mosquitto import Mosquitto, a_mosquitto
from tests.postgres import PostgresServer
from tests.system.promises import look, wait_kept
from tests.system.world import Bought, World
from tests.waiting import wait_until

pytestmark = [pytest.mark.long, pytest.mark.timeout(400)]
DEVICES = ("m-001", "m-002")


@pytest.fixture(params=["sqlite", "postgresql"])
def world(
    request: pytest.FixtureRequest, mosquitto: Mosquitto, tmp_path: Path, postgres_server: PostgresServer
) -> Iterator[World]:
    """A deployment of its own, its database to be put back. (`mosquitto` is asked for so that a missing one skips.)"""
    with a_mosquitto(tmp_path / "mosquitto") as broker:
        if request.param == "sqlite":
            with World(tmp_path, broker, f"sqlite:///{tmp_path}/coffee.db", webs=0, workers=0, devices=DEVICES) as made:
                yield made
            return
        with postgres_server.fresh_database() as url, World(tmp_path, broker, url, devices=DEVICES) as made:
            yield made


@pytest.mark.parametrize("capture", ["on_dispense", "immediate"])
def test_all_money_is_right_again(capture: str, world: World) -> None:
    world.apply(capture)
    before = world.buy()
    wait_kept(world, before)
    world.once("backup", str(world.folder / "coffee.backup"))
    poured, of_a_silent_agent = world.buy_at_once(DEVICES)
    for bought in (poured, of_a_silent_agent):
        wait_kept(world, bought)
    unpoured = world.order()
    payment = world.payment_of(unpoured)
    _stop_the_cloud(world)
    world.agents[DEVICES[1]].stop()
    world.provider.pay(payment)

    world.database.engine.dispose()
    world.once("restore", str(world.folder / "coffee.backup"), "--replace")
    for program in dict.fromkeys([*world.webs, *world.workers]):
        program._env["COFFEE_FAST_TRACK_S"] = "0.5"  # as if the restore had taken longer than a buyer waits
        program.start()
    world.wait_ready()

    for bought in (poured, unpoured, of_a_silent_agent):
        wait_until(lambda bought=bought: _is_known(world, bought), what="a forgotten order to be found")  # type: ignore[misc]  # a default binds the loop's order
    wait_kept(world, poured)
    assert wait_kept(world, unpoured).status == "make_failed"
    wait_until(lambda: look(world, of_a_silent_agent).reason == "restored", what="the order whose agent is away")
    assert not look(world, of_a_silent_agent).returned_at_provider
    assert "waiting_for_evidence" in world.once("at-risk")
    world.agents[DEVICES[1]].start()
    assert wait_kept(world, of_a_silent_agent).status == "successful"
    assert wait_kept(world, before).status == "successful"
    assert "No money is at risk" in world.once("at-risk")


def _is_known(world: World, bought: Bought) -> bool:
    with world.database.read() as session:
        return session.get(Order, bought.order_id) is not None


def _stop_the_cloud(world: World) -> None:
    for program in dict.fromkeys([*world.webs, *world.workers]):
        program.stop()
    for engine in (world.database.engine, *([world.database._group.engine] if world.database._group else [])):
        engine.dispose()
