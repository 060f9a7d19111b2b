"""What YooKassa keeps of a payment is taken from its own answers, over HTTP; what it does not say stays unknown."""

import pytest
from sqlalchemy import select

from cloud.orders.commissions import Commission
from cloud.orders.models import Payment
from protocol.reasons import Result
from simulator.yookassa.faults import Endpoint, FaultKind
from simulator.yookassa.instruments import income
from tests.cloud.payments.reconciling import kinds, reconciled, sold
from tests.cloud.tills import Till
from tests.cloud.worlds import PRICE


def known(till: Till) -> dict[str, int]:
    """By order."""
    asked = select(Payment.order_id, Commission.amount).join(Payment, Payment.id == Commission.payment_id)
    with till.world.database.read() as session:
        return dict(session.execute(asked).all())


@pytest.mark.any_database
def test_the_commission_is_what_the_provider_says(till: Till) -> None:
    order_id = sold(till)
    assert known(till) == {order_id: PRICE - income(PRICE, "bank_card")}
    assert 0 < known(till)[order_id] < PRICE // 10


def test_a_hold_that_was_cancelled_cost_nothing(till: Till) -> None:
    order_id = till.paid()
    till.world.publish(order_id)
    till.world.report(order_id, Result.REJECTED, "no_water")
    till.work()
    assert till.world.ledger(order_id)["canceled"] == PRICE
    assert known(till) == {}


@pytest.mark.any_database
def test_what_was_not_said_is_unknown_until_a_list_tells_it(till: Till) -> None:
    till.fault(FaultKind.INCOME_UNTOLD, Endpoint.ANY, times=None)
    order_id = sold(till)
    assert reconciled(till).is_clean
    assert known(till) == {}
    till.yookassa.faults.clear()
    report = reconciled(till)
    assert kinds(report) == {}
    assert known(till)[order_id] > 0
