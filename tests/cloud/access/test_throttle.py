"""Failures are counted for all processes, on both databases, before they are judged, and forgotten when their time is
over."""

from datetime import timedelta

import pytest
from sqlalchemy import func, select
from webauthn.helpers import bytes_to_base64url

from cloud.access import challenges, throttle
from cloud.access.challenges import Purpose
from cloud.access.models import LoginAttempt, LoginChallenge
from cloud.access.throttle import Try
from tests.cloud.worlds import World

KEYS = throttle.keys_of("ann@example.com", "192.0.2.1")


def try_(world: World, keys: tuple[str, ...] = KEYS) -> Try:
    return world.database.transact(throttle.begin, keys, world.now)


def waits(world: World, keys: tuple[str, ...] = KEYS) -> bool:
    with world.database.read() as session:
        return throttle.waits_until(session, keys, world.now) is not None


def counts(world: World) -> list[int]:
    with world.database.read() as session:
        return list(session.scalars(select(LoginAttempt.failures).order_by(LoginAttempt.key)))


def test_after_the_free_failures_an_account_waits_and_an_hour_forgets(world: World) -> None:
    for _ in range(4):
        try_(world)
    assert not waits(world)
    try_(world)
    assert waits(world)
    world.clock.advance(timedelta(hours=1, seconds=1).total_seconds())
    try_(world)
    assert not waits(world)
    for _ in range(3):
        try_(world)
    world.database.transact(throttle.succeeded, try_(world))
    assert not waits(world)
    assert counts(world) == [4], "the address keeps its own"


def test_who_must_wait_is_not_counted(world: World) -> None:
    for _ in range(5):
        try_(world)
    elsewhere = throttle.keys_of("ann@example.com", "192.0.2.2")
    with pytest.raises(throttle.Waits):
        try_(world, elsewhere)
    assert counts(world) == [5, 5]


def test_a_right_try_leaves_everything_as_it_was(world: World) -> None:
    """Nor does it begin the wait of its address anew."""
    world.database.transact(throttle.give_back, try_(world))
    assert counts(world) == []
    for _ in range(25):
        try_(world, KEYS[1:])
        world.clock.advance(600)
    for _ in range(3):
        world.database.transact(throttle.give_back, try_(world))
    assert not waits(world)
    assert counts(world) == [25]


def test_an_ipv6_network_of_one_household_is_one_address(world: World) -> None:
    """Regression: each of its 2^64 addresses had a row of its own, so that twenty failures meant nothing there."""
    for n in range(20):
        try_(world, throttle.keys_of(f"nobody{n}@example.com", f"2001:db8::{n + 1:x}"))
    assert waits(world, throttle.keys_of_address("2001:db8::ffff"))
    assert not waits(world, throttle.keys_of_address("2001:db8:0:1::1"))


def test_no_account_shares_its_failures_with_another(world: World) -> None:
    """Regression: accounts shared 65 536 rows, so that whoever owned a colliding one freed another by logging in."""
    for _ in range(5):
        try_(world)
    other = try_(world, throttle.keys_of("a92800@example.com", ""))  # sixteen bits are alike
    world.database.transact(throttle.succeeded, other)
    assert waits(world)


def test_an_address_is_one_account_however_it_is_typed(world: World) -> None:
    """Regression: an address with blanks around it let in the same user, and was counted apart."""
    for typed in (
        "ann@example.com",
        " ann@example.com",
        "ann@example.com\u00a0",
        "Ann@example.com",
        "\tANN@example.com",
    ):
        try_(world, throttle.keys_of(typed, ""))
    assert waits(world)


def test_strangers_cannot_fill_the_table(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(throttle, "MOST", 10)
    for n in range(30):
        world.clock.advance(1)
        try_(world, throttle.keys_of(f"nobody{n}@example.com", f"192.0.2.{n}"))
    for _ in range(5):
        world.clock.advance(1)
        try_(world)
    with world.database.read() as session:
        assert session.scalar(select(func.count()).select_from(LoginAttempt)) == 10
    assert waits(world)


@pytest.mark.parametrize("flood", ["of one address", "in all"])
def test_logins_begun_elsewhere_push_out_no_other_question(
    world: World, monkeypatch: pytest.MonkeyPatch, flood: str
) -> None:
    """Regression: those to the identity provider live longest, so those to authenticators were the first to go."""
    monkeypatch.setattr(challenges, "OF_ALL", challenges.OF_ONE_ADDRESS + 5)

    def vouch(n: int) -> None:
        address = "192.0.2.1" if flood == "of one address" else f"192.0.2.{n}"
        world.database.transact(challenges.ask, Purpose.VOUCH, "x", address, world.now)

    for n in range(challenges.OF_ALL):
        vouch(n)
    mine = {
        purpose: world.database.transact(challenges.ask, purpose, "mine", "192.0.2.1", world.now)
        for purpose in Purpose
        if purpose is not Purpose.VOUCH
    }
    vouch(challenges.OF_ALL)
    for purpose, asked in mine.items():
        assert world.database.transact(challenges.take, bytes_to_base64url(asked), purpose, "mine", world.now), purpose


def test_questions_of_a_session_push_out_its_own_oldest_alone(world: World) -> None:
    def ask(session: str) -> str:
        world.clock.advance(1)
        asked = world.database.transact(challenges.ask, Purpose.CONFIRM, session, "192.0.2.1", world.now)
        return bytes_to_base64url(asked)

    other = ask("other")
    first, *others, last = [ask("mine") for _ in range(challenges.OF_ONE_SESSION + 1)]

    def take(text: str, session: str = "mine") -> bool:
        return world.database.transact(challenges.take, text, Purpose.CONFIRM, session, world.now)

    assert take(other, "other")
    assert [take(text) for text in (first, *others, last)] == [False, *[True] * challenges.OF_ONE_SESSION]


def test_questions_of_one_household_push_out_its_own_alone(world: World) -> None:
    """Regression: each address of an IPv6 network had room for twenty, and one network pushed out everybody's.

    One customer may have a /48 whole: it is one address here, as for codes of enrolment.
    """
    mine = world.database.transact(challenges.ask, Purpose.ENTER, "my browser", "192.0.2.1", world.now)
    for n in range(challenges.OF_ONE_ADDRESS + 5):
        world.database.transact(challenges.ask, Purpose.ENTER, "x", f"2001:db8:0:{n:x}::1", world.now)
    with world.database.read() as session:
        assert session.scalar(select(func.count()).select_from(LoginChallenge)) == challenges.OF_ONE_ADDRESS + 1
    text = bytes_to_base64url(mine)
    assert world.database.transact(challenges.take, text, Purpose.ENTER, "my browser", world.now)
