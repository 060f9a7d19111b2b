"""Days of sales follow a machine's zone, and the laws of that zone, whoever counts them."""

from collections.abc import Callable, Iterator
from datetime import date, timedelta
from pathlib import Path
from zoneinfo import TZPATH, ZoneInfo, reset_tzpath

import pytest
from sqlalchemy import select, update

from cloud.database.transaction import Transaction
from cloud.fleet.models import Device
from cloud.fleet.zones import rules_of, zone
from cloud.orders.sales_days import SalesRollup, is_behind, roll_up
from cloud.orders.sales_tables import MerchantDay, SalesZone
from protocol.reasons import Result
from tests.cloud.orders.test_sales_days import EAST, buy, by_hand, figures, rolled_up, set_up
from tests.cloud.worlds import DEVICE, OTHER_DEVICE, World


def test_midnight_is_the_machines_own(sqlite_world: World) -> None:
    world = sqlite_world
    world.database.transact(set_up)
    world.clock.advance(6 * 3600)  # 18:00 in Moscow, 01:00 of the next day in Vladivostok
    for device in (DEVICE, OTHER_DEVICE):
        order_id = buy(world, device)
        world.publish(order_id)
        world.report(order_id, Result.DONE, device=device)
    days = dict(rolled_up(world).keys())
    assert days[OTHER_DEVICE] - days[DEVICE] == timedelta(days=1)


def test_a_machine_that_gets_another_zone_has_all_its_days_counted_anew(world: World) -> None:
    for _ in range(3):
        for device in (DEVICE, DEVICE, OTHER_DEVICE):
            world.clock.advance(3 * 3600)
            order_id = buy(world, device)
            world.publish(order_id)
            world.report(order_id, Result.DONE, device=device)
    before = rolled_up(world)
    for name in (EAST, "Pacific/Niue", "Pacific/Kiritimati"):  # the last two are 25 hours apart
        world.database.transact(move, DEVICE, name)
        assert is_behind_now(world)
        assert figures(rolled_up(world)) == by_hand(world)
        assert not is_behind_now(world)
        assert merchants_days(world) == by_hand_of_all(world)
    assert figures(rolled_up(world)) != figures(before)


def test_a_zone_that_changes_again_while_days_are_counted_anew_loses_nothing(sqlite_world: World) -> None:
    world = sqlite_world
    for _ in range(8):
        world.clock.advance(7 * 3600)
        buy(world, DEVICE)
    rolled_up(world)
    for name in (EAST, "Pacific/Niue", "Pacific/Kiritimati", "Europe/Moscow"):
        world.database.transact(move, DEVICE, name)
        for _ in range(3):
            assert world.database.transact(roll_up, world.now)
        buy(world, DEVICE)
    assert figures(rolled_up(world)) == by_hand(world)


Laws = Callable[[str, str], None]


@pytest.fixture
def new_law(tmp_path: Path) -> Iterator[Laws]:
    """Another release of the time zone database, in which one zone's rules are those of another zone."""
    known = TZPATH

    def read_again() -> None:
        ZoneInfo.clear_cache()
        zone.cache_clear()

    def rules(name: str, of: str) -> None:
        (file := tmp_path / name).parent.mkdir(exist_ok=True)
        file.write_bytes(next(Path(folder, of) for folder in known if Path(folder, of).exists()).read_bytes())
        read_again()

    reset_tzpath([str(tmp_path), *known])
    yield rules
    reset_tzpath(known)
    read_again()


def test_a_law_that_moves_a_zones_midnight_has_all_its_days_counted_anew(world: World, new_law: Laws) -> None:
    """Regression: only the zone's name was compared, and a sale near midnight was in two days."""
    new_law(EAST, EAST)
    world.database.transact(set_up)
    for number in range(16):
        world.clock.advance(3 * 3600)
        order_id = buy(world, (DEVICE, OTHER_DEVICE)[number % 2])
        world.publish(order_id)
        world.report(order_id, Result.DONE, device=(DEVICE, OTHER_DEVICE)[number % 2])
    before = figures(rolled_up(world))
    for of in ("Pacific/Kiritimati", "Asia/Kathmandu", EAST):
        new_law(EAST, of)
        rolled_up(world)
        world.clock.advance(3600)
        assert world.database.transact(roll_up, world.now)
        assert is_behind_now(world)
        assert figures(rolled_up(world)) == by_hand(world)
        assert not is_behind_now(world)
        assert merchants_days(world) == by_hand_of_all(world)
    assert before == by_hand(world)


