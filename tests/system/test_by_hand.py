"""People in the provider's cabinet, while the drink is on its way: nothing is poured for money that is back."""

import os
import signal

import pytest
from sqlalchemy import select

from cloud.orders.models import Payment
from tests.system.promises import look, wait_kept
from tests.system.world import World
from tests.waiting import wait_until


@pytest.mark.long
def test_a_drink_refunded_in_the_cabinet_while_its_agent_stands_still_is_not_poured(world: World) -> None:
    """Regression: the refund was booked, the agent woke up inside the deadline, and poured."""
    world.apply("immediate")
    bought = world.order()
    payment_id = world.payment_of(bought)
    os.kill(world.agent.pid, signal.SIGSTOP)
    try:
        world.provider.pay(payment_id)
        wait_until(lambda: look(world, bought).status == "make_pending", what="the command")
        world.provider.provider.refund_in_cabinet(payment_id, None, "by hand")
        wait_until(lambda: refunded(world, payment_id), what="the refund in our books")
    finally:
        os.kill(world.agent.pid, signal.SIGCONT)
        world.apply("on_dispense")
    ended = wait_kept(world, bought)
    assert (ended.status, ended.touched, ended.kept) == ("make_failed", 0, 0)


def refunded(world: World, payment_id: str) -> int:
    with world.database.read() as session:
        return session.scalars(select(Payment.refunded).where(Payment.provider_payment_id == payment_id)).one()
