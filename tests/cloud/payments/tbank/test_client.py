"""What only T-Bank does: no key, no list, no second look at a page's address, refunds without names, SBP."""

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta

import pytest

from cloud.payments.facts import ProviderStatus, RefundStatus
from cloud.payments.outcomes import NotOurs, NotSent, Ok, RateLimited, Rejected, Unknown
from cloud.payments.provider import CaptureMode, FiscalReceipt, InvalidRequest, NewPayment, Operation, PreparedCall
from simulator.tbank.faults import Fault, FaultKind, Method
from simulator.tbank.terms import Behaviour
from tests.cloud.payments.contract.counter import PRICE, Counter, fact, paid, refunded
from tests.cloud.payments.contract.rig import Money
from tests.cloud.payments.contract.tbank_rig import TBankRig
from tests.cloud.payments.contract.wire import Trouble
from tests.cloud.worlds import START, HandClock


@pytest.fixture
def rig() -> Iterator[TBankRig]:
    made = TBankRig(HandClock())
    yield made
    made.close()


@pytest.fixture
def counter(rig: TBankRig) -> Counter:
    return Counter(rig)


def said(call: PreparedCall) -> dict[str, object]:
    told = json.loads(call.body)
    assert isinstance(told, dict)
    return told


def by_sbp(counter: Counter, rig: TBankRig) -> str:
    """A payment taken by SBP."""
    provider_payment_id = counter.opened(counter.at_once).provider_payment_id
    rig.bank.pay(provider_payment_id, "sbp")
    return provider_payment_id


def calls_to(rig: TBankRig, method: str) -> int:
    return sum(call.endswith(f"/{method}") for call in rig.wire.calls)


# Opening


def test_an_init_says_what_the_bank_needs_and_stores_nothing_of_the_secret(counter: Counter) -> None:
    call = counter.create_call(counter.order())
    told = said(call)
    assert (call.operation, call.path) == (Operation.CREATE, "/Init")
    assert (told["OrderId"], told["Amount"], told["PayType"]) == ("pay-1", PRICE, "T")
    assert told["NotificationURL"] == "https://coffee.example.org/v1/tbank-webhook"
    assert told["RedirectDueDate"] == (START + timedelta(hours=1)).isoformat()
    assert told["DATA"] == {"order_id": "ord-1", "device_uuid": "m-001"}
    assert not {"Token", "TerminalKey", "Password"} & told.keys()


def test_one_stage_is_asked_for_by_the_shop(counter: Counter) -> None:
    assert said(counter.create_call(counter.order(), counter.at_once))["PayType"] == "O"


def test_marks_too_long_for_the_bank_are_left_out(counter: Counter) -> None:
    payment = replace(counter.order(), order_id="я" * 200, device_uuid="m 1")
    assert said(counter.create_call(payment))["DATA"] == {"device_uuid": "m%201"}


@pytest.mark.parametrize(
    "wrong",
    [
        {"payment": "x" * 51}, {"payment": "a b"}, {"description": "x" * 141}, {"return_url": "ftp://x/"},
        {"return_url": "https://x/ y"}, {"return_url": "https://x/" + "y" * 3000}, {"return_url": "//["},
    ],
)  # fmt: skip
def test_what_the_bank_would_refuse_is_not_sent(counter: Counter, wrong: dict[str, object]) -> None:
    payment: NewPayment = replace(counter.order(), **wrong)  # type: ignore[arg-type]  # deliberately of any kind
    with pytest.raises(InvalidRequest):
        counter.hold.prepare_create(payment, "pay-1")


def test_a_key_must_be_short_and_plain(counter: Counter) -> None:
    for key in ("", "a b", "x" * 65):
        with pytest.raises(InvalidRequest):
            counter.hold.prepare_cancel("1", key)


def test_a_receipt_we_do_not_make_for_the_bank_is_refused_not_dropped(counter: Counter) -> None:
    receipt = FiscalReceipt({}, PRICE, "buyer@example.com")
    with pytest.raises(InvalidRequest):
        counter.hold.prepare_create(replace(counter.order(), receipt=receipt), "k")
    with pytest.raises(InvalidRequest):
        counter.hold.prepare_refund("1", PRICE, "k", receipt=receipt)


def test_an_unanswered_init_is_cancelled_since_its_page_is_lost(counter: Counter, rig: TBankRig) -> None:
    call = counter.create_call(counter.order())
    rig.wire.trouble(Trouble.RESET, after=True)
    assert isinstance(counter.hold.send(call), Unknown)
    found = paid(counter.hold.send(call))
    assert (found.status, found.confirmation_url) == (ProviderStatus.CANCELED, None)
    assert [str(p.status) for p, _ in rig.bank.bank.snapshot()] == ["CANCELED"]


