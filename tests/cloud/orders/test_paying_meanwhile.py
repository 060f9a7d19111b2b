"""What the fleet's owner changes while a buyer pays."""

from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import delete, update

from cloud.database.base import Base
from cloud.fleet.models import Device, Drink, Merchant
from cloud.orders.money import PaymentState
from cloud.orders.paying import Account
from protocol.reasons import Result
from tests.cloud.worlds import HOLD, ONE_STAGE, World


def change_fleet(world: World, kind: type[Base], **values: Any) -> None:
    world.database.transact(lambda tx: tx.session.execute(update(kind).values(**values)))


@pytest.mark.parametrize("account", [HOLD, ONE_STAGE], ids=["hold", "one stage"])
def test_a_machine_closed_while_the_buyer_pays_pours_nothing(world: World, account: Account) -> None:
    order_id = world.scan()
    payment_id = world.start(order_id, account)
    world.tell(payment_id, PaymentState.PENDING)
    change_fleet(world, Device, status="closed")
    world.tell(payment_id, PaymentState.HELD if account is HOLD else PaymentState.CAPTURED)
    order = world.order(order_id)
    assert (order.status, order.reason, order.uncertain) == ("make_failed", "closed", False)
    assert (world.commands(order_id), world.open_tasks(order_id)) == ([], ["cancel" if account is HOLD else "refund"])


def test_a_drink_sold_before_the_contracts_end_or_off_the_menu_is_poured(sqlite_world: World) -> None:
    order_id = sqlite_world.scan()
    payment_id = sqlite_world.start(order_id)
    change_fleet(sqlite_world, Merchant, valid_until=sqlite_world.now.date() - timedelta(days=1))
    sqlite_world.database.transact(lambda tx: tx.session.execute(delete(Drink)))
    sqlite_world.tell(payment_id, PaymentState.HELD)
    assert (sqlite_world.status(order_id), sqlite_world.open_tasks(order_id)) == ("paid", ["make"])


def test_a_command_given_before_the_closing_goes_on(sqlite_world: World) -> None:
    order_id = sqlite_world.pay()
    change_fleet(sqlite_world, Device, status="closed")
    sqlite_world.publish(order_id)
    sqlite_world.report(order_id, Result.DONE)
    assert sqlite_world.status(order_id) == "successful"
