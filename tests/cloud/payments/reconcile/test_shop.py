"""The provider's lists against our books, over HTTP: each difference gets its name, and only what mends is mended."""

from typing import Any

import pytest
from sqlalchemy import insert

from cloud.orders.models import Payment
from cloud.orders.tasks import Task
from cloud.payments.reconcile import shop as reconcile_shop
from cloud.payments.reconcile.days import Day
from protocol.reasons import Result
from simulator.yookassa.faults import Endpoint, FaultKind
from tests.cloud.orders.test_archive import rest
from tests.cloud.payments.reconciling import (
    SHOP,
    a_reconciler,
    all_findings,
    at,
    change_payment,
    forget_credential,
    kinds,
    reconciled,
    refund_in_cabinet,
    share_the_shop,
    sold,
    today,
    unanswered_and_paid,
)
from tests.cloud.tills import Till
from tests.cloud.worlds import PRICE

pytestmark = pytest.mark.any_database


def test_a_day_on_which_all_agree_is_clean(till: Till) -> None:
    sold(till)
    failed = till.paid()
    till.world.publish(failed)
    till.world.report(failed, Result.REJECTED, "no_water")
    till.work()
    till.open_payment()
    report = reconciled(till)
    assert report.findings == []
    assert report.is_clean
    row = report.row
    assert (row.payments_there, row.payments_here) == (3, 3)
    assert (row.taken_there, row.taken_here) == (PRICE, PRICE)


@pytest.mark.parametrize(("merchant_id", "scenario"), [("alpha", "Yookassa"), ("north", "YookassaReceipt")])
def test_of_several_who_sell_at_one_shop_each_sees_what_is_his(till: Till, merchant_id: str, scenario: str) -> None:
    other = share_the_shop(till, merchant_id, scenario)
    unanswered_and_paid(till)
    refund_in_cabinet(till, sold(till))
    others = reconciled(till, key=other)
    assert (others.findings, others.row.payments_there, others.row.taken_there, others.row.returned_there) == (
        [],
        0,
        0,
        0,
    )
    mine = reconciled(till)
    assert (mine.row.payments_there, mine.row.returned_there) == (2, PRICE)
    assert {"lost_and_found", "refunded_not_here"} <= kinds(mine).keys()


@pytest.mark.both_databases
def test_a_return_made_in_the_cabinet_is_named_and_taken_into_the_books(till: Till) -> None:
    order_id = sold(till)
    refund_in_cabinet(till, order_id)
    first = reconciled(till)
    assert kinds(first) == {"refunded_not_here": "mending"}
    assert not first.is_clean
    [found] = first.findings
    assert (found.order_id, found.here, found.there) == (order_id, 0, PRICE)
    till.work()
    assert till.world.ledger(order_id)["refunded"] == PRICE
    second = reconciled(till)
    assert kinds(second) == {"goodwill": "explained"}
    assert second.is_clean
    assert [found.state for found in all_findings(till)] == ["closed", "explained"]


def test_a_return_of_an_older_payment_is_found_on_the_day_it_was_made(till: Till) -> None:
    order_id = sold(till)
    bought = today(till)
    till.work(3 * 86400)
    refund_in_cabinet(till, order_id, "50.00")
    report = reconciled(till)
    assert today(till) != bought
    assert kinds(report) == {"refunded_not_here": "mending"}
    assert (report.row.payments_there, report.row.refunds_there, report.row.returned_there) == (0, 1, 5000)


def test_no_money_is_ever_moved_by_looking(till: Till) -> None:
    orders = [sold(till), till.paid(), till.open_payment()]
    refund_in_cabinet(till, orders[0])
    before = [till.booked(order_id) for order_id in orders]
    promised = [till.world.rows(order_id, Task.CAPTURE, Task.CANCEL, Task.REFUND) for order_id in orders]
    reconciled(till)
    assert [till.booked(order_id) for order_id in orders] == before
    after = [till.world.rows(order_id, Task.CAPTURE, Task.CANCEL, Task.REFUND) for order_id in orders]
    assert [len(rows) for rows in after] == [len(rows) for rows in promised]


