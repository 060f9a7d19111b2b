"""Every day that is over is reconciled once, by any worker and however long none ran; and nothing stays silent."""

import logging
import threading
from dataclasses import replace
from datetime import date, timedelta

import pytest
from sqlalchemy import select, update

from cloud.database.transaction import Transaction
from cloud.fleet import accounts
from cloud.fleet.models import Credential, Device, DeviceLive
from cloud.orders import archive
from cloud.payments.reconcile.days import Day
from cloud.payments.reconcile.ledger_view import ShopKey, first_payments
from cloud.payments.reconcile.models import Reconciliation
from cloud.payments.reconcile.nightly import CATCH_UP_DAYS, Interrupted, Nightly, Patience
from cloud.payments.reconcile.reconciler import Reconciler, Report
from cloud.payments.reconcile.store import RETURNS_FOLLOWED, settle_by_hand
from protocol.reasons import Result
from simulator.yookassa.behaviour import Behaviour
from simulator.yookassa.faults import Endpoint, FaultKind
from tests.cloud.database.test_indexes import listening
from tests.cloud.payments.reconciling import (
    a_nightly,
    a_reconciler,
    all_findings,
    at,
    change_payment,
    for_hours,
    kinds,
    nights,
    reconciled,
    refund_in_cabinet,
    sold,
)
from tests.cloud.tills import Till
from tests.cloud.worlds import ACCOUNT, PRICE

pytestmark = pytest.mark.any_database

DAY = Day.of(at(12))


def rows(till: Till, scenario: str = "Yookassa") -> list[Reconciliation]:
    with till.world.database.read() as session:
        found = select(Reconciliation).where(Reconciliation.scenario == scenario).order_by(Reconciliation.day)
        return list(session.scalars(found))


def days(till: Till) -> list[date]:
    return [row.day for row in rows(till)]


def test_a_day_is_reconciled_once_it_has_been_over_for_three_hours(till: Till) -> None:
    till.world.clock.now = at(12)
    sold(till)
    nightly = a_nightly(till)
    for moment in (at(23), at(26, 59)):
        till.world.clock.now = moment
        nights(nightly, till)
        assert DAY.date not in days(till)
    till.world.clock.now = at(27, 1)
    nights(nightly, till)
    [row] = [row for row in rows(till) if row.day == DAY.date]
    assert (row.complete, row.next_at, row.payments_there) == (True, None, 1)
    asked = len(till.yookassa.faults.standing())
    assert asked == 0
    ran_at = row.ran_at
    till.world.clock.advance(3600)
    nights(nightly, till)
    assert next(row for row in rows(till) if row.day == DAY.date).ran_at == ran_at, "and no second time"


def test_days_nobody_worked_are_caught_up(till: Till) -> None:
    till.world.clock.now = at(12)
    order_id = sold(till)
    change_payment(till, order_id, captured=1)
    till.world.clock.now = at(12, day=8)
    nights(a_nightly(till), till)
    assert days(till) == [DAY.date + timedelta(days=number) for number in range(6)]
    assert [found.day for found in all_findings(till)] == [DAY.date]


def test_after_a_very_long_absence_only_the_last_month_is(till: Till) -> None:
    till.world.clock.now = at(12)
    sold(till)
    till.world.clock.now = at(12) + timedelta(days=100)
    nights(a_nightly(till), till)
    assert len(days(till)) == CATCH_UP_DAYS


