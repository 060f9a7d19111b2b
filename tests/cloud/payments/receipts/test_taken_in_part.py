"""A hold of which a person took a part in the provider's cabinet: its receipt is of that part."""

import pytest

from protocol.reasons import Result
from tests.cloud.payments.fiscal_till import FiscalTill
from tests.cloud.payments.receipts.test_registration import receipt_of

pytestmark = pytest.mark.any_database


@pytest.mark.both_databases
def test_the_receipt_of_a_hold_that_was_taken_in_part_is_of_that_part(fiscal: FiscalTill) -> None:
    """Regression: the tax authority had 100 roubles, and our books and the order's history told of the whole price."""
    order_id, part = fiscal.paid(), {"value": "100.00", "currency": "RUB"}
    capture = {"amount": part, "receipt": receipt_of(10000)}
    taken = fiscal.till.shop.post(f"/payments/{fiscal.till.provider_id(order_id)}/capture", capture)
    assert taken.status_code == 200, taken.text
    fiscal.till.look_at(order_id)
    fiscal.world.report(order_id, Result.DONE)
    fiscal.follow(300)
    [receipt] = fiscal.receipts(order_id)
    [told] = [line.evidence for line in fiscal.world.history(order_id) if line.event == "receipt_succeeded"]
    assert told is not None
    assert (receipt.state, receipt.amount, told["kopecks"]) == ("succeeded", 10000, 10000)
