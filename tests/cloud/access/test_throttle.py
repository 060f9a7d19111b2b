"""Failures are counted for all processes, on both databases, and forgotten when their time is over."""

from datetime import timedelta

import pytest
from sqlalchemy import func, select

from cloud.access import throttle
from cloud.access.models import LoginAttempt
from tests.cloud.worlds import World

KEYS = throttle.keys_of("ann@example.com", "192.0.2.1")


def waits(world: World) -> bool:
    with world.database.read() as session:
        return throttle.waits_until(session, KEYS, world.now) is not None


def test_after_the_free_failures_an_account_waits_and_an_hour_forgets(world: World) -> None:
    for _ in range(4):
        world.database.transact(throttle.failed, KEYS, world.now)
    assert not waits(world)
    world.database.transact(throttle.failed, KEYS, world.now)
    assert waits(world)
    world.clock.advance(timedelta(hours=1, seconds=1).total_seconds())
    world.database.transact(throttle.failed, KEYS, world.now)
    assert not waits(world)
    for _ in range(5):
        world.database.transact(throttle.failed, KEYS, world.now)
    world.database.transact(throttle.succeeded, KEYS)
    assert not waits(world)


def test_no_account_shares_its_failures_with_another(world: World) -> None:
    """Regression: accounts shared 65 536 rows, so that whoever owned a colliding one freed another by logging in."""
    for _ in range(5):
        world.database.transact(throttle.failed, KEYS, world.now)
    world.database.transact(throttle.succeeded, throttle.keys_of("a92800@example.com", ""))  # sixteen bits are alike
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
        world.database.transact(throttle.failed, throttle.keys_of(typed, ""), world.now)
    assert waits(world)


def test_strangers_cannot_fill_the_table(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(throttle, "MOST", 10)
    for n in range(30):
        world.clock.advance(1)
        world.database.transact(throttle.failed, throttle.keys_of(f"nobody{n}@example.com", f"192.0.2.{n}"), world.now)
    for _ in range(5):
        world.clock.advance(1)
        world.database.transact(throttle.failed, KEYS, world.now)
    with world.database.read() as session:
        assert session.scalar(select(func.count()).select_from(LoginAttempt)) == 10
    assert waits(world)
