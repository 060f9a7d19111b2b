"""The broker killed while a command is under way, started again with its memory and without it."""

from pathlib import Path

import pytest

from tests.mosquitto import Mosquitto
from tests.system.promises import wait_kept
from tests.system.restartable import wait_who_says
from tests.system.world import World

with_memory = pytest.mark.parametrize(
    "forgets", [False, pytest.param(True, marks=pytest.mark.long)], ids=["it remembers", "it forgets everything"]
)


@with_memory
def test_killed_while_the_drink_is_made(forgets: bool, world: World, mosquitto: Mosquitto, broker_memory: Path) -> None:
    bought = world.buy()
    world.agent.wait_says(" brewing ", bought.order_id)
    mosquitto.kill()
    come_back(mosquitto, broker_memory, forgets=forgets)
    assert wait_kept(world, bought).status == "successful"


@pytest.mark.long
@with_memory
def test_killed_while_it_keeps_the_command_for_an_agent_without_power(
    forgets: bool, world: World, mosquitto: Mosquitto, broker_memory: Path
) -> None:
    bought = world.order()
    payment_id = world.payment_of(bought)
    world.agent.kill()
    world.provider.pay(payment_id)
    wait_who_says(world.workers, "make published", bought.order_id)
    mosquitto.kill()
    come_back(mosquitto, broker_memory, forgets=forgets)
    world.agent.start()
    ended = wait_kept(world, bought)
    assert (ended.status, ended.touched) in {("successful", 1), ("make_failed", 0)}, "by whether it was in time"


@pytest.mark.long
@pytest.mark.parametrize("in_time", [True, False], ids=["back in time", "back too late"])
def test_down_when_the_order_is_paid(in_time: bool, world: World, mosquitto: Mosquitto) -> None:
    bought = world.order()
    payment_id = world.payment_of(bought)
    mosquitto.kill()
    world.provider.pay(payment_id)
    wait_who_says(world.workers, "order pending -> paid", bought.order_id)
    if not in_time:
        ended = wait_kept(world, bought)
        assert (ended.status, ended.reason, ended.touched) == ("make_failed", "not_sent", 0)
    mosquitto.start()
    world.wait_selling()
    assert wait_kept(world, bought).status in ({"successful", "make_failed"} if in_time else {"make_failed"})


def come_back(broker: Mosquitto, memory: Path, *, forgets: bool) -> None:
    if forgets:
        memory.unlink(missing_ok=True)
    broker.start()
