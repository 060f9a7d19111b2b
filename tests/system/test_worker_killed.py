"""A worker killed (-9) at every step from the webhook to the capture; another, or the same one again, goes on."""

import pytest

from simulator.yookassa.faults import Endpoint, Fault, FaultKind
from tests.system.promises import let_leases_run_out, wait_kept
from tests.system.restartable import Restartable, kill_who_says, wait_who_says
from tests.system.world import World
from tests.waiting import wait_until

MOMENTS = {
    "paid": "order pending -> paid",
    "published": "make published",
    "sent": "order paid -> make_pending",
    "accepted": "event=machine_accepted",
    "successful": "-> successful",
    "capture owed": "capture owed",
}
ALWAYS = ("published", "accepted")
ENDS = ("-> successful", "-> make_failed")
MAY_FAIL = ("paid", "published")
"""Here the next worker may come too late for the deadline; then the money goes back."""


def moments(always: tuple[str, ...]) -> list[object]:
    return [pytest.param(name, marks=[] if name in always else pytest.mark.long) for name in MOMENTS]


@pytest.mark.parametrize("moment", moments(ALWAYS))
def test_one_of_two_workers_killed_when_it_says(moment: str, world: World) -> None:
    bought = world.buy()
    killed = kill_who_says(world.workers, MOMENTS[moment], bought.order_id)
    let_leases_run_out(world)
    ended = wait_kept(world, bought)
    killed.start()
    assert ended.status == "successful" or moment in MAY_FAIL


@pytest.mark.long
@pytest.mark.parametrize("moment", moments(()))
def test_all_workers_killed_when_one_says(moment: str, world: World) -> None:
    bought = world.buy()
    wait_who_says(world.workers, MOMENTS[moment], bought.order_id)
    for worker in world.workers:
        worker.restart()
    let_leases_run_out(world)
    assert wait_kept(world, bought).status == "successful" or moment in MAY_FAIL


@pytest.mark.long
def test_all_workers_killed_when_the_notification_is_stored(world: World) -> None:
    bought = world.order()
    payment_id = world.payment_of(bought)
    world.provider.pay(payment_id)
    wait_who_says(world.webs, "notification stored", payment_id)
    for worker in world.workers:
        worker.restart()
    let_leases_run_out(world)
    assert wait_kept(world, bought).status in {"successful", "make_failed"}


@pytest.mark.long
@pytest.mark.parametrize("after_commit", [False, True], ids=["before it is done", "after it is done"])
def test_all_workers_killed_while_the_provider_captures(after_commit: bool, world: World) -> None:
    world.provider.faults.add(Fault(FaultKind.HANG, Endpoint.CAPTURE, after_commit=after_commit, seconds=4))
    bought = world.buy()
    wait_until(lambda: not world.provider.faults.standing(), what="the capture to be asked for")
    for worker in world.workers:
        worker.restart()
    let_leases_run_out(world)
    assert wait_kept(world, bought).status == "successful"


def wait_who_is_at(world: World, moment: str, order_id: str) -> list[Restartable]:
    """Workers that have come to this moment of the order, or to its end: who was killed may have taken news with it."""
    found: list[Restartable] = []

    def somebody_is() -> bool:
        found[:] = [w for w in world.workers if w.says(moment, order_id) or any(w.says(end, order_id) for end in ENDS)]
        return bool(found)

    wait_until(somebody_is, what=f"{moment} or an end of {order_id}")
    return found


@pytest.mark.long
def test_orders_survive_workers_that_are_killed_again_and_again(world: World) -> None:
    for round_number in range(6):
        orders = world.buy_at_once(world.devices)
        for number, order in enumerate(orders):
            moment = list(MOMENTS.values())[(round_number + 2 * number) % len(MOMENTS)]
            for worker in wait_who_is_at(world, moment, order.order_id):
                worker.restart()
            let_leases_run_out(world)
        for order in orders:
            wait_kept(world, order)
        world.wait_selling()