def test_money_the_provider_took_and_we_never_heard_of_is_asked_about(till: Till) -> None:
    order_id = till.open_payment()
    till.buyer_pays(order_id)
    change_payment(till, order_id, next_check_at=None)
    till.work(60)
    assert till.world.status(order_id) == "pending", "nobody asks any more"
    assert kinds(reconciled(till)) == {"held_not_here": "mending"}
    till.work()
    assert till.world.status(order_id) == "paid"
    assert reconciled(till).is_clean


@pytest.mark.both_databases
@pytest.mark.parametrize(
    ("ours", "kind"),
    [
        ({"state": "held", "captured": 0}, "captured_not_here"),
        ({"state": "canceled", "captured": 0}, "captured_not_here"),
        ({"captured": PRICE - 100}, "amount_differs"),
        ({"amount": PRICE + 100, "captured": PRICE + 100}, "amount_differs"),
        ({"refunded": 100}, "refunded_only_here"),
        ({"account_id": "another"}, ""),
    ],
)
def test_books_that_say_otherwise_are_named(till: Till, ours: dict[str, Any], kind: str) -> None:
    order_id = sold(till)
    change_payment(till, order_id, **ours)
    report = reconciled(till)
    assert kind in kinds(report) or (not kind and "shop_differs" in kinds(report))
    assert not report.is_clean


def test_money_in_our_books_that_the_provider_let_go_is_named(till: Till) -> None:
    order_id = till.paid()
    till.shop.post(f"/payments/{till.provider_id(order_id)}/cancel")
    assert kinds(reconciled(till)) == {"canceled_not_here": "mending"}
    change_payment(till, order_id, state="captured", captured=PRICE)
    assert kinds(reconciled(till))["taken_only_here"] == "mending"


def test_what_does_not_mend_by_asking_becomes_a_persons(till: Till) -> None:
    order_id = till.world.scan()
    till.press(order_id)
    change_payment(till, order_id, state="captured", captured=PRICE)
    states = []
    for _ in range(4):
        states.append(kinds(reconciled(till))["taken_only_here"])
        till.work()
    assert states == ["mending", "mending", "mending", "open"]


def test_a_payment_the_provider_disowns_is_named(till: Till) -> None:
    order_id = sold(till)
    change_payment(till, order_id, provider_payment_id="31374cc8-000f-5000-8000-000000000000")
    report = reconciled(till)
    assert kinds(report) == {"missing_there": "open", "second_payment": "open"}


@pytest.mark.both_databases
def test_a_payment_whose_answer_was_lost_is_adopted_by_its_marks(till: Till) -> None:
    order_id, there = unanswered_and_paid(till)
    change_payment(till, order_id, state="refused", live=False)
    assert kinds(reconciled(till)) == {"lost_and_found": "mending"}
    assert till.provider_id(order_id) == there["id"]
    till.work()
    assert till.world.ledger(order_id)["held"] == PRICE
    assert reconciled(till).is_clean


def test_what_was_given_back_before_it_was_adopted_is_taken_in_too(till: Till) -> None:
    """The list tells how much was returned, not by which refunds: the payment is asked about once more."""
    order_id, there = unanswered_and_paid(till)
    till.shop.post(f"/payments/{there['id']}/capture", {})
    assert till.shop.refund(there["id"], f"{PRICE / 100:.2f}").status_code == 200
    change_payment(till, order_id, state="refused", live=False)
    assert kinds(reconciled(till))["lost_and_found"] == "mending"
    till.work()
    assert till.world.ledger(order_id).items() >= {"captured": PRICE, "refunded": PRICE}.items()
    assert till.world.status(order_id) == "failed"
    assert till.verdicts(order_id, Task.REFUND) == [], "nobody asked for a second one"
    assert reconciled(till).is_clean


def test_a_payment_with_our_marks_that_our_books_never_had_is_a_persons(till: Till) -> None:
    till.shop.create(metadata={"order_id": "ord-x", "device_uuid": "m-001", "payment": "p-x"})
    [found] = reconciled(till).findings
    assert (found.kind, found.state, found.order_id, found.payment_id) == ("unknown_payment", "open", "ord-x", "p-x")


