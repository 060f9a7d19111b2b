"""Several orders at the same time through two web and two worker processes: each is poured once and paid once."""

from protocol.reasons import Size
from tests.system.promises import wait_all_kept, wait_kept
from tests.system.world import World


def test_orders_at_three_machines_at_once(world: World) -> None:
    for ended in wait_all_kept(world, world.buy_at_once(world.devices)):
        assert (ended.status, ended.cups, ended.kept) == ("successful", 1, ended.price)


def test_a_second_order_at_a_machine_that_pours_gets_its_money_back(world: World) -> None:
    world.machine.controls.switch_on("slow")
    second = world.order(drink="latte", size=Size.LARGE)
    payment_id = world.payment_of(second)
    first = world.buy()
    world.agent.wait_says(" brewing ", first.order_id)
    world.provider.pay(payment_id)
    ended = wait_kept(world, second)
    assert (ended.status, ended.reason, ended.touched) == ("make_failed", "rejected:busy", 0)
    assert wait_kept(world, first).status == "successful"


def test_pressing_pay_on_two_servers_at_once_opens_one_payment(world: World) -> None:
    bought = world.order()
    answers = [world.open_payment(bought, url) for url in world.urls * 2]
    assert {answer.status_code for answer in answers} == {200}
    assert len({answer.json()["redirect_url"] for answer in answers}) == 1
    world.pay(bought)
    assert wait_kept(world, bought).status == "successful"
