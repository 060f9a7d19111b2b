"""Comparing a shop whose lists lag, blur, fail or do not exist."""

from datetime import timedelta
from typing import Any

import pytest

from cloud.fleet.accounts import Account
from cloud.payments.facts import Page, ShopFacts, Unread
from cloud.payments.outcomes import Ok, Rejected, Unknown
from cloud.payments.provider_clients import ProviderClients
from cloud.payments.reconcile import asking as reconcile_asking
from cloud.payments.reconcile import shop as reconcile_shop
from cloud.payments.reconcile.days import Day
from cloud.payments.reconcile.store import LOOKED_FOR_AGAIN, TRY_AGAIN
from cloud.payments.yookassa import client as yookassa
from protocol.reasons import Result
from simulator.yookassa.faults import Endpoint, FaultKind
from tests.cloud.payments.custom_till import a_custom_till
from tests.cloud.payments.reconciling import (
    a_nightly,
    all_findings,
    at,
    change_payment,
    for_hours,
    forget_credential,
    kinds,
    nights,
    reconciled,
    refund_in_cabinet,
    sold,
    today,
)
from tests.cloud.tills import Till
from tests.cloud.worlds import ACCOUNT, PRICE, World

pytestmark = pytest.mark.any_database


def test_what_a_lagging_list_does_not_show_yet_is_asked_for_by_its_id(
    till: Till, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The window that is listed is empty: to us the same as a list that has not caught up."""
    order_id = sold(till)
    monkeypatch.setattr(reconcile_shop, "OVERLAP", timedelta(hours=-13))
    report = reconciled(till)
    assert report.row.payments_there == 0
    assert report.findings == []
    change_payment(till, order_id, captured=1)
    assert kinds(reconciled(till)) == {"amount_differs": "open"}


def test_a_provider_that_stumbles_is_asked_again(till: Till) -> None:
    sold(till)
    till.fault(FaultKind.ERROR_500, Endpoint.LIST, times=2)
    till.fault(FaultKind.TOO_MANY_REQUESTS, Endpoint.LIST_REFUNDS, times=1)
    till.fault(FaultKind.HTML_502, Endpoint.ME, times=1)
    assert reconciled(till).is_clean


def test_a_provider_that_does_not_answer_leaves_the_day_unfinished(till: Till) -> None:
    order_id = sold(till)
    change_payment(till, order_id, captured=1)
    reconciled(till)
    till.fault(FaultKind.ERROR_500, Endpoint.LIST, times=None)
    report = reconciled(till)
    assert kinds(report) == {"no_answer": "open"}
    assert not report.row.complete
    assert not report.is_clean
    earlier = next(found for found in all_findings(till) if found.kind == "amount_differs")
    assert earlier.state == "open", "a look that saw nothing closes nothing"
    till.yookassa.faults.clear()
    assert kinds(reconciled(till)) == {"amount_differs": "open"}


@pytest.mark.both_databases
@pytest.mark.parametrize("was_seen", [False, True])
def test_a_return_nobody_answers_for_is_neither_there_nor_gone(till: Till, was_seen: bool) -> None:
    """Regression: the day was complete without it; and what an earlier look had found was closed."""
    order_id = sold(till)
    till.world.clock.advance(86400)
    day = today(till)
    till.world.refunded(till.world.payment(order_id).id, "rf-1", 5000)
    till.world.clock.now = day.due_at
    if was_seen:
        assert kinds(reconciled(till, day))["refunded_only_here"] == "open"
    till.fault(FaultKind.ERROR_500, Endpoint.GET_REFUND, times=None)
    row = reconciled(till, day).row
    assert (row.complete, row.next_at, row.problem) == (
        False, till.world.now + TRY_AGAIN, f"return rf-1 of order {order_id}: Unknown",
    )  # fmt: skip
    assert [found.state for found in all_findings(till) if found.kind == "refunded_only_here"] == ["open"] * was_seen
    till.yookassa.faults.clear()
    report = reconciled(till, day)
    assert (report.row.complete, kinds(report)["refunded_only_here"]) == (True, "open")


def test_returns_for_which_no_question_is_left_are_told_as_too_many(
    till: Till, monkeypatch: pytest.MonkeyPatch
) -> None:
    order_id = sold(till)
    till.world.clock.advance(86400)
    till.world.refunded(till.world.payment(order_id).id, "rf-1", 5000)
    assert kinds(reconciled(till))["refunded_only_here"] == "open"
    monkeypatch.setattr(reconcile_asking, "MAX_SINGLE_QUESTIONS", 1)
    assert kinds(reconciled(till))["too_many"] == "open"
    assert [found.state for found in all_findings(till) if found.kind == "refunded_only_here"] == ["open"]


def test_a_refund_of_a_payment_nobody_answers_for_is_no_strangers(till: Till) -> None:
    payment = till.shop.captured(metadata={"order_id": "ord-x", "device_uuid": "m-001", "payment": "p-x"})
    till.world.clock.advance(86400)
    till.shop.refund(payment["id"])
    till.fault(FaultKind.ERROR_500, Endpoint.GET, times=None)
    report = reconciled(till)
    assert (report.row.complete, kinds(report)) == (False, {"no_answer": "open"})
    till.yookassa.faults.clear()
    assert kinds(reconciled(till))["unknown_payment"] == "explained"


@pytest.mark.both_databases
def test_without_a_key_what_only_the_provider_can_tell_stays_as_it_was(till: Till) -> None:
    """Regression: nobody was asked, and a second payment was closed as gone."""
    order_id = sold(till)
    ours = till.world.payment(order_id)
    till.shop.captured(metadata={"order_id": order_id, "device_uuid": "m-001", "payment": ours.id})
    assert kinds(reconciled(till)) == {"second_payment": "open"}
    till.fault(FaultKind.ERROR_500, Endpoint.LIST, times=None)
    assert kinds(reconciled(till)) == {"no_answer": "open"}
    forget_credential(till)
    reconciled(till)
    told = {found.kind: found.state for found in all_findings(till)}
    assert told == {"second_payment": "open", "shop_gone": "open", "no_answer": "closed"}


class OddLists:
    """The clients, all of them the one provider's, whose lists are odd in a way of the kind's own."""

    def __init__(self, clients: ProviderClients) -> None:
        self._clients = clients
        self._provider = clients.of("north", "Yookassa")[1]
        self.admission = clients.admission

    def at(self, _account: Account) -> Any:
        return self

    def __getattr__(self, name: str) -> Any:
        return getattr(self._provider, name)

    def close(self) -> None:
        self._clients.close()


class NoLists(OddLists):
    """The provider has none."""

    def list_payments(self, *_window: Any) -> Rejected:
        return Rejected("no_list")

    list_refunds = list_payments


class OfAnotherKind(OddLists):
    """The provider calls the shop live, or does not say what it is; its payments are tests."""

    answers = True

    def me(self) -> Any:
        return Ok(ShopFacts(ACCOUNT, True, False, None)) if self.answers else Unknown("silent")


class NoSums(OddLists):
    """The list of payments lacks the sum of each."""

    def list_payments(self, *window: Any) -> Any:
        told = self._provider.list_payments(*window)
        assert isinstance(told, Ok)
        unread = (Unread("no readable amount", facts.provider_payment_id, facts.metadata) for facts in told.value.items)
        return Ok(Page((), None, tuple(unread)))


def test_a_provider_without_lists_is_asked_about_each_payment(till: Till) -> None:
    first, second = sold(till), sold(till)
    change_payment(till, second, captured=1)
    till.shops = NoLists(till.shops)  # type: ignore[assignment]  # stands in for the shops
    report = reconciled(till)
    assert kinds(report) == {"amount_differs": "open", "no_list": "explained"}
    assert report.row.problem == "no list"
    change_payment(till, second, captured=PRICE)
    assert reconciled(till).is_clean
    change_payment(till, first, provider_payment_id="31374cc8-000f-5000-8000-000000000000")
    assert kinds(reconciled(till)) == {"missing_there": "open", "no_list": "explained"}


def test_a_test_payment_in_a_live_shop_is_named_until_the_shop_says_otherwise(till: Till) -> None:
    order_id = sold(till)
    till.shops = shops = OfAnotherKind(till.shops)  # type: ignore[assignment]  # stands in for the shops
    [found] = reconciled(till).findings
    assert (found.kind, found.state, found.order_id) == ("test_flag", "open", order_id)
    shops.answers = False
    assert "no_answer" not in kinds(reconciled(till)), "each payment of the day would be asked about again, for ever"
    assert [one.state for one in all_findings(till) if one.kind == "test_flag"] == ["open"]


def test_a_shop_that_does_not_say_whether_it_is_a_test_is_asked_again_for_two_days(till: Till) -> None:
    """Regression: the question failed once, and a test payment in a live shop was never named."""
    sold(till)
    till.shops = shops = OfAnotherKind(till.shops)  # type: ignore[assignment]  # stands in for the shops
    shops.answers = False
    day = today(till)
    till.world.clock.now = day.due_at
    assert kinds(report := reconciled(till, day)) == {}
    assert report.row.next_at is not None
    shops.answers = True
    assert kinds(reconciled(till, day)) == {"test_flag": "open"}
    shops.answers = False
    till.world.clock.now = day.due_at + LOOKED_FOR_AGAIN
    assert (report := reconciled(till, day)).row.complete
    assert report.row.next_at is None


@pytest.mark.both_databases
@pytest.mark.parametrize("offers", [(), ("status_url",), ("status_url", "action_url")])
def test_of_a_merchant_without_lists_its_own_returns_are_compared(world: World, offers: tuple[str, ...]) -> None:
    """Regression: it was asked by a key of ours that such a return has not, and each was "returned only here".

    Nor is the merchant's name of it one of a kind: the next payment's first return may have the same.
    """
    with a_custom_till(world, offers) as till:
        world.clock.now = at(12)
        orders = [till.paid(), till.paid()]
        for order_id in orders:
            world.publish(order_id)
            world.report(order_id, Result.DONE)
            till.work()
            till.merchant.books.refund(till.name(order_id), "first", 5000)
            till.hear()
            for_hours(nightly := a_nightly(till), till, 1)
            assert world.ledger(order_id)["refunded"] == 5000
        world.clock.now = Day.of(at(12)).due_at
        nights(nightly, till)
        assert {found.kind for found in all_findings(till)} == {"goodwill", "no_list"}
        world.refunded(world.payment(orders[1]).id, "second", 4000)
        world.clock.now = Day.of(world.now).due_at
        nights(nightly, till)
        [missed] = [found for found in all_findings(till) if found.kind == "refunded_only_here"]
        assert (missed.order_id, missed.here, missed.detail) == (orders[1], 4000, "refund second")


@pytest.mark.both_databases
def test_a_sum_that_vanished_is_named_with_its_payment(till: Till) -> None:
    order_id = sold(till)
    payment_id, provider_id = till.world.payment(order_id).id, till.provider_id(order_id)
    till.shops = NoSums(till.shops)  # type: ignore[assignment]  # as far as it is used
    [found] = reconciled(till).findings
    assert (found.kind, found.order_id, found.payment_id, found.provider_id) == (
        "unreadable", order_id, payment_id, provider_id,
    )  # fmt: skip
    assert (found.here, found.there, found.detail) == (PRICE, None, "no readable amount")
    change_payment(till, order_id, provider_payment_id=None)
    [lost] = [one for one in reconciled(till).findings if one.state == "open"]
    assert (lost.order_id, lost.payment_id, lost.here) == (order_id, payment_id, None), "by its marks"


@pytest.mark.both_databases
def test_long_lists_are_read_to_their_end(till: Till, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(yookassa, "PAGE_LIMIT", 2)
    orders = [sold(till) for _ in range(5)]
    strangers = 4
    for _ in range(strangers):
        till.shop.captured()
    for order_id in orders[:3]:
        refund_in_cabinet(till, order_id)
    report = reconciled(till)
    assert report.row.payments_there == len(orders)
    assert [found.there for found in report.findings if found.kind == "not_our_metadata"] == [strangers]
    assert report.row.refunds_there == 3
    assert sorted(found.order_id for found in report.findings if found.kind == "refunded_not_here") == sorted(
        orders[:3]
    )
