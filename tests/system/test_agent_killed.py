"""The agent killed (-9) at every step of a command, alone or with the workers; started again it finishes the order."""

import pytest
from sqlalchemy import select

from cloud.orders.models import MakeCommand
from tests.system.promises import let_leases_run_out, wait_kept
from tests.system.world import Bought, World
from tests.waiting import wait_until

MOMENTS = {
    "received": " received: ",
    "sent": " sent ",
    "accepted": " accepted ",
    "brewing": " brewing ",
    "done": " done ",
}
ALWAYS = ("received", "brewing")


def moments(always: tuple[str, ...]) -> list[object]:
    return [pytest.param(name, marks=[] if name in always else pytest.mark.long) for name in MOMENTS]


@pytest.mark.parametrize("moment", moments(ALWAYS))
def test_killed_when_it_says(moment: str, world: World) -> None:
    bought = world.buy()
    world.agent.wait_says(MOMENTS[moment], bought.order_id)
    world.agent.restart()
    ended = wait_kept(world, bought)
    assert ended.status == "successful" or moment == "received"


@pytest.mark.long
@pytest.mark.parametrize("moment", moments(()))
def test_killed_with_all_workers_when_it_says(moment: str, world: World) -> None:
    bought = world.buy()
    world.agent.wait_says(MOMENTS[moment], bought.order_id)
    for program in (world.agent, *world.workers):
        program.restart()
    let_leases_run_out(world)
    ended = wait_kept(world, bought)
    assert ended.status == "successful" or moment == "received"


@pytest.mark.long
@pytest.mark.parametrize("moment", [moment for moment in MOMENTS if moment != "done"])
def test_killed_and_back_only_after_the_money_went_back(moment: str, world: World) -> None:
    """Late truth corrects the books and never starts a drink."""
    bought = world.buy()
    world.agent.wait_says(MOMENTS[moment], bought.order_id)
    world.agent.kill()
    wait_until(lambda: is_returned(world, bought), 60, what="the hold to be gone")
    cups = world.machine.cups(bought.order_id)
    world.agent.start()
    wait_until(lambda: is_answered(world, bought), 60, what="the agent's own word of what became of it")
    ended = wait_kept(world, bought)
    assert ended.cups == cups
    assert (ended.status, ended.goodwill) == (("successful", True) if cups else ("make_failed", False))


@pytest.mark.long
def test_a_command_taken_in_before_the_power_cut_is_not_poured_after_its_deadline(world: World) -> None:
    bought = world.buy()
    world.agent.wait_says(" received: ", bought.order_id)
    world.agent.kill()
    touched = len(world.machine.poured(bought.order_id))
    wait_until(lambda: is_returned(world, bought), 60, what="the hold to be gone")
    world.agent.start()
    wait_until(lambda: is_answered(world, bought), 60, what="the agent's own word of what became of it")
    assert wait_kept(world, bought).touched == touched


def is_answered(world: World, bought: Bought) -> bool:
    """It has done with the command: whatever it was going to pour is poured by then."""
    with world.database.read() as session:
        return session.scalars(select(MakeCommand.result).filter_by(order_id=bought.order_id)).one() is not None


def is_returned(world: World, bought: Bought) -> bool:
    (payment,) = world.payments(bought)
    return payment.released > 0
