"""When to ask again, whether what was answered agrees with our books, and what of it an order may believe."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloud.orders.money import PaymentAnswer, PaymentState
from cloud.payments.facts import Cancellation, Expected, PaymentFacts, ProviderStatus, differences
from cloud.payments.outcomes import LONGEST_WAIT_S, REPLAY_LIMIT_S, may_replay, next_ask
from cloud.payments.verification import answer_of

NOW = datetime(2026, 3, 2, 7, 15, tzinfo=UTC)
OURS = Expected("100500", 15000, {"order_id": "o-1"})


def said(
    *,
    amount: int = 15000,
    currency: str = "RUB",
    account_id: str | None = "100500",
    test: bool | None = False,
    order_id: str = "o-1",
) -> PaymentFacts:
    return PaymentFacts(
        "p-1",
        ProviderStatus.SUCCEEDED,
        amount,
        currency,
        account_id=account_id,
        test=test,
        metadata={"order_id": order_id, "other": "x"},
    )


def test_questions_grow_rarer_as_fibonacci_has_it() -> None:
    waits = [next_ask(attempt, None, lambda: 0.0) for attempt in range(1, 15)]
    assert waits == [1, 2, 3, 5, 8, 13, 21, 34, 55, 89, 144, 233, 300, 300]


def test_the_provider_may_ask_for_patience_but_not_for_ever() -> None:
    assert next_ask(1, 4.5, lambda: 0.0) == 4.5
    assert next_ask(7, 4.5, lambda: 0.0) == 21
    assert next_ask(1, 86400.0, lambda: 0.0) == LONGEST_WAIT_S


@given(
    st.integers(min_value=-1, max_value=10**9),
    st.none() | st.floats(min_value=0, max_value=1e9),
    st.floats(min_value=0, max_value=1, exclude_max=True),
)
def test_a_wait_is_always_between_a_moment_and_the_longest(attempt: int, asked: float | None, jitter: float) -> None:
    assert 0.8 <= next_ask(attempt, asked, lambda: jitter) <= LONGEST_WAIT_S


def test_jitter_spreads_also_the_longest_waits() -> None:
    assert next_ask(50, None, lambda: 0.5) == LONGEST_WAIT_S * 0.9


def test_a_key_is_not_replayed_near_the_end_of_its_life() -> None:
    assert may_replay(NOW, NOW + timedelta(seconds=REPLAY_LIMIT_S - 1))
    assert not may_replay(NOW, NOW + timedelta(seconds=REPLAY_LIMIT_S))
    assert timedelta(seconds=REPLAY_LIMIT_S) < timedelta(hours=24)


def test_a_payment_that_agrees_has_no_differences() -> None:
    assert differences(said(), OURS) == ()
    assert differences(said(account_id=None), OURS) == ()


def test_a_test_shops_payment_fits_its_order_like_any_other() -> None:
    assert {differences(said(test=test), OURS) for test in (True, False, None)} == {()}


def test_every_difference_is_named() -> None:
    assert differences(said(amount=14999), OURS) == ("amount",)
    assert differences(said(currency="KZT"), OURS) == ("currency",)
    assert differences(said(account_id="100501"), OURS) == ("account_id",)
    assert differences(said(order_id="o-2"), OURS) == ("metadata.order_id",)
    missing = Expected("100500", 15000, {"payment": "pay-1"})
    assert differences(said(), missing) == ("metadata.payment",)


def test_an_answer_is_every_word_of_the_provider_and_where_it_differs_from_ours() -> None:
    facts = replace(
        said(amount=14999, currency="KZT"),
        captured=9000,
        refunded=4000,
        income=8700,
        method="bank_card",
        confirmation_url="https://pay.example.org/p-1",
        hold_expires_at=NOW,
        cancellation=Cancellation("payment_network", "expired_on_capture"),
    )
    assert answer_of(facts, OURS) == PaymentAnswer(
        state=PaymentState.CAPTURED,
        provider_payment_id="p-1",
        captured=9000,
        refunded=4000,
        income=8700,
        method="bank_card",
        confirmation_url="https://pay.example.org/p-1",
        hold_expires_at=NOW,
        cancel_reason="expired_on_capture",
        problem="amount,currency",
    )


@pytest.mark.parametrize(
    ("status", "state"),
    [
        (ProviderStatus.PENDING, PaymentState.PENDING),
        (ProviderStatus.HELD, PaymentState.HELD),
        (ProviderStatus.SUCCEEDED, PaymentState.CAPTURED),
        (ProviderStatus.CANCELED, PaymentState.CANCELED),
        (ProviderStatus.UNKNOWN_STATUS, None),
    ],
)
def test_a_status_is_a_state_of_ours_or_decides_nothing(status: ProviderStatus, state: PaymentState | None) -> None:
    answer = answer_of(replace(said(), status=status), OURS)
    assert (answer.state if answer else None) is state
