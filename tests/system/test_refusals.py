"""Every code with which the machine refuses a drink, and silence: nothing is poured, the money goes back."""

import pytest

from protocol.reasons import RejectCode
from tests.system.promises import wait_kept
from tests.system.world import World

ALWAYS = (RejectCode.NO_WATER, RejectCode.BUSY, RejectCode.TOO_LATE)


@pytest.mark.parametrize(
    "code", [pytest.param(code, marks=[] if code in ALWAYS else pytest.mark.long) for code in RejectCode]
)
def test_a_drink_refused_with(code: RejectCode, world: World) -> None:
    world.machine.controls.switch_on(f"reject_{code}")
    bought = world.buy()
    ended = wait_kept(world, bought)
    assert (ended.status, ended.reason) == ("make_failed", f"rejected:{code}")
    assert (ended.touched, ended.kept, ended.returned_at_provider) == (0, 0, [ended.price])


def test_a_machine_that_hangs_pours_nothing_and_the_money_goes_back(world: World) -> None:
    bought = world.order()
    payment_id = world.payment_of(bought)
    world.machine.controls.switch_on("silent")
    world.provider.pay(payment_id)
    ended = wait_kept(world, bought)
    assert (ended.status, ended.touched, ended.kept, ended.returned_at_provider) == ("make_failed", 0, 0, [ended.price])
