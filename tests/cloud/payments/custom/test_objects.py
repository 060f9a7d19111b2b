"""What a merchant tells of a payment: read strictly, and put together in whatever order it came."""

import itertools
import json
from typing import Any

import pytest

from cloud.payments.custom.objects import (
    Unreadable,
    as_a_whole,
    our_payment,
    pay_until,
    payment_facts,
    payment_name,
    refund_facts,
    told_of,
)
from cloud.payments.facts import ProviderStatus, RefundStatus

PAID = {"account": "a", "payment": "p.1772447400", "order": "o", "status": "succeeded", "amount": 17900}


def told(**changes: Any) -> Any:
    return told_of(json.dumps(PAID | changes))


@pytest.mark.parametrize(
    "changes",
    [
        {"amount": "17900"},
        {"amount": 179.0001},
        {"amount": True},
        {"amount": -1},
        {"amount": 10**13},
        {"captured": "all"},
        {"nonce": "n\0"},
        {"status": 1},
        {"payment": "../x"},
        {"payment": "p\n"},
        {"account": ""},
        {"order": "x" * 256},
        {"refunds": [{"id": "r"}]},
        {"refunds": [{"id": "r 1", "amount": 1, "status": "succeeded"}]},
        {"refunds": [{"id": f"r{n}", "amount": 1, "status": "succeeded"} for n in range(101)]},
        {"hold_until": "tomorrow"},
        {"hold_until": "2026-03-02T12:00:00"},
    ],
)
def test_what_is_not_as_described_is_not_guessed_at(changes: dict[str, Any]) -> None:
    with pytest.raises(Unreadable):
        told(**changes)


@pytest.mark.parametrize("payload", ["", "[]", "null", "{", "{}", "[" * 5000, '"' + "\\ud800" + '"'])
def test_what_is_no_payment_is_unreadable(payload: str) -> None:
    with pytest.raises(Unreadable):
        told_of(payload)


def test_less_taken_than_the_price_is_another_amount() -> None:
    """Regression: what was taken was looked at by nobody, and a kopeck poured a drink."""
    assert payment_facts(told(captured=1)).amount == 1
    assert payment_facts(told(status="held", captured=1)).amount == PAID["amount"]


def test_words_that_every_database_can_store() -> None:
    """Regression: with a NUL in its method a paid payment's news could not be written, and it stayed pending."""
    assert payment_facts(told(method="card\0")).method == "card\ufffd"
    canceled = payment_facts(told(status="canceled", reason="\0")).cancellation
    assert canceled is not None
    assert canceled.reason == "\ufffd"


@pytest.mark.parametrize("said", ["0001-01-01T00:00:00+03:00", "9999-12-31T23:59:59-12:00"])
def test_a_hold_until_the_edge_of_the_calendar_says_nothing(said: str) -> None:
    held = payment_facts(told(status="held", hold_until=said))
    assert (held.status, held.hold_expires_at) == (ProviderStatus.HELD, None)


def test_every_status_in_our_words() -> None:
    said = {status: payment_facts(told(status=status)).status for status in ("pending", "held", "canceled", "paid!")}
    assert said == {
        "pending": ProviderStatus.PENDING, "held": ProviderStatus.HELD, "canceled": ProviderStatus.CANCELED,
        "paid!": ProviderStatus.UNKNOWN_STATUS,
    }  # fmt: skip


def test_only_money_that_was_taken_counts_as_taken() -> None:
    assert payment_facts(told()).captured == 17900
    assert payment_facts(told(captured=100)).captured == 100
    assert payment_facts(told(status="held")).captured == 0


def test_only_returns_that_arrived_count_as_returned() -> None:
    refunds = [
        {"id": f"r{n}", "amount": 10**n, "status": s} for n, s in enumerate(("succeeded", "pending", "canceled", "?"))
    ]
    whole = told(refunds=refunds)
    assert payment_facts(whole).refunded == 1
    assert [refund_facts(whole, refund).status for refund in whole.refunds] == [
        RefundStatus.SUCCEEDED, RefundStatus.PENDING, RefundStatus.CANCELED, RefundStatus.UNKNOWN_STATUS,
    ]  # fmt: skip


def test_callbacks_mean_the_same_in_any_order() -> None:
    back = {"id": "r1", "amount": 17900}
    heard = [
        told(status="pending"),
        told(status="held"),
        told(),
        told(refunds=[back | {"status": "pending"}]),
        told(refunds=[back | {"status": "succeeded"}]),
    ]
    for order in itertools.permutations(heard):
        facts = payment_facts(as_a_whole(order) or told())
        assert (facts.status, facts.captured, facts.refunded) == (ProviderStatus.SUCCEEDED, 17900, 17900)


def test_money_that_was_taken_is_never_talked_away() -> None:
    for order in itertools.permutations([told(status="canceled"), told()]):
        whole = as_a_whole(order)
        assert whole is not None
        assert whole.status == "succeeded"
    assert as_a_whole([]) is None


def test_the_id_tells_our_payment_and_its_last_moment() -> None:
    name = payment_name("9f86", 1772447400)
    assert (our_payment(name), pay_until(name)) == ("9f86", 1772447400)
    assert [pay_until(odd) for odd in ("9f86", "9f86.", "9f86.x", "9f86.1772447400.1", "9f86." + "9" * 13)] == [
        None
    ] * 5
