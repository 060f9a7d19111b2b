"""What a payment's state allows: every published status against every act, and how refunds are named and summed."""

import pytest

from cloud.payments.facts import ProviderStatus, RefundStatus
from cloud.payments.tbank.ledger_view import Booked
from cloud.payments.tbank.objects import State, payment_facts, refunded
from cloud.payments.tbank.rules import (
    Step,
    cancel_step,
    capture_step,
    foremost,
    refund_as_it_stands,
    refund_step,
    refunds_until_now,
)

PRICE = 15000
SEND, TELL, REFUSE = Step.SEND, Step.TELL, Step.REFUSE
TABLE = {
    "NEW": (ProviderStatus.PENDING, REFUSE, SEND, REFUSE),
    "FORM_SHOWED": (ProviderStatus.PENDING, REFUSE, SEND, REFUSE),
    "PREAUTHORIZING": (ProviderStatus.PENDING, REFUSE, TELL, REFUSE),
    "AUTHORIZING": (ProviderStatus.PENDING, REFUSE, TELL, REFUSE),
    "3DS_CHECKING": (ProviderStatus.PENDING, REFUSE, TELL, REFUSE),
    "3DS_CHECKED": (ProviderStatus.PENDING, REFUSE, TELL, REFUSE),
    "PAY_CHECKING": (ProviderStatus.PENDING, REFUSE, TELL, REFUSE),
    "AUTHORIZED": (ProviderStatus.HELD, SEND, SEND, REFUSE),
    "PARTIAL_REVERSED": (ProviderStatus.HELD, SEND, SEND, REFUSE),
    "CONFIRMING": (ProviderStatus.HELD, TELL, TELL, REFUSE),
    "CONFIRM_CHECKING": (ProviderStatus.HELD, TELL, TELL, REFUSE),
    "REVERSING": (ProviderStatus.HELD, TELL, TELL, REFUSE),
    "CONFIRMED": (ProviderStatus.SUCCEEDED, TELL, REFUSE, SEND),
    "REFUNDING": (ProviderStatus.SUCCEEDED, TELL, REFUSE, TELL),
    "ASYNC_REFUNDING": (ProviderStatus.SUCCEEDED, TELL, REFUSE, TELL),
    "PARTIAL_REFUNDED": (ProviderStatus.SUCCEEDED, TELL, REFUSE, TELL),
    "REFUNDED": (ProviderStatus.SUCCEEDED, TELL, REFUSE, TELL),
    "REVERSED": (ProviderStatus.CANCELED, REFUSE, TELL, REFUSE),
    "CANCELED": (ProviderStatus.CANCELED, REFUSE, TELL, REFUSE),
    "DEADLINE_EXPIRED": (ProviderStatus.CANCELED, REFUSE, TELL, REFUSE),
    "ATTEMPTS_EXPIRED": (ProviderStatus.CANCELED, REFUSE, TELL, REFUSE),
    "AUTH_FAIL": (ProviderStatus.CANCELED, REFUSE, TELL, REFUSE),
    "REJECTED": (ProviderStatus.CANCELED, REFUSE, TELL, REFUSE),
    "QUANTUM_CHECKING": (ProviderStatus.UNKNOWN_STATUS, TELL, TELL, TELL),
}
"""Status, and what becomes of a capture, a cancellation and a refund. Part was refunded that our books do not know."""


def state(status: str, amount: int = PRICE, method: str | None = None) -> State:
    return State("700", "pay-1", status, amount, "terminal", method=method)


@pytest.mark.parametrize("word", TABLE)
def test_every_status_decides_what_may_be_sent(word: str) -> None:
    status, capture, cancel, refund = TABLE[word]
    now = state(word, 10000 if word == "PARTIAL_REFUNDED" else PRICE)
    booked = Booked("ord-1", PRICE)
    assert payment_facts(now, booked).status is status
    assert (capture_step(now), cancel_step(now), refund_step(now, booked)) == (capture, cancel, refund)


def test_a_refund_goes_on_when_every_earlier_one_is_in_our_books() -> None:
    now = state("PARTIAL_REFUNDED", 10000)
    assert refund_step(now, Booked("ord-1", PRICE, {"700-5000": 5000})) is SEND
    assert refund_step(now, Booked("ord-1", PRICE, {"700-3000": 3000})) is TELL


@pytest.mark.parametrize(("method", "step"), [("bank_card", SEND), ("sbp", Step.BY_HAND), (None, Step.BY_HAND)])
def test_a_bank_that_tells_the_first_sum_for_ever_is_asked_again_where_it_knows_a_repeat(
    method: str | None, step: Step
) -> None:
    now = state("PARTIAL_REFUNDED", PRICE, method)
    assert refunded(now, Booked("ord-1", PRICE, {"700-5000": 5000})) == 5000
    assert refund_step(now, Booked("ord-1", PRICE)) is step


def test_where_the_sum_is_not_told_a_first_part_is_there_and_of_a_further_one_nobody_can_say() -> None:
    now = state("PARTIAL_REFUNDED", PRICE)
    first = refund_as_it_stands(now, Booked("ord-1", PRICE), 5000)
    assert first is not None
    assert (first.status, first.amount) == (RefundStatus.SUCCEEDED, 5000)
    assert refund_as_it_stands(now, Booked("ord-1", PRICE, {"700-5000": 5000}), 9000) is None


@pytest.mark.parametrize("status", ["REFUNDED", "REVERSED", "PARTIAL_REFUNDED", "REFUNDING"])
@pytest.mark.parametrize("told", [0, 10000, PRICE])
def test_what_went_back_does_not_make_the_payment_smaller(status: str, told: int) -> None:
    assert payment_facts(state(status, told), Booked("ord-1", PRICE)).amount == PRICE


def test_a_smaller_sum_that_was_taken_is_told_as_it_is() -> None:
    facts = payment_facts(state("CONFIRMED", 100), Booked("ord-1", PRICE))
    assert (facts.amount, facts.captured) == (100, 100)


def test_the_same_refund_has_the_same_name_whoever_learns_of_it() -> None:
    now = state("PARTIAL_REFUNDED", 10000)
    [new] = refunds_until_now(now, Booked("ord-1", PRICE))
    [known] = refunds_until_now(now, Booked("ord-1", PRICE, {"700-5000": 5000}))
    assert (new.provider_refund_id, new.amount) == (known.provider_refund_id, known.amount) == ("700-5000", 5000)


def test_nothing_went_back_of_an_untouched_payment() -> None:
    assert refunds_until_now(state("CONFIRMED"), Booked("ord-1", PRICE)) == ()
    assert refunds_until_now(state("AUTHORIZED"), None) == ()


def test_a_refund_under_way_is_awaited_and_one_that_fell_back_has_failed() -> None:
    for word, stands in (
        (state("ASYNC_REFUNDING"), RefundStatus.PENDING),
        (state("REFUNDED", 0), RefundStatus.SUCCEEDED),
        (state("CONFIRMED"), RefundStatus.CANCELED),
        (state("QUANTUM_CHECKING"), RefundStatus.UNKNOWN_STATUS),
    ):
        facts = refund_as_it_stands(word, Booked("ord-1", PRICE), PRICE)
        assert facts is not None
        assert facts.status is stands


def test_of_several_payments_under_one_order_the_one_with_money_counts() -> None:
    found = [state("CANCELED"), state("NEW"), state("AUTHORIZED"), state("REJECTED")]
    assert foremost(found).status == "AUTHORIZED"
    assert foremost(found[:2]).status == "NEW"
    assert foremost(found[:1]).status == "CANCELED"