def test_an_unanswered_init_whose_cancellation_is_lost_too_stays_unknown_until_it_is_known(
    counter: Counter, rig: TBankRig
) -> None:
    call = counter.create_call(counter.order())
    rig.bank.faults.add(Fault(FaultKind.RESET, Method.INIT, after_commit=True))
    rig.bank.faults.add(Fault(FaultKind.HTML_502, Method.CANCEL, after_commit=True))
    assert isinstance(counter.hold.send(call), Unknown)
    assert isinstance(counter.hold.send(call), Unknown)
    assert paid(counter.hold.send(call)).status is ProviderStatus.CANCELED


def test_a_refused_init_is_unknown_while_nobody_can_say_what_is_under_its_order(
    counter: Counter, rig: TBankRig
) -> None:
    call = counter.create_call(counter.order())
    paid(counter.hold.send(call))
    rig.bank.faults.add(Fault(FaultKind.ERROR_500, Method.CHECK_ORDER))
    assert isinstance(counter.hold.send(call), Unknown)


def test_an_init_refused_for_itself_is_refused(counter: Counter, rig: TBankRig) -> None:
    call = counter.create_call(counter.order())
    rig.time_passes(7200)  # its link would have ended in the past
    assert isinstance(counter.hold.send(call), Rejected)
    assert rig.payments() == []


def test_a_bank_that_opens_another_payment_for_the_same_order_lets_one_be_paid(counter: Counter, rig: TBankRig) -> None:
    rig.bank.behaviour = Behaviour(repeated_init="another")
    call = counter.create_call(counter.order())
    rig.wire.trouble(Trouble.RESET, after=True)
    assert isinstance(counter.hold.send(call), Unknown)
    shown = paid(counter.hold.send(call))
    assert shown.confirmation_url is not None
    assert shown.provider_payment_id == rig.payments()[-1], "the page of the other one was never shown"


# Asking before acting


def test_nothing_is_sent_while_the_state_is_not_known(counter: Counter, rig: TBankRig) -> None:
    held, taken = counter.held(), counter.taken()
    calls = (
        counter.hold.prepare_capture(held, "cap-1"),
        counter.hold.prepare_cancel(held, "can-1"),
        counter.hold.prepare_refund(taken, PRICE, "ref-1"),
    )
    for kind in (FaultKind.ERROR_500, FaultKind.HALF_JSON, FaultKind.RESET, FaultKind.BANK_FAILURE):
        for call in calls:
            rig.bank.faults.add(Fault(kind, Method.GET_STATE))
            assert isinstance(counter.hold.send(call), NotSent), kind
    rig.bank.faults.add(Fault(FaultKind.TOO_MANY_REQUESTS, Method.GET_STATE))
    assert isinstance(counter.hold.send(calls[0]), RateLimited)
    assert calls_to(rig, "Confirm") == calls_to(rig, "Cancel") == 0


def test_an_unknown_status_stops_a_refund(counter: Counter, rig: TBankRig) -> None:
    taken = counter.taken()
    rig.bank.faults.add(Fault(FaultKind.STRANGE_STATUS, Method.GET_STATE, times=3))
    assert isinstance(counter.hold.send(counter.hold.prepare_refund(taken, PRICE, "ref-1")), NotSent)
    capture = paid(counter.hold.send(counter.hold.prepare_capture(taken, "cap-1")))
    assert capture.status is ProviderStatus.UNKNOWN_STATUS
    assert calls_to(rig, "Cancel") == calls_to(rig, "Confirm") == 0


def test_by_sbp_the_bank_knows_no_key_and_still_pays_back_once(counter: Counter, rig: TBankRig) -> None:
    """`ExternalRequestId` does not work there: only the question before saves the money."""
    provider_payment_id = by_sbp(counter, rig)
    call = counter.hold.prepare_refund(provider_payment_id, 5000, "ref-1")
    rig.wire.trouble(Trouble.RESET, after=True)
    assert isinstance(counter.hold.send(call), Unknown)
    first = refunded(counter.hold.send(call))
    assert first.status is RefundStatus.PENDING
    rig.time_passes(3600)
    counter.settled(refunded(counter.hold.send(call)))
    assert rig.money(provider_payment_id) == Money(taken=PRICE, returned=5000)


