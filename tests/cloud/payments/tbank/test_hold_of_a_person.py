"""A hold at T-Bank that waits for a person: the bank names no end of it, so it stays until the bank lets it go."""

from collections.abc import Iterator

import pytest

from cloud.orders.order_limits import OrderLimits
from cloud.orders.tasks import Task
from tests.cloud.payments.contract.rig import Money
from tests.cloud.payments.contract.tbank_rig import TBankRig
from tests.cloud.payments.contract.till import ContractTill
from tests.cloud.worlds import PRICE, World

DAY_S = 24 * 3600.0


@pytest.fixture
def till(world: World) -> Iterator[ContractTill]:
    world.rules = OrderLimits(uncertain_returns_a_day=0)
    rig = TBankRig(world.clock, world)
    made = ContractTill(world, rig)
    yield made
    made.close()
    rig.close()


@pytest.mark.any_database
def test_it_waits_until_the_bank_lets_it_go_and_then_for_nobody(till: ContractTill) -> None:
    world, order_id = till.world, till.paid()
    world.publish(order_id)
    world.wait(world.rules.ack_timeout_s)
    world.wait(world.rules.uncertain_grace_s)
    world.wait(6.5 * DAY_S)
    till.work()
    assert world.payment(order_id).hold_expires_at is None
    assert world.order(order_id).waits_for_person
    assert (till.money(order_id), world.open_tasks(order_id, Task.CANCEL)) == (Money(held=PRICE), [])
    till.rig.time_passes(DAY_S)
    till.work(DAY_S)
    assert till.money(order_id) == Money()
    assert not world.order(order_id).waits_for_person
    assert "nothing_to_decide" in [change.event for change in world.history(order_id)]