@pytest.mark.parametrize("steps", range(1, 7))
def test_programs_that_know_different_laws_lose_no_sale_while_both_count(
    sqlite_world: World, new_law: Laws, steps: int
) -> None:
    """What both together left in no day is found by the one that stays, an hour after the other."""
    world = sqlite_world
    new_law(EAST, EAST)
    world.clock.advance(20 * 3600)
    buy(world, DEVICE)
    [(_, day)] = rolled_up(world)
    world.database.transact(move, DEVICE, EAST)
    for number in range(12):
        new_law(EAST, ("Pacific/Niue", EAST)[number % 2])
        for _ in range(steps):
            world.database.transact(roll_up, world.now)
    for _ in range(3):
        world.clock.advance(3600)
        assert figures(rolled_up(world)).keys() <= {(DEVICE, day + timedelta(days=n)) for n in (-1, 0, 1)}
    with world.database.read() as session:
        begins = session.scalar(select(SalesZone.first_day).where(SalesZone.device_uuid == DEVICE))
    assert begins is not None
    assert begins >= day - timedelta(days=5)
    assert figures(rolled_up(world)) == by_hand(world)


@pytest.mark.both_databases
def test_programs_that_know_different_laws_come_to_rest(
    world: World, new_law: Laws, caplog: pytest.LogCaptureFixture
) -> None:
    """Regression: each counted anew all that the other had, for ever, and summaries waited for both."""
    new_law(EAST, EAST)
    world.database.transact(move, DEVICE, EAST)
    buy(world, DEVICE)
    rolled_up(world)
    rollup = SalesRollup(world.database)
    for number, later in enumerate([60] * 6 + [15 * 60] * 14):
        world.clock.advance(later)
        new_law(EAST, ("Pacific/Niue", EAST)[number % 2])
        assert not is_behind_now(world)
        assert rollup.step(world.now) > world.now
        assert not is_behind_now(world)
    told = [record for record in caplog.records if "different rules" in record.message]
    assert 1 <= len(told) <= 5
    world.clock.advance(-20 * 86400)
    new_law(EAST, "Pacific/Niue")
    rolled_up(world)
    world.clock.advance(3600)
    assert figures(rolled_up(world)) == by_hand(world)


def test_days_of_which_an_older_program_has_not_said_their_rules_are_left_as_they_are(sqlite_world: World) -> None:
    buy(sqlite_world, DEVICE)
    before = figures(rolled_up(sqlite_world))
    sqlite_world.database.transact(lambda tx: tx.session.execute(update(SalesZone).values(rules="")))
    assert not is_behind_now(sqlite_world)
    assert figures(rolled_up(sqlite_world)) == before
    with sqlite_world.database.read() as session:
        rows = session.execute(select(SalesZone.rules, SalesZone.zone, SalesZone.next_day)).all()
    assert {tuple(row) for row in rows} == {(rules_of("Europe/Moscow"), "Europe/Moscow", None)}


def move(tx: Transaction, device: str, name: str) -> None:
    tx.session.execute(update(Device).where(Device.device_uuid == device).values(zone=name))


def merchants_days(world: World) -> dict[date, tuple[int, int]]:
    """Cups and what was taken."""
    with world.database.read() as session:
        return {row.day: (row.cups, row.taken) for row in session.scalars(select(MerchantDay))}


def by_hand_of_all(world: World) -> dict[date, tuple[int, int]]:
    sums: dict[date, tuple[int, int]] = {}
    for (_, day), (cups, _, taken, _) in by_hand(world).items():
        before = sums.get(day, (0, 0))
        sums[day] = before[0] + cups, before[1] + taken
    return sums


def is_behind_now(world: World) -> bool:
    with world.database.read() as session:
        return is_behind(session)
