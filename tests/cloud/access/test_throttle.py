"""Failures are counted for all processes, on both databases, and forgotten when their time is over."""

from datetime import timedelta

from cloud.access import throttle
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
