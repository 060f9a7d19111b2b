"""A fiscal receipt that is not registered is told of, however old its order is, until somebody has had time to act."""

from datetime import timedelta

import pytest

from cloud.alerts.incident import Condition
from cloud.alerts.kinds import Kind
from cloud.alerts.money_conditions import unregistered_receipts
from cloud.orders import archive
from cloud.orders.archiving import archive_some
from cloud.orders.operator_actions import give_back
from simulator.yookassa.state import Status
from tests.cloud.orders.test_archive import rolled_up
from tests.cloud.payments.fiscal_till import FiscalTill
from tests.cloud.worlds import START

pytestmark = pytest.mark.any_database

DAY_S = 24 * 3600.0


def told_of(fiscal: FiscalTill) -> list[Condition]:
    with fiscal.world.database.read() as session:
        return unregistered_receipts(session, fiscal.world.now)


def rests(fiscal: FiscalTill, order_id: str, after: int) -> bool:
    """Whether it does once all that has been at rest for so many days is packed away."""
    world = fiscal.world
    rolled_up(world)
    world.database.transact(archive_some, (START, ""), timedelta(days=after), world.now)
    with world.database.read() as session:
        return archive.holds(session, order_id)


@pytest.mark.both_databases
def test_the_refused_receipt_of_a_late_return_is_told_of(fiscal: FiscalTill) -> None:
    """Regression: only orders of the last seven days were looked at."""
    order_id = fiscal.poured()
    fiscal.follow(11 * DAY_S)
    assert told_of(fiscal) == []
    fiscal.registering(Status.CANCELED)
    world = fiscal.world
    world.database.transact(give_back, order_id, 5000, "op@example.org", "sour", world.now)
    fiscal.till.work()
    refunded_at = world.now
    fiscal.follow(300)
    assert fiscal.states(order_id) == ["succeeded", "canceled"]
    [seen] = told_of(fiscal)
    assert (seen.kind, seen.merchant_id) == (Kind.RECEIPT_REFUSED, "north")
    assert seen.facts == {"receipts": 1, "order": order_id}
    assert seen.since >= refunded_at
    fiscal.follow(6.5 * DAY_S)
    assert told_of(fiscal) == [seen]
    fiscal.follow(DAY_S)
    assert told_of(fiscal) == [], "nobody tells us that it was issued by hand"


def test_a_receipt_is_told_of_once_it_is_late_and_anew_when_it_is_refused_then(fiscal: FiscalTill) -> None:
    fiscal.registering(Status.PENDING)
    order_id = fiscal.poured()
    fiscal.follow(2.9 * DAY_S)
    assert told_of(fiscal) == []
    fiscal.follow(DAY_S)
    [late] = told_of(fiscal)
    fiscal.follow(10 * DAY_S)
    assert told_of(fiscal) == [late], "it is awaited still"
    fiscal.registering(Status.CANCELED)
    refused_from = fiscal.world.now
    fiscal.follow(DAY_S)
    assert fiscal.states(order_id) == ["canceled"]
    [refused] = told_of(fiscal)
    assert refused.since >= refused_from
    fiscal.follow(7 * DAY_S)
    assert told_of(fiscal) == []


def test_a_late_receipt_that_comes_after_all_is_told_of_no_more(fiscal: FiscalTill) -> None:
    fiscal.registering(Status.PENDING)
    fiscal.poured()
    fiscal.follow(4 * DAY_S)
    assert len(told_of(fiscal)) == 1
    fiscal.registering(Status.SUCCEEDED)
    fiscal.follow(DAY_S)
    assert told_of(fiscal) == []


def test_a_receipt_nobody_asks_about_any_more_is_told_of_a_while_longer(fiscal: FiscalTill) -> None:
    fiscal.registering(Status.PENDING)
    order_id = fiscal.poured()
    fiscal.follow(31 * DAY_S)
    assert fiscal.receipts(order_id)[0].given_up
    assert len(told_of(fiscal)) == 1
    fiscal.follow(7 * DAY_S)
    assert told_of(fiscal) == []


@pytest.mark.both_databases
@pytest.mark.parametrize(
    ("outcome", "days", "after"), [(Status.PENDING, 34, 30), (Status.CANCELED, 4, 2)], ids=["given up", "refused"]
)
def test_an_order_rests_only_once_its_receipt_is_told_of_no_more(
    fiscal: FiscalTill, outcome: Status, days: int, after: int
) -> None:
    """Regression: it was packed away, and the alert was over before its seven days."""
    fiscal.registering(outcome)
    order_id = fiscal.poured()
    fiscal.follow(days * DAY_S)
    assert not rests(fiscal, order_id, after)
    assert len(told_of(fiscal)) == 1
    fiscal.follow(4 * DAY_S)
    assert told_of(fiscal) == []
    assert rests(fiscal, order_id, after)
