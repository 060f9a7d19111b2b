"""Returns, each a finding of its own: of one payment several may differ, on one day or on many."""

import pytest

from cloud.orders.at_risk import MoneyAtRisk
from cloud.payments.reconcile.days import Day
from cloud.payments.reconcile.differences import open_differences
from cloud.payments.reconcile.store import settle_by_hand
from tests.cloud.payments.reconciling import (
    a_nightly,
    all_findings,
    at,
    for_hours,
    nights,
    reconciled,
    refund_in_cabinet,
    sold,
)
from tests.cloud.tills import Till

pytestmark = pytest.mark.any_database
NOTHING_ELSE: list[MoneyAtRisk] = []


def states(till: Till, kind: str) -> list[str]:
    return [found.state for found in all_findings(till) if found.kind == kind]


def kopecks_at_risk(till: Till) -> list[int]:
    with till.world.database.read() as session:
        return [one.kopecks for one in open_differences(session, NOTHING_ELSE)]


@pytest.mark.both_databases
@pytest.mark.parametrize("first", [2, 3])
def test_the_second_part_returned_in_the_cabinet_is_booked_and_over_like_the_first(till: Till, first: int) -> None:
    """Regression: it was "asked again" for ever, in the first part's finding and on the first part's day."""
    till.world.clock.now = at(12)
    order_id, nightly = sold(till), a_nightly(till)
    for value, day in (("50.00", first), ("40.00", first + 2)):
        till.world.clock.now = at(13, day=day)
        refund_in_cabinet(till, order_id, value)
        till.world.clock.now = Day.of(till.world.now).due_at
        nights(nightly, till)
        assert states(till, "refunded_not_here").count("mending") == 1
        for_hours(nightly, till, 1)
    assert till.world.ledger(order_id)["refunded"] == 9000
    assert states(till, "refunded_not_here") == ["closed", "closed"]


@pytest.mark.both_databases
@pytest.mark.parametrize("later", [0, 3])
def test_what_a_person_has_settled_hides_no_other_return(till: Till, later: int) -> None:
    """Regression: it was the same finding, closed by a person, and the second return nobody had was told to nobody."""
    order_id = sold(till)
    till.world.clock.advance(later * 86400)
    till.world.refunded(till.world.payment(order_id).id, "rf-1", 5000)
    reconciled(till)
    [first] = [found for found in all_findings(till) if found.kind == "refunded_only_here"]
    till.world.database.transact(settle_by_hand, first.id, "ops@example.org", "paid out in cash", till.world.now)
    till.world.refunded(till.world.payment(order_id).id, "rf-2", 7000)
    reconciled(till)
    told = [(found.here, found.detail, found.state) for found in all_findings(till) if found.kind == first.kind]
    assert told == [(5000, "refund rf-1", "closed"), (7000, "refund rf-2", "open")]
    assert kopecks_at_risk(till) == [7000]


@pytest.mark.both_databases
def test_a_return_seen_by_two_days_is_one_finding_and_is_over_with_the_later(till: Till) -> None:
    """Its payment was begun before midnight: both days tell of it, and what is seen by neither is gone."""
    till.world.clock.now = at(23, 50)
    order_id, nightly = sold(till), a_nightly(till)
    till.world.clock.now = at(24, 10)
    refund_in_cabinet(till, order_id)
    till.world.clock.now = Day.of(at(12)).due_at
    for _ in range(5):
        nights(nightly, till)
        till.world.clock.advance(1000)
    assert states(till, "refunded_not_here") == ["open"], "nobody could ask"
    till.world.clock.now = Day.of(at(12)).next.due_at
    nights(nightly, till)
    assert states(till, "refunded_not_here") == ["mending"]
    assert len(kopecks_at_risk(till)) == 1
    for_hours(nightly, till, 1)
    assert states(till, "refunded_not_here") == ["closed"]
