"""What machines tell of themselves: kept once, for a while, so many of each; shown as it was told."""

import json
from contextlib import closing
from datetime import timedelta

import pytest
from click.testing import CliRunner, Result

from cloud.cli import main
from cloud.database.database import Database
from cloud.database.transaction import Transaction
from cloud.fleet import machine_events
from cloud.fleet.machine_events import KEPT_FOR, MachineEvent, keep, latest
from cloud.operators import events_report
from protocol.messages import Event
from protocol.reasons import EventKind
from tests.cloud.worlds import DEVICE, OTHER_DEVICE, SECRET_KEY, START, World


def told(message_id: str = "j-1", what: str = "fault_set", **more: object) -> Event:
    return Event(message_id=message_id, at=START, what=what, **more)  # type: ignore[arg-type]  # each is of its field's type


def hear(world: World, *events: Event, device_uuid: str = DEVICE) -> None:
    for event in events:
        world.database.transact(keep, device_uuid, event, world.now)


def kept(world: World, device_uuid: str = DEVICE) -> list[MachineEvent]:
    with world.database.read() as session:
        return list(latest(session, device_uuid, 10_000))


def test_an_event_is_kept_once_however_often_it_is_told(world: World) -> None:
    event = told(code="door_open", words="the door", evidence={"level": "block", "closes": 0}, lost=2)
    hear(world, event, event)
    (found,) = kept(world)
    assert (found.what, found.code, found.words, found.lost) == ("fault_set", "door_open", "the door", 2)
    assert (found.at, found.received_at) == (START, world.now)
    assert found.evidence == {"level": "block", "closes": 0}


def test_two_machines_may_use_the_same_ids_and_neither_hides_the_others(world: World) -> None:
    hear(world, told(code="no_water"))
    hear(world, told(code="no_beans"), device_uuid=OTHER_DEVICE)
    assert [one.code for one in kept(world)] == ["no_water"]
    assert [one.code for one in kept(world, OTHER_DEVICE)] == ["no_beans"]


@pytest.mark.any_database
def test_of_a_machine_that_is_not_in_the_fleet_nothing_is_kept(world: World) -> None:
    hear(world, *(told(f"j-{number}") for number in range(5)), device_uuid="stranger")
    assert kept(world, "stranger") == []


def test_a_word_of_a_newer_agent_is_kept_as_it_came(world: World) -> None:
    hear(world, told(what="cup_stolen"))
    assert [one.what for one in kept(world)] == ["cup_stolen"]
    with world.database.read() as session:
        assert machine_events.counts(session, START - timedelta(hours=1))[machine_events.OTHER] == 1


def test_a_noisy_machine_fills_its_own_room_and_no_others(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine_events, "KEPT_EACH", 5)
    hear(world, told("quiet-1"), device_uuid=OTHER_DEVICE)
    hear(world, *(told(f"j-{number}") for number in range(12)))
    assert [one.message_id for one in kept(world)] == [f"j-{number}" for number in range(7, 12)]
    assert len(kept(world, OTHER_DEVICE)) == 1


@pytest.mark.any_database
def test_what_is_too_old_goes_with_the_next_one_of_any_machine(world: World) -> None:
    hear(world, told("old-1"))
    world.clock.advance(KEPT_FOR.total_seconds() / 2)
    hear(world, told("young-1"), device_uuid=OTHER_DEVICE)
    assert len(kept(world)) == 1
    world.clock.advance(KEPT_FOR.total_seconds() / 2 + 1)
    hear(world, told("new-1"), device_uuid=OTHER_DEVICE)
    assert kept(world) == []
    assert [one.message_id for one in kept(world, OTHER_DEVICE)] == ["young-1", "new-1"]


def test_two_that_remove_what_is_too_old_do_not_wait_for_each_other(migrated_postgres_url: str) -> None:
    with closing(Database(migrated_postgres_url, patience_s=0)) as database:
        world = World(database).found()
        hear(world, told("old-1"))
        world.clock.advance(KEPT_FOR.total_seconds() + 1)

        def both(tx: Transaction) -> None:
            keep(tx, DEVICE, told("new-1"), world.now)
            database.transact(keep, OTHER_DEVICE, told("new-2"), world.now, waits_for_locks=False)

        database.transact(both)
        assert [one.message_id for one in kept(world) + kept(world, OTHER_DEVICE)] == ["new-1", "new-2"]


@pytest.mark.parametrize("happening", EventKind)
def test_every_happening_has_a_sentence(happening: EventKind) -> None:
    assert events_report.MEANINGS[happening]


@pytest.mark.any_database
def test_a_person_reads_what_happened_when_and_what_is_missing(world: World) -> None:
    hear(world, told("j-1", "fault_set", code="door_open", evidence={"level": "block", "drinks": ""}))
    world.clock.advance(600)
    hear(world, told("j-9", "line_down", lost=7), told("k-1", "agent_started", words="version 2"))
    assert events_report.as_text(kept(world)).splitlines() == [
        f"{START:%Y-%m-%d %H:%M:%S}  fault door_open (level block)",
        "                     (7 events were dropped on the machine, having waited too long)",
        f"{START:%Y-%m-%d %H:%M:%S}  the machine does not answer the agent [told {world.now:%Y-%m-%d %H:%M:%S}]",
        f"{START:%Y-%m-%d %H:%M:%S}  the agent started: version 2 [told {world.now:%Y-%m-%d %H:%M:%S}]",
    ]
    assert events_report.as_text([]) == "nothing was told yet"


def test_the_command_shows_them_to_a_person_and_to_a_program(sqlite_world: World) -> None:
    hear(sqlite_world, told("j-1", "line_down"), told("j-2", "line_up"))
    environ = {"COFFEE_SECRET_KEY": SECRET_KEY, "COFFEE_DATABASE_URL": str(sqlite_world.database.url)}

    def events(*arguments: str) -> Result:
        return CliRunner().invoke(main, ["events", *arguments], env=environ)

    shown = events(DEVICE)
    assert (shown.exit_code, len(shown.stdout.splitlines())) == (0, 2)
    assert [one["what"] for one in json.loads(events(DEVICE, "--limit", "1", "--json").stdout)] == ["line_up"]
    missing = events("nobody")
    assert (missing.exit_code, missing.stderr) == (1, "there is no device nobody\n")
