"""The token bucket and the circuit breaker, without a clock."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloud.payments.rate import LONGEST_PAUSE_S, CircuitBreaker, TokenBucket


def test_a_bucket_lets_a_burst_go_and_then_the_rate() -> None:
    bucket = TokenBucket(per_second=5, burst=10)
    assert [bucket.take(0.0) for _ in range(10)] == [0.0] * 10
    assert bucket.take(0.0) == pytest.approx(0.2)
    assert bucket.take(0.25) == 0.0
    assert bucket.take(0.25) > 0


def test_a_bucket_never_holds_more_than_its_burst() -> None:
    bucket = TokenBucket(per_second=5, burst=2)
    bucket.take(0.0)
    assert [bucket.take(1e6) for _ in range(2)] == [0.0, 0.0]
    assert bucket.take(1e6) > 0


def test_a_clock_that_is_behind_takes_nothing_away() -> None:
    """Threads ask in turns, and not in the order of their moments."""
    bucket = TokenBucket(per_second=5, burst=2)
    assert [bucket.take(10.0), bucket.take(9.0), bucket.take(9.0)] == [0.0, 0.0, pytest.approx(0.2)]


def test_a_pause_is_kept_and_bounded() -> None:
    bucket = TokenBucket()
    bucket.pause(0.0, 3.0)
    assert bucket.take(1.0) == 2.0
    assert bucket.take(3.0) == 0.0
    bucket.pause(3.0, 1e9)
    assert bucket.take(3.0) == LONGEST_PAUSE_S
    bucket.pause(4.0, 1.0)
    assert bucket.take(5.0) == LONGEST_PAUSE_S - 2, "a shorter one ends no longer one"


@given(st.lists(st.floats(min_value=0, max_value=100), min_size=1, max_size=200))
def test_no_order_of_moments_gets_more_than_burst_and_rate(moments: list[float]) -> None:
    bucket = TokenBucket(per_second=2, burst=3)
    passed = sum(bucket.take(moment) == 0.0 for moment in sorted(moments))
    assert passed <= 3 + 2 * (max(moments) - min(moments)) + 1e-6


def test_a_bucket_that_could_never_give_is_refused() -> None:
    for per_second, burst in ((0.0, 1.0), (1.0, 0.5)):
        with pytest.raises(ValueError, match="bucket"):
            TokenBucket(per_second, burst)
    assert TokenBucket(1.0, 1.0).take(0.0) == 0.0


def test_a_circuit_opens_after_failures_in_a_row() -> None:
    breaker = CircuitBreaker(failures=3, open_s=10)
    breaker.failed(0.0)
    breaker.failed(0.0)
    breaker.answered()
    breaker.failed(0.0)
    breaker.failed(0.0)
    assert breaker.try_pass(0.0) == 0.0
    breaker.failed(1.0)
    assert breaker.try_pass(2.0) == 9.0


def test_an_open_circuit_lets_one_probe_through_and_closes_on_an_answer() -> None:
    breaker = CircuitBreaker(failures=1, open_s=10)
    breaker.failed(0.0)
    assert breaker.try_pass(10.0) == 0.0
    assert breaker.try_pass(10.0) == 10.0
    breaker.answered()
    assert [breaker.try_pass(10.0) for _ in range(3)] == [0.0] * 3


def test_a_failed_probe_opens_it_again_and_a_lost_one_blocks_only_for_a_while() -> None:
    breaker = CircuitBreaker(failures=1, open_s=10)
    breaker.failed(0.0)
    assert breaker.try_pass(10.0) == 0.0
    breaker.failed(12.0)
    assert breaker.try_pass(20.0) == 2.0
    assert breaker.try_pass(22.0) == 0.0
    assert breaker.try_pass(32.0) == 0.0
