"""A part returned once the buyer's address is erased: its receipt goes to the merchant, or the part is refused."""

import pytest
from sqlalchemy import update

from cloud.fleet.models import Merchant
from cloud.orders import return_requests
from cloud.orders.operator_actions import WrongSum, give_back
from cloud.orders.return_requests import Asker, ReturnRequest, Wanted
from cloud.orders.return_rules import Limits, ReturnReason
from cloud.orders.tasks import Task
from tests.cloud.payments.fiscal_till import BUYER, CONTACT, FiscalTill
from tests.cloud.worlds import PRICE

pytestmark = pytest.mark.any_database

PART = 5000
WIDE = Limits(per_act=PRICE, per_person_day=2 * PRICE)
BY_TWO = Limits(per_act=0, per_person_day=0)


def write_to(fiscal: FiscalTill, address: str) -> None:
    """The merchant's address from now on."""
    fiscal.world.database.transact(
        lambda tx: tx.session.execute(update(Merchant).values(contact_email=address)) and None
    )


def ask(fiscal: FiscalTill, order_id: str, kopecks: int | None, limits: Limits = WIDE) -> ReturnRequest:
    world = fiscal.world
    wanted = Wanted(ReturnReason.BAD_DRINK, kopecks=kopecks)
    asked = world.database.transact(return_requests.ask, order_id, wanted, Asker("anna@example.org"), limits, world.now)
    fiscal.till.work()
    return asked


@pytest.mark.both_databases
@pytest.mark.parametrize("unusable", ["", "ops@кофе.рф"])
def test_a_part_nobody_can_have_the_receipt_of_is_refused_at_once(fiscal: FiscalTill, unusable: str) -> None:
    """Regression: it was taken, refused before the provider was asked, and tried again each hour for ever."""
    write_to(fiscal, unusable)
    order_id = fiscal.poured()
    fiscal.follow(300)
    assert not fiscal.keeps(BUYER)
    with pytest.raises(WrongSum) as refused:
        ask(fiscal, order_id, PART)
    assert (refused.value.code, refused.value.left) == ("sum_receipt", PRICE)
    assert fiscal.world.rows(order_id, Task.REFUND) == []
    ask(fiscal, order_id, None)
    assert fiscal.world.payment(order_id).refunded == PRICE, "the whole needs no receipt of ours"


def test_with_an_address_of_the_merchants_it_goes(fiscal: FiscalTill) -> None:
    order_id = fiscal.poured()
    fiscal.follow(300)
    ask(fiscal, order_id, PART)
    assert fiscal.world.payment(order_id).refunded == PART
    assert fiscal.sent(order_id, Task.REFUND)[0]["receipt"]["customer"] == {"email": CONTACT}


def test_as_long_as_the_buyers_address_is_kept_nobody_elses_is_needed(fiscal: FiscalTill) -> None:
    write_to(fiscal, "")
    order_id = fiscal.poured()
    ask(fiscal, order_id, PART)
    assert fiscal.sent(order_id, Task.REFUND)[0]["receipt"]["customer"] == {"email": BUYER}


def test_what_a_part_left_is_a_part_too(fiscal: FiscalTill) -> None:
    order_id = fiscal.poured()
    fiscal.follow(300)
    world = fiscal.world
    world.database.transact(give_back, order_id, PART, "anna@example.org", "sour", world.now)
    fiscal.till.work()
    write_to(fiscal, "")
    with pytest.raises(WrongSum, match="no address"):
        ask(fiscal, order_id, None)
    write_to(fiscal, CONTACT)
    ask(fiscal, order_id, None)
    assert world.payment(order_id).refunded == PRICE


def test_a_second_person_approves_no_part_whose_receipt_has_lost_its_address(fiscal: FiscalTill) -> None:
    write_to(fiscal, "")
    order_id = fiscal.poured()
    asked, world = ask(fiscal, order_id, PART, BY_TWO), fiscal.world
    fiscal.follow(300)
    with pytest.raises(WrongSum, match="no address"):
        world.database.transact(return_requests.approve, asked.id, "boris@example.org", world.now)
    assert world.rows(order_id, Task.REFUND) == []
