"""A payment with a fiscal receipt that the backup does not know: its receipts go on."""

from pathlib import Path

import pytest

from cloud.orders.operator_actions import give_back
from cloud.orders.tasks import Task
from protocol.reasons import Result
from simulator.yookassa.faults import Endpoint, FaultKind
from simulator.yookassa.state import Status
from tests.cloud.backup.restoring import Restorable
from tests.cloud.payments.fiscal_till import CONTACT, FiscalTill

pytestmark = pytest.mark.any_database

PART = 5000


def forgotten(fiscal: FiscalTill, folder: Path) -> str:
    """Poured and paid since the backup, and found again at the provider."""
    there = Restorable(fiscal.till, folder)
    there.back_up()
    order_id = fiscal.poured()
    there.world.clock.advance(60)
    there.restore()
    there.come_to_rest()
    there.says(order_id, Result.DONE)
    there.come_to_rest()
    return order_id


@pytest.mark.both_databases
def test_a_part_of_what_was_paid_since_is_returned_with_a_receipt(fiscal: FiscalTill, tmp_path: Path) -> None:
    """Regression: it went without one, was refused by the shop, and was tried again each hour for ever."""
    order_id, world = forgotten(fiscal, tmp_path), fiscal.world
    world.database.transact(give_back, order_id, PART, "op@example.org", "sour", world.now)
    fiscal.till.work()
    assert world.payment(order_id).refunded == PART
    [paid] = fiscal.till.payments_there()
    [refund] = fiscal.sent(order_id, Task.REFUND)
    [item] = paid["receipt"]["items"]
    part = item | {"amount": {"value": "50.00", "currency": "RUB"}}
    assert refund["receipt"] == paid["receipt"] | {"customer": {"email": CONTACT}, "items": [part]}


@pytest.mark.parametrize("outcome", [Status.SUCCEEDED, Status.CANCELED])
def test_its_own_receipt_is_followed_to_its_end(fiscal: FiscalTill, tmp_path: Path, outcome: Status) -> None:
    fiscal.registering(outcome)
    order_id = forgotten(fiscal, tmp_path)
    fiscal.follow(300)
    assert fiscal.states(order_id) == [outcome.value]


def test_a_payment_whose_opening_was_under_way_keeps_the_receipt_it_has(fiscal: FiscalTill, tmp_path: Path) -> None:
    there = Restorable(fiscal.till, tmp_path)
    fiscal.till.fault(FaultKind.ERROR_500, Endpoint.CREATE, after_commit=True)
    order_id = fiscal.world.scan()
    fiscal.press(order_id)
    assert fiscal.world.payment(order_id).provider_payment_id is None
    there.back_up()
    fiscal.set_terms(vat_code=4)
    there.restore()
    there.restore_from_lists.step(fiscal.world.now)
    assert fiscal.world.payment(order_id).provider_payment_id
    assert [receipt.terms["vat_code"] for receipt in fiscal.receipts(order_id)] == [1]