@pytest.mark.both_databases
def test_several_workers_do_not_double_a_day(till: Till) -> None:
    till.world.clock.now = at(12)
    sold(till)
    till.world.clock.now = at(12, day=8)
    looked: list[tuple[ShopKey, date]] = []

    class Watched(Reconciler):
        def reconcile(self, key: ShopKey, day: Day) -> Report:
            looked.append((key, day.date))
            return super().reconcile(key, day)

    world = till.world
    workers = [
        Nightly(world.database, Watched(world.database, till.shops, world.clock, lambda _s: None)) for _ in range(4)
    ]
    threads = [threading.Thread(target=nights, args=(worker, till)) for worker in workers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(looked) == len(set(looked)) == 6


def test_a_provider_that_does_not_answer_is_tried_again_in_an_hour(till: Till) -> None:
    till.world.clock.now = at(12)
    sold(till)
    till.world.clock.now = at(27, 1)
    till.fault(FaultKind.ERROR_500, Endpoint.LIST, times=None)
    nightly = a_nightly(till)
    nights(nightly, till)
    assert not rows(till)[-1].complete
    till.yookassa.faults.clear()
    till.world.clock.advance(3700)
    nights(nightly, till)
    assert rows(till)[-1].complete
    assert {found.state for found in all_findings(till)} == {"closed"}


def test_what_was_asked_again_is_looked_at_again(till: Till) -> None:
    till.world.clock.now = at(12)
    refund_in_cabinet(till, sold(till))
    till.world.clock.now = at(27, 1)
    nightly = a_nightly(till)
    nights(nightly, till)
    assert [found.state for found in all_findings(till)] == ["mending"]
    till.work()
    till.world.clock.advance(1000)
    nights(nightly, till)
    assert sorted(found.state for found in all_findings(till)) == ["closed", "explained"]
    assert rows(till)[-1].next_at is None


def refunded_in_cabinet(till: Till, days: int) -> tuple[str, Nightly]:
    """A cup whose return takes so many days, and the night after it was made."""
    till.world.clock.now = at(12)
    till.yookassa.behaviour = Behaviour(refund_delay=days * 86400)
    order_id, nightly = sold(till), a_nightly(till)
    refund_in_cabinet(till, order_id)
    till.world.clock.now = at(27, 1)
    return order_id, nightly


@pytest.mark.both_databases
def test_a_return_under_way_is_followed_to_its_end(till: Till) -> None:
    """Regression: the day was not looked at again, and a return that nobody told us of was never booked."""
    order_id, nightly = refunded_in_cabinet(till, days=2)
    nights(nightly, till)
    assert [(found.kind, found.state) for found in all_findings(till)] == [("refund_pending", "explained")]
    for_hours(nightly, till, 48)
    assert till.world.ledger(order_id)["refunded"] == PRICE
    assert {found.state for found in all_findings(till)} == {"closed", "explained"}
    assert {row.next_at for row in rows(till)} == {None}


@pytest.mark.both_databases
def test_a_return_under_way_is_waited_for_three_days(till: Till) -> None:
    _, nightly = refunded_in_cabinet(till, days=60)
    states = set()
    for _ in range(2):
        for_hours(nightly, till, 24)
        states |= {found.state for found in all_findings(till)}
    assert states == {"explained"}
    for_hours(nightly, till, 24)
    assert [(found.kind, found.state) for found in all_findings(till)] == [("refund_pending", "open")]
    till.world.clock.now = DAY.due_at + RETURNS_FOLLOWED
    nights(nightly, till)
    assert {row.next_at for row in rows(till)} == {None}, "nobody asks for ever"


def test_what_is_unexplained_is_an_error_in_the_log(till: Till, caplog: pytest.LogCaptureFixture) -> None:
    till.world.clock.now = at(12)
    change_payment(till, sold(till), captured=1)
    till.world.clock.now = at(27, 1)
    with caplog.at_level(logging.ERROR):
        nights(a_nightly(till), till)
    [told] = [record for record in caplog.records if "reconciliation of" in record.getMessage()]
    assert told.levelno == logging.ERROR
    assert "2026-03-02: 1 unexplained" in told.getMessage()
    assert "amount_differs" in told.getMessage()
    assert (told.__dict__["merchant"], told.__dict__["shop"]) == ("north", ACCOUNT)


@pytest.mark.both_databases
def test_what_a_person_has_settled_stays_settled(till: Till) -> None:
    change_payment(till, sold(till), captured=1)
    [found] = reconciled(till).findings
    assert till.world.database.transact(settle_by_hand, found.id, "ops@example.org", "a test of ours", till.world.now)
    report = reconciled(till)
    assert kinds(report) == {"amount_differs": "closed"}
    assert report.is_clean
    assert report.findings[0].closed_note == "a test of ours"
    assert not till.world.database.transact(settle_by_hand, 999, "ops@example.org", "", till.world.now)


@pytest.mark.both_databases
def test_a_worker_that_stops_leaves_the_day_to_others(till: Till) -> None:
    till.world.clock.now = at(12)
    sold(till)
    till.world.clock.now = at(27, 1)
    till.fault(FaultKind.ERROR_500, Endpoint.LIST, times=None)
    world, patience = till.world, Patience()
    patience.end()
    stopping = Reconciler(world.database, till.shops, world.clock, patience.wait)
    with pytest.raises(Interrupted):
        stopping.reconcile(ShopKey("north", "Yookassa", ACCOUNT), DAY)
    Nightly(world.database, stopping).step(world.now)
    till.yookassa.faults.clear()
    nights(a_nightly(till), till)
    assert all(row.complete for row in rows(till))
    assert all_findings(till) == []


def test_a_day_looked_at_before_it_is_over_is_looked_at_again(till: Till) -> None:
    till.world.clock.now = at(12)
    sold(till)
    assert reconciled(till).is_clean
    change_payment(till, sold(till), captured=1)
    till.world.clock.now = at(27, 1)
    nights(a_nightly(till), till)
    assert [found.kind for found in all_findings(till)] == ["amount_differs"]


@pytest.mark.both_databases
def test_a_loss_long_after_the_drink_is_named_the_night_after_it(till: Till) -> None:
    """Regression: only payments begun on the day were looked at, so a hold that ran out ended `hold_open`, and all."""
    till.world.clock.now = at(12)
    order_id = till.paid()
    till.world.publish(order_id)
    till.fault(FaultKind.ERROR_500, Endpoint.CAPTURE, times=None)
    till.world.report(order_id, Result.DONE)
    nightly = a_nightly(till)
    for _ in range(8):
        if "canceled" not in till.world.ledger(order_id):
            nights(nightly, till)
            till.work(86400)
    lost_on = Day.of(till.world.now)
    till.world.clock.now = lost_on.due_at
    nights(nightly, till)
    told = {found.kind: found for found in all_findings(till)}
    assert {kind: found.state for kind, found in told.items()} == {"hold_open": "closed", "poured_not_paid": "open"}
    assert (told["poured_not_paid"].day, told["poured_not_paid"].here) == (lost_on.date, PRICE)
    assert lost_on.date > DAY.next.date


@pytest.mark.both_databases
def test_a_drink_told_of_days_after_its_hold_was_let_go_is_named(till: Till) -> None:
    till.world.clock.now = at(12)
    order_id = till.paid()
    till.world.publish(order_id)
    till.shop.post(f"/payments/{till.provider_id(order_id)}/cancel")
    till.look_at(order_id)
    till.world.clock.now = at(12, day=4)
    nightly = a_nightly(till)
    nights(nightly, till)
    till.world.report(order_id, Result.DONE)
    till.work()
    till.world.clock.now = at(27, 1, day=4)
    nights(nightly, till)
    assert [(found.kind, found.state) for found in all_findings(till)] == [("poured_not_paid", "open")]


def test_shops_are_found_without_reading_every_payment(sqlite_till: Till) -> None:
    """With twelve million the question was cut off after five seconds, and no day was ever looked at again."""
    till = sqlite_till
    order_id, other = sold(till), sold(till)
    change_payment(till, other, account_id="another")
    key = ShopKey("north", "Yookassa", "")
    with till.world.database.read() as session, listening(till.world.database) as plans:
        found = list(first_payments(session))
    since = [till.world.payment(each).started_at for each in (order_id, other)]
    assert found == [(replace(key, account_id=ACCOUNT), since[0]), (replace(key, account_id="another"), since[1])]
    assert {line.split(" (")[0] for line in plans.text.splitlines()} == {
        "SEARCH payments USING COVERING INDEX ix_payments_shop"
    }


def test_where_nothing_was_ever_sold_nobody_is_asked(till: Till) -> None:
    till.world.clock.now = at(27, 1)
    nights(a_nightly(till), till)
    assert rows(till) == rows(till, "") == []


@pytest.mark.both_databases
def test_machines_that_count_are_compared_too(till: Till) -> None:
    def told(tx: Transaction) -> None:
        counters = {"total": 10, "paid": 9, "free": 1, "test": 0}
        tx.session.execute(update(DeviceLive).values(state={"counters": counters}))

    till.world.database.transact(told)
    nightly = a_nightly(till)
    for moment in (at(1), at(12), at(25), at(27, 5)):
        till.world.clock.now = moment
        nights(nightly, till)
    assert [row.day for row in rows(till, "")] == [DAY.date]


def test_every_shop_and_every_merchants_machines_are_reconciled(till: Till) -> None:
    keys = a_reconciler(till).keys(DAY)
    assert keys == [ShopKey("north", "Yookassa", ACCOUNT), ShopKey("north", "", "")]
    assert a_reconciler(till).keys(DAY, "south") == []


def test_an_account_whose_payments_rest_in_the_archive_is_not_taken_away(till: Till) -> None:
    till.world.clock.now = at(12)
    order_id = sold(till)
    till.world.clock.now = at(27, 1)
    nights(a_nightly(till), till)

    def take_away(tx: Transaction) -> None:
        tx.session.execute(update(Device).values(payment_scenario="TBank"))
        archive.put_away(tx, [order_id], till.world.now)
        accounts.remove(tx.session, tx.session.get_one(Credential, ("north", "Yookassa")))

    with pytest.raises(accounts.InUse):
        till.world.database.transact(take_away)
