"""Limits per visitor: bounded, refilled, given back."""

from datetime import timedelta

from cloud.buyer import limits
from cloud.buyer.limits import RateLimit, Seats
from cloud.http.addresses import home_of
from tests.cloud.buyer.orders import START


def test_a_bucket_empties_and_refills() -> None:
    limit = RateLimit(burst=2, per_s=0.5)

    assert [limit.allows("192.0.2.1", START) for _ in range(3)] == [True, True, False]
    assert limit.allows("192.0.2.2", START)
    assert not limit.allows("192.0.2.1", START + timedelta(seconds=1))
    assert limit.allows("192.0.2.1", START + timedelta(seconds=3))


def test_a_clock_set_back_takes_nothing_away() -> None:
    limit = RateLimit(burst=2, per_s=1)
    limit.allows("192.0.2.1", START)

    assert limit.allows("192.0.2.1", START - timedelta(days=1))


def test_only_so_many_addresses_are_remembered() -> None:
    limit = RateLimit(burst=1, per_s=0)
    assert limit.allows("first", START)
    for number in range(limits.REMEMBERED_ADDRESSES):
        limit.allows(f"address {number}", START)

    assert limit.allows("first", START), "it was forgotten, longest unseen of all"


def test_seats_are_counted_for_all_and_for_each() -> None:
    seats = Seats(total=3, per_address=2)
    mine = [seats.take("192.0.2.1") for _ in range(3)]

    assert mine[0] and mine[1]  # noqa: PT018  # both or neither
    assert mine[2] is None
    assert seats.take("192.0.2.2") is not None
    assert seats.take("192.0.2.3") is None
    assert seats.taken == 3


def test_a_seat_is_given_back_once() -> None:
    seats = Seats(total=2, per_address=2)
    leave, _ = seats.take("a"), seats.take("a")
    assert leave is not None

    leave()
    leave()

    assert seats.taken == 1
    assert seats.take("a") is not None


def test_one_household_of_ipv6_is_one_address() -> None:
    assert home_of("2001:db8:1:2::1") == home_of("2001:db8:1:2:ffff::9")
    assert home_of("2001:db8:1:3::1") != home_of("2001:db8:1:2::1")
    assert home_of("192.0.2.1") != home_of("192.0.2.2")
    assert home_of("") == ""


def test_visitors_whose_address_nobody_can_tell_are_limited_only_together() -> None:
    limit, seats = RateLimit(1, 0.1), Seats(3, 1)

    assert all(limit.allows("", START) for _ in range(5))
    assert [seats.take("") is not None for _ in range(4)] == [True, True, True, False]
