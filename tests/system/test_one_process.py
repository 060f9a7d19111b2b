"""The small deployment, `coffee-cloud run` on SQLite: killed (-9) at every step of an order and started again."""

import pytest

from tests.system.promises import let_leases_run_out, wait_kept
from tests.system.test_worker_killed import MAY_FAIL, MOMENTS
from tests.system.world import World

pytestmark = pytest.mark.long


@pytest.fixture
def world(one_process: World) -> World:
    return one_process


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
