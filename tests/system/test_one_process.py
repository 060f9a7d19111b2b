"""The small deployment, `coffee-cloud run` on SQLite: killed (-9) at every step of an order and started again."""

from collections.abc import Iterator

import pytest

from tests.mosquitto import Mosquitto, a_mosquitto
from tests.system.conftest import judged
from tests.system.promises import let_leases_run_out, wait_kept
from tests.system.test_worker_killed import MAY_FAIL, MOMENTS
from tests.system.world import World

pytestmark = pytest.mark.long


@pytest.fixture(scope="module")
def small(mosquitto: Mosquitto, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """One process and one machine, on a broker of its own. (`mosquitto` is asked for so that a missing one skips.)"""
    folder = tmp_path_factory.mktemp("small")
    with (
        a_mosquitto(folder / "mosquitto") as broker,
        World(folder, broker, f"sqlite:///{folder}/coffee.db", webs=0, workers=0) as world,
    ):
        yield world


@pytest.fixture
def world(small: World) -> Iterator[World]:
    with judged(small):
        yield small


@pytest.mark.parametrize("moment", MOMENTS)
def test_killed_when_it_says(moment: str, world: World) -> None:
    bought = world.buy()
    world.worker.wait_says(MOMENTS[moment], bought.order_id)
    world.worker.restart()
    let_leases_run_out(world)
    assert wait_kept(world, bought).status == "successful" or moment in MAY_FAIL


@pytest.mark.parametrize("moment", MOMENTS)
def test_killed_together_with_the_agent(moment: str, world: World) -> None:
    bought = world.buy()
    world.worker.wait_says(MOMENTS[moment], bought.order_id)
    for program in (world.worker, world.agent):
        program.restart()
    let_leases_run_out(world)
    assert wait_kept(world, bought).status in {"successful", "make_failed"}


def test_killed_while_a_buyer_opens_the_payment(world: World) -> None:
    bought = world.order()
    world.payment_of(bought)
    world.worker.restart()
    world.wait_ready()
    world.pay(bought)
    assert wait_kept(world, bought).status == "successful"
