"""Since when a machine is as it is: one row for each change, none for what is only said again."""

from datetime import timedelta
from typing import Any

import pytest

from cloud.courier.tmetr.heartbeat import nobody_is_online
from cloud.database.transaction import Transaction
from cloud.fleet import presence_history, sessions
from cloud.fleet.models import Device, DeviceLive
from cloud.fleet.presence_history import KEPT_FOR, Presence, Spell, current_spells, spells_of
from tests.cloud.worlds import DEVICE, OTHER_DEVICE, START, World

pytestmark = pytest.mark.any_database

NO_WATER = {"code": "no_water", "level": "block"}


def change(world: World, device_uuid: str = DEVICE, **values: Any) -> None:
    def work(tx: Transaction) -> None:
        live = tx.session.get_one(DeviceLive, device_uuid, with_for_update=True)
        for name, value in values.items():
            setattr(live, name, value)
        presence_history.note(tx, [live], world.now)

    world.database.transact(work)


def now_of(world: World, *device_uuids: str) -> dict[str, Spell]:
    with world.database.read() as session:
        return current_spells(session, device_uuids or [DEVICE])


def history(world: World, device_uuid: str = DEVICE) -> list[tuple[str, str, float, float | None]]:
    with world.database.read() as session:
        spells = spells_of(session.connection(), device_uuid, START - timedelta(days=400))
    return [
        (one.state, one.reason, seconds(one.since), None if one.until is None else seconds(one.until)) for one in spells
    ]


def seconds(moment: Any) -> float:
    return float((moment - START).total_seconds())


def test_a_spell_begins_at_a_change_and_not_at_a_repeat(world: World) -> None:
    assert now_of(world) == {}, "never heard of"
    began = seconds(world.now)
    change(world, online=True, state={"link": "up", "selling": True})
    for _ in range(3):
        world.clock.advance(60)
        change(world, online=True, state={"link": "up", "selling": True, "machine": "brewing", "busy_order": "o-1"})
    change(world, state={"faults": [NO_WATER]})
    world.clock.advance(10)
    change(world, online=False)
    assert history(world) == [
        ("online", "", began, began + 180),
        ("faulted", "no_water", began + 180, began + 190),
        ("offline", "", began + 190, None),
    ]
    assert now_of(world)[DEVICE].state is Presence.OFFLINE


@pytest.mark.parametrize(
    ("state", "reason"),
    [
        ({"link": "down"}, "machine_offline"),
        ({"selling": False}, "not_selling"),
        ({"machine": "service"}, "service"),
        ({"machine": "heating"}, ""),
        ({"faults": [NO_WATER | {"drinks": ["latte"]}]}, ""),
        ({"faults": [NO_WATER | {"level": "warn"}]}, ""),
        (None, ""),
    ],
)
def test_faulted_is_a_machine_that_can_make_nothing_until_something_changes(
    sqlite_world: World, state: dict[str, Any] | None, reason: str
) -> None:
    change(sqlite_world, online=True, state=state)
    spell = now_of(sqlite_world)[DEVICE]
    assert (spell.state, spell.reason) == (Presence.FAULTED if reason else Presence.ONLINE, reason)


@pytest.mark.both_databases
def test_many_machines_are_asked_about_in_one_question(world: World) -> None:
    change(world, online=True)
    change(world, OTHER_DEVICE, online=True, two_agents_since=world.now, sessions=[["a", 1], ["b", 1]], session_id="b")
    told = now_of(world, DEVICE, OTHER_DEVICE, "stranger")
    assert {device: (one.state, one.reason) for device, one in told.items()} == {
        DEVICE: ("online", ""),
        OTHER_DEVICE: ("faulted", "two_agents"),
    }

    def resume(tx: Transaction) -> None:
        sessions.resume(tx, tx.session.get_one(DeviceLive, OTHER_DEVICE), "anna", world.now)

    world.database.transact(resume)
    assert now_of(world, OTHER_DEVICE)[OTHER_DEVICE].state is Presence.ONLINE


def test_a_machine_on_a_loose_plug_fills_its_own_room_only_and_old_spells_go(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(presence_history, "KEPT_EACH", 3)
    change(world, OTHER_DEVICE, online=True)
    change(world, OTHER_DEVICE, online=False)
    for number in range(9):
        world.clock.advance(1)
        change(world, online=number % 2 == 0)
    assert [state for state, *_ in history(world)] == ["online", "offline", "online"]
    assert len(history(world, OTHER_DEVICE)) == 2
    world.clock.advance(KEPT_FOR.total_seconds() + 60)
    change(world, online=False)
    assert [state for state, *_ in history(world, OTHER_DEVICE)] == ["offline"], "how it is now is never forgotten"


@pytest.mark.both_databases
def test_only_what_lasted_beyond_the_moment_asked_for(world: World) -> None:
    change(world, online=True)
    world.clock.advance(100)
    change(world, online=False)
    with world.database.read() as session:
        asked = spells_of(session, DEVICE, world.now)
    assert [one.state for one in asked] == ["offline"]


def test_a_clock_set_back_ends_no_spell_before_it_began(world: World) -> None:
    began = world.now
    change(world, online=True)
    world.clock.advance(-3600)
    change(world, online=False)
    assert history(world)[0][2:] == (seconds(began), seconds(began))


def test_machines_of_a_tmetr_that_is_gone_are_offline_from_then_on(world: World) -> None:
    def to_tmetr(tx: Transaction) -> None:
        tx.session.get_one(Device, DEVICE).control = "tmetr-api"

    change(world, online=True)
    world.database.transact(to_tmetr)
    world.clock.advance(5)
    world.database.transact(nobody_is_online, world.now)
    assert now_of(world)[DEVICE].since == world.now
    assert now_of(world)[DEVICE].state is Presence.OFFLINE