def test_a_refund_under_way_is_not_asked_for_again(counter: Counter, rig: TBankRig) -> None:
    provider_payment_id = by_sbp(counter, rig)
    call = counter.hold.prepare_refund(provider_payment_id, PRICE, "ref-1")
    pending = refunded(counter.hold.send(call))
    assert pending.status is RefundStatus.PENDING
    assert fact(counter.hold.fetch(provider_payment_id)).refunded == 0
    for _ in range(3):
        assert refunded(counter.hold.send(call)).status is RefundStatus.PENDING
    assert calls_to(rig, "Cancel") == 1
    rig.time_passes(3600)
    done = fact(counter.hold.fetch_refund(pending.provider_refund_id))
    assert (done.status, done.amount) == (RefundStatus.SUCCEEDED, PRICE)
    assert done.provider_refund_id == pending.provider_refund_id


def test_a_refund_that_falls_through_is_canceled_and_can_be_asked_for_anew(counter: Counter, rig: TBankRig) -> None:
    rig.bank.behaviour = Behaviour(refund_fails=True, refund_delay=60)
    provider_payment_id = counter.taken()
    pending = refunded(counter.hold.send(counter.hold.prepare_refund(provider_payment_id, PRICE, "ref-1")))
    rig.time_passes(61)
    failed = fact(counter.hold.fetch_refund(pending.provider_refund_id))
    assert (failed.status, rig.money(provider_payment_id)) == (RefundStatus.CANCELED, Money(taken=PRICE))
    rig.bank.behaviour = Behaviour()
    counter.refunded(provider_payment_id, PRICE, "ref-2")
    assert rig.money(provider_payment_id) == Money(taken=PRICE, returned=PRICE)


def test_a_refund_found_under_way_is_followed_to_its_end_also_when_that_is_none(
    counter: Counter, rig: TBankRig
) -> None:
    rig.bank.behaviour = Behaviour(refund_fails=True, refund_delay=60)
    provider_payment_id = counter.taken()
    call = counter.hold.prepare_refund(provider_payment_id, PRICE, "ref-1")
    rig.wire.trouble(Trouble.RESET, after=True)
    assert isinstance(counter.hold.send(call), Unknown)
    found = refunded(counter.hold.send(call))
    assert found.status is RefundStatus.PENDING
    rig.time_passes(61)
    assert fact(counter.hold.fetch_refund(found.provider_refund_id)).status is RefundStatus.CANCELED


def test_a_refund_by_hand_comes_first_and_ours_returns_no_more_than_the_rest(counter: Counter, rig: TBankRig) -> None:
    provider_payment_id = counter.taken()
    rig.refund_by_hand(provider_payment_id, 5000)
    seen = counter.refunded(provider_payment_id, PRICE, "ref-1")
    assert seen.amount == 5000, "the one our books did not know"
    assert calls_to(rig, "Cancel") == 0
    rest = counter.refunded(provider_payment_id, PRICE - 5000, "ref-2")
    assert rest.amount == PRICE - 5000
    assert rig.money(provider_payment_id) == Money(taken=PRICE, returned=PRICE)


def test_a_bank_that_tells_the_first_sum_for_ever_pays_back_once(counter: Counter, rig: TBankRig) -> None:
    rig.bank.behaviour = Behaviour(original_amount=True)
    provider_payment_id = counter.taken()
    call = counter.hold.prepare_refund(provider_payment_id, 5000, "ref-1")
    rig.wire.trouble(Trouble.RESET, after=True)
    assert isinstance(counter.hold.send(call), Unknown)
    counter.settled(refunded(counter.hold.send(call)))
    counter.refunded(provider_payment_id, PRICE - 5000, "ref-2")
    assert rig.money(provider_payment_id) == Money(taken=PRICE, returned=PRICE)


@pytest.mark.parametrize("method", ["sbp", "card"])
def test_a_bank_that_tells_the_first_sum_for_ever_pays_a_slow_return_once(
    counter: Counter, rig: TBankRig, method: str
) -> None:
    rig.bank.behaviour = Behaviour(original_amount=True, refund_delay=60)
    provider_payment_id = counter.opened(counter.at_once).provider_payment_id
    rig.bank.pay(provider_payment_id, method)
    asked = refunded(counter.at_once.send(counter.hold.prepare_refund(provider_payment_id, 5000, "ref-1")))
    rig.time_passes(61)
    found = fact(counter.at_once.fetch_refund(asked.provider_refund_id))
    assert (found.status, found.amount) == (RefundStatus.SUCCEEDED, 5000)
    assert rig.money(provider_payment_id) == Money(taken=PRICE, returned=5000)


def test_of_sbp_a_repeat_is_left_to_people_where_the_bank_does_not_tell_what_went_back(
    counter: Counter, rig: TBankRig
) -> None:
    rig.bank.behaviour = Behaviour(original_amount=True, refund_delay=0)
    provider_payment_id = by_sbp(counter, rig)
    call = counter.at_once.prepare_refund(provider_payment_id, 5000, "ref-1")
    rig.wire.trouble(Trouble.RESET, after=True)
    assert isinstance(counter.at_once.send(call), Unknown)
    rig.time_passes(1)
    again = counter.at_once.send(call)
    assert isinstance(again, Rejected)
    assert again.code == "by_hand"
    assert rig.money(provider_payment_id) == Money(taken=PRICE, returned=5000)