def test_a_second_payment_for_one_attempt_is_a_persons(till: Till) -> None:
    order_id = sold(till)
    ours = till.world.payment(order_id)
    till.shop.captured(metadata={"order_id": order_id, "device_uuid": "m-001", "payment": ours.id})
    [found] = reconciled(till).findings
    assert (found.kind, found.state, found.there) == ("second_payment", "open", 15000)


def test_what_the_shop_sells_elsewhere_is_counted_and_explained(till: Till) -> None:
    for _ in range(3):
        till.shop.captured()
    refunded = till.shop.captured(metadata={"cms": "a shop of cups"})
    till.shop.refund(refunded["id"])
    report = reconciled(till)
    assert kinds(report) == {"not_our_metadata": "explained"}
    assert report.findings[0].there == 5
    assert report.is_clean


def test_what_the_shop_sells_elsewhere_is_in_no_sum(till: Till) -> None:
    """Regression: a shop whose day agreed printed "taken 329.00 there, 179.00 here", and 50.00 of no return of ours."""
    refund_in_cabinet(till, sold(till), "30.00")
    elsewhere = till.shop.captured(metadata={"cms": "a shop of cups"})
    till.shop.refund(elsewhere["id"], "50.00")
    row = reconciled(till).row
    assert (row.payments_there, row.refunds_there) == (1, 1)
    assert (row.taken_there, row.returned_there) == (PRICE, 3000)


def test_a_return_the_provider_does_not_have_is_named(till: Till) -> None:
    order_id = sold(till)
    till.world.refunded(till.world.payment(order_id).id, "31374cc8-0015-5000-8000-000000000000")
    assert "refunded_only_here" in kinds(reconciled(till))


def test_a_day_has_moscows_edges_and_each_payment_one_day(till: Till) -> None:
    first, second = Day.of(at(12)), Day.of(at(12)).next
    till.world.clock.now = at(23, 59)
    late = sold(till)
    till.world.clock.now = at(24, 1)
    early = sold(till)
    for order_id in (late, early):
        change_payment(till, order_id, captured=1)
    assert [found.order_id for found in reconciled(till, first).findings] == [late]
    assert [found.order_id for found in reconciled(till, second).findings] == [early]
    assert (first.end - first.start).total_seconds() == 86400
    assert first.start.isoformat() == "2026-03-01T21:00:00+00:00"


def test_a_payment_begun_before_midnight_and_opened_after_it_is_not_missing(till: Till) -> None:
    till.world.clock.now = at(23, 59)
    till.fault(FaultKind.TOO_MANY_REQUESTS, Endpoint.CREATE, times=1)
    order_id = till.world.scan()
    till.press(order_id)
    assert till.payments_there() == []
    till.work(180)
    assert len(till.payments_there()) == 1
    for day in (Day.of(at(12)), Day.of(at(12)).next):
        assert reconciled(till, day).findings == []


def test_an_order_poured_though_its_hold_is_gone_is_named(till: Till) -> None:
    order_id = till.paid()
    till.world.publish(order_id)
    till.shop.post(f"/payments/{till.provider_id(order_id)}/cancel")
    till.world.report(order_id, Result.DONE)
    till.work()
    assert kinds(reconciled(till))["poured_not_paid"] == "open"


@pytest.mark.both_databases
def test_of_a_poured_drink_what_went_back_is_told(till: Till) -> None:
    """Regression: a part was told with the whole sum of its payment."""
    order_id = sold(till)
    for value, told in (("50.00", 5000), (None, PRICE)):
        refund_in_cabinet(till, order_id, value)
        till.look_at(order_id)
        [found] = reconciled(till).findings
        assert (found.kind, found.here) == ("goodwill", told)


