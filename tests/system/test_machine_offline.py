"""A machine whose agent is not there: its command expires, the money goes back, and coming back it pours nothing."""

import pytest

from tests.system.promises import wait_kept
from tests.system.world import World


@pytest.mark.long
def test_the_agent_comes_back_long_after_the_deadline(world: World) -> None:
    bought = world.order()
    payment_id = world.payment_of(bought)
    world.agent.kill()
    world.provider.pay(payment_id)
    ended = wait_kept(world, bought)
    assert (ended.status, ended.touched) == ("make_failed", 0)
    world.agent.start()
    world.wait_selling(bought.device)
    after = world.buy(bought.device)
    assert wait_kept(world, after).status == "successful"
    assert wait_kept(world, bought).touched == 0