def test_a_hold_that_people_made_smaller_is_taken_as_far_as_it_goes(counter: Counter, rig: TBankRig) -> None:
    provider_payment_id = counter.held()
    rig.bank.bank.cancel_in_cabinet(provider_payment_id, 5000)
    still = fact(counter.hold.fetch(provider_payment_id))
    assert (still.status, still.amount) == (ProviderStatus.HELD, PRICE)
    paid(counter.hold.send(counter.hold.prepare_capture(provider_payment_id, "cap-1")))
    assert rig.money(provider_payment_id) == Money(taken=10000)


def test_a_payment_somebody_confirmed_meanwhile_is_not_returned_by_a_cancellation(
    counter: Counter, rig: TBankRig
) -> None:
    provider_payment_id = counter.held()
    call = counter.hold.prepare_cancel(provider_payment_id, "can-1")
    paid(counter.hold.send(counter.hold.prepare_capture(provider_payment_id, "cap-1")))
    assert isinstance(counter.hold.send(call), Rejected)
    assert rig.money(provider_payment_id) == Money(taken=PRICE)


def test_a_capture_after_the_hold_ran_out_is_refused(counter: Counter, rig: TBankRig) -> None:
    provider_payment_id = counter.held()
    rig.time_passes(8 * 86400)
    assert isinstance(counter.hold.send(counter.hold.prepare_capture(provider_payment_id, "cap-1")), Rejected)
    assert rig.money(provider_payment_id) == Money()


@pytest.mark.parametrize("behaviour", [Behaviour(declined_without_success=True), Behaviour(attempts=3)], ids=str)
def test_a_decline_is_told_however_the_bank_puts_it(counter: Counter, rig: TBankRig, behaviour: Behaviour) -> None:
    rig.bank.behaviour = behaviour
    provider_payment_id = counter.opened().provider_payment_id
    for _ in range(behaviour.attempts):
        assert fact(counter.hold.fetch(provider_payment_id)).status is ProviderStatus.PENDING
        rig.buyer_is_declined(provider_payment_id)
    assert fact(counter.hold.fetch(provider_payment_id)).status is ProviderStatus.CANCELED


# Asking


def test_a_list_of_all_refunds_is_not_offered(counter: Counter) -> None:
    outcome = counter.hold.list_refunds(created_gte=START, created_lt=START + timedelta(days=1))
    assert isinstance(outcome, Rejected)
    assert outcome.code == "no_list"


@pytest.mark.parametrize("refund_id", ["", "1", "1-", "1-x", "x-1", "1-" + "9" * 13, "../-1", "1-²"])
def test_a_refund_of_another_form_is_not_ours(counter: Counter, rig: TBankRig, refund_id: str) -> None:
    assert isinstance(counter.hold.fetch_refund(refund_id), NotOurs)
    assert rig.wire.calls == []


def test_unknown_fields_are_taken_calmly(counter: Counter, rig: TBankRig) -> None:
    provider_payment_id = counter.held()
    rig.bank.faults.add(Fault(FaultKind.STRANGERS))
    assert fact(counter.hold.fetch(provider_payment_id)).status is ProviderStatus.HELD


def test_an_answer_about_another_payment_decides_nothing(counter: Counter, rig: TBankRig) -> None:
    provider_payment_id = counter.held()
    rig.wire.rewrite_next(lambda answer: answer.replace(provider_payment_id.encode(), b"1"))
    assert isinstance(counter.hold.fetch(provider_payment_id), Unknown)


def test_a_changed_password_sends_what_was_stored_before_it(counter: Counter, rig: TBankRig) -> None:
    """The Token is made when a call is sent, not when it is stored."""
    call = rig.connect(replace(rig.shop, secret_key="the old one")).prepare_create(counter.order(), "pay-1")
    assert isinstance(counter.hold.send(call), Ok)


def test_one_stage_shops_and_two_stage_shops_are_told_apart(counter: Counter, rig: TBankRig) -> None:
    assert counter.at_once.shop.capture is CaptureMode.IMMEDIATE
    first = counter.opened(counter.at_once).provider_payment_id
    second = counter.opened().provider_payment_id
    rig.buyer_pays(first)
    rig.buyer_pays(second)
    assert (rig.money(first), rig.money(second)) == (Money(taken=PRICE), Money(held=PRICE))