@pytest.mark.both_databases
def test_of_a_poured_drink_a_hold_that_was_let_go_is_told_whole(till: Till) -> None:
    order_id = till.paid()
    till.world.publish(order_id)
    till.world.report(order_id, Result.REJECTED, "no_water")
    till.work()
    till.world.report(order_id, Result.DONE, revision=2)
    [found] = reconciled(till).findings
    assert (found.kind, found.here) == ("goodwill", PRICE)


@pytest.mark.both_databases
@pytest.mark.parametrize(
    "went", [{"state": "canceled", "captured": 0}, {"state": "captured", "captured": PRICE, "refunded": PRICE}],
    ids=["let go", "taken and returned"],
)  # fmt: skip
def test_of_a_poured_drink_a_second_payment_that_went_back_is_not_told(till: Till, went: dict[str, object]) -> None:
    """Regression: of one cup paid for twice a part went back, and the finding told the part and the second sum."""
    order_id = sold(till)
    taken = till.world.payment(order_id)
    columns = {column.name: getattr(taken, column.name) for column in Payment.__table__.columns}
    second = columns | {"id": "second", "provider_payment_id": "", "live": False} | went
    till.world.database.transact(lambda tx: tx.session.execute(insert(Payment).values(second)))
    refund_in_cabinet(till, order_id, "50.00")
    till.look_at(order_id)
    told = {found.kind: found.here for found in reconciled(till).findings}
    assert told["goodwill"] == 5000


@pytest.mark.both_databases
def test_without_a_key_what_nobody_can_ask_about_is_named(till: Till) -> None:
    order_id = till.paid()
    forget_credential(till)
    [key] = [key for key in a_reconciler(till).keys(today(till)) if key.scenario]
    report = reconciled(till, key=key)
    assert kinds(report) == {"nobody_to_ask": "open", "shop_gone": "open"}
    assert order_id in {found.order_id for found in report.findings}


@pytest.mark.both_databases
def test_a_shop_without_a_key_is_named_though_its_orders_rest(till: Till) -> None:
    """Regression: only payments among the living were asked, and a day nobody can compare was reported clean."""
    sold(till)
    day = today(till)
    assert reconciled(till, day).is_clean
    till.work(86400)
    rest(till.world)
    forget_credential(till)
    assert SHOP not in a_reconciler(till).keys(today(till)), "nothing was sold then"
    [key] = [key for key in a_reconciler(till).keys(day) if key.scenario]
    assert kinds(reconciled(till, day, key)) == {"shop_gone": "open"}


def test_a_payment_that_never_ends_is_named_on_every_day_until_it_does(till: Till) -> None:
    order_id = till.open_payment()
    change_payment(till, order_id, next_check_at=None)
    till.world.clock.advance(2 * 86400)
    till.yookassa.provider.settle()
    assert kinds(reconciled(till)) == {"stuck": "open"}
    change_payment(till, order_id, next_check_at=till.world.now)
    till.work()
    assert reconciled(till).is_clean
    assert {found.state for found in all_findings(till)} == {"closed"}


def test_a_hold_nobody_takes_or_lets_go_is_named(till: Till) -> None:
    order_id = till.paid()
    till.world.publish(order_id)
    till.fault(FaultKind.ERROR_500, Endpoint.CAPTURE, times=None)
    till.world.report(order_id, Result.DONE)
    till.work()
    till.work(3 * 3600)
    assert kinds(reconciled(till)) == {"hold_open": "explained"}, "taking it is being tried"
    till.work(22 * 3600)
    assert kinds(reconciled(till))["hold_open"] == "open"


def test_more_differences_than_anybody_reads_are_told_as_one(till: Till, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reconcile_shop, "MAX_FINDINGS", 2)
    for _ in range(4):
        change_payment(till, sold(till), captured=1)
    report = reconciled(till)
    assert len(report.findings) == 3
    assert kinds(report) == {"amount_differs": "open", "too_many": "open"}


@pytest.mark.both_databases
def test_a_shop_that_two_merchants_share_is_each_ones_own_business(till: Till) -> None:
    """Each sees all of the shop's list; the other's payments are neither strange nor compared twice."""
    order_id = sold(till)
    change_payment(till, order_id, captured=1, merchant_id="south")
    assert reconciled(till).findings == []
