"""The journal's disk: full, damaged, dying while it is put aside. Nothing is sold on it, and that is said."""

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest

from agent.journal import journal, sqlite_file
from agent.journal.records import CommandState, Verdict
from agent.journal.sales_block import SalesBlock
from agent.journal.sqlite_file import FILE, MARK, JournalFailed, SqliteFile
from agent.machine.profile import Profile
from agent.service import Service
from agent.settings import BrokerAddress, Settings
from protocol.messages import Accepted, Presence, State
from protocol.reasons import Result, Spout
from simulator.machine import MachineSimulator, Timing
from tests.agent.agents import Agents
from tests.agent.cloud_side import DEVICE, CloudSide
from tests.agent.failing_card import a_failing_card
from tests.agent.small_disk import SmallDisk, a_small_disk
from tests.agent.world import VirtualClock, World
from tests.mosquitto import Mosquitto
from tests.waiting import wait_until

NOW = datetime(2026, 5, 1, tzinfo=UTC)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[SmallDisk]:
    with a_small_disk(tmp_path / "disk", 8) as small:
        yield small


@pytest.fixture
def timing() -> Timing:
    return Timing(brew_s=1.5, boot_s=0.05, heating_s=0.0, heartbeat_s=0.5)


@pytest.fixture
def service(
    disk: SmallDisk, tmp_path: Path, mosquitto: Mosquitto, machine: MachineSimulator, cloud: CloudSide
) -> Iterator[Service]:
    """Started when the cloud listens: else its hello may be lost, and the cloud's time is not known for seconds."""
    agents = Agents(disk.folder / "state", mosquitto, tmp_path / "tty")
    started = agents.start()
    cloud.wait_ready()
    yield started
    agents.stop()


def tells_of_storage(cloud: CloudSide) -> bool:
    state = cloud.all_of(State)[-1]
    return not state.selling and state.reason.startswith("storage")


@pytest.mark.usefixtures("service")
def test_on_a_full_disk_an_order_is_refused_with_the_reason_and_the_agent_stays_to_say_so(
    disk: SmallDisk, cloud: CloudSide, machine: MachineSimulator
) -> None:
    disk.fill()
    assert disk.free() == 0
    wait_until(lambda: tells_of_storage(cloud), what="the state that says so")
    cloud.make()
    outcome = cloud.outcome()
    assert (outcome.result, outcome.code, outcome.out) == (Result.REJECTED, "storage", Spout.NONE)
    assert machine.poured("o1") == []
    assert cloud.all_of(Presence)[-1].online
    disk.make_room()
    cloud.wait_ready()
    cloud.make("c2", "o2")
    assert cloud.outcome("c2").result is Result.DONE


@pytest.mark.usefixtures("service")
def test_a_drink_under_way_when_the_disk_fills_up_is_finished_and_told(
    disk: SmallDisk, cloud: CloudSide, machine: MachineSimulator
) -> None:
    cloud.make()
    wait_until(lambda: cloud.all_of(Accepted), what="accepted")
    disk.fill()
    assert cloud.outcome().result is Result.DONE
    assert machine.cups("o1") == 1


def test_a_hundred_orders_are_refused_on_a_full_disk_and_each_refusal_is_on_it(disk: SmallDisk) -> None:
    world = World(disk.folder / "state")
    disk.fill()
    for number in range(100):
        world.order(f"c{number}", f"o{number}")
        world.run(0.1)
    assert {world.outcomes(f"c{number}")[0].code for number in range(100)} == {"storage"}
    world.close()
    disk.make_room()
    again = World(disk.folder / "state", hot=False)
    assert all(again.journal.get(f"c{number}") for number in range(100))
    assert again.line.makes() == 0
    again.close()


def test_short_of_room_nothing_new_is_begun(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite_file, "LEAST_FREE", 2**62)
    world.run(2)
    assert "KiB free" in world.live_state.view.stopped
    world.order()
    assert world.outcome().code == "storage"
    assert world.line.makes() == 0


def test_a_card_that_becomes_read_only_is_noticed_while_nothing_is_ordered(tmp_path: Path) -> None:
    with a_failing_card(tmp_path / "card") as card, closing(World(card.folder / "state")) as world:
        world.run(60)
        assert world.live_state.view.stopped == ""
        card.fail()
        world.run(2)
        assert "Read-only file system" in world.live_state.view.stopped


def test_looking_whether_the_journal_can_be_written_writes_nothing_and_leaves_its_lock(tmp_path: Path) -> None:
    with SqliteFile.open(tmp_path, NOW) as opened:
        opened.put("a", "b")
        files = {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
        before = locks()
        assert opened.shortage() == ""
        assert before
        assert (locks(), {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()}) == (before, files)


def locks() -> list[str]:
    """This process's, as the system lists them."""
    lines = [line.split() for line in Path("/proc/locks").read_text().splitlines()]
    return sorted(str(line[1:]) for line in lines if line[4] == str(os.getpid()))


# Damage


def fill_pages(folder: Path) -> None:
    with SqliteFile.open(folder, NOW) as made, made.transaction():
        for number in range(2000):
            made.put(f"key-{number}", "x" * 1000)


def spoil(folder: Path, start: int = 300_000, size: int = 400_000) -> None:
    with (folder / FILE).open("r+b") as file:
        file.seek(start)
        file.write(b"\xff" * size)


def test_damage_found_in_use_stops_everything_until_a_new_start_puts_the_file_aside(tmp_path: Path) -> None:
    fill_pages(tmp_path)
    with SqliteFile.open(tmp_path, NOW) as opened:
        with opened.reading() as connection:
            connection.execute("PRAGMA cache_size = 10")
            connection.execute("PRAGMA shrink_memory")
        spoil(tmp_path)
        with pytest.raises(JournalFailed), opened.reading() as connection:
            connection.execute("SELECT count(value), max(value) FROM meta WHERE value > 'a'").fetchall()
        assert opened.is_damaged
        with pytest.raises(JournalFailed):
            opened.put("anything", "at all")
    with SqliteFile.open(tmp_path, NOW) as fresh:
        assert FILE in fresh.damaged
        assert fresh.get("key-1") == ""
    assert len(list(tmp_path.glob(f"{FILE}.damaged-*"))) == 1


def test_a_lost_entry_of_an_index_is_damage_too(tmp_path: Path) -> None:
    """An order would not be found, and be poured again."""
    with SqliteFile.open(tmp_path, NOW) as made, made.transaction() as connection:
        connection.execute("PRAGMA writable_schema = ON")
        connection.execute("INSERT INTO meta VALUES ('a', 'b')")
        connection.execute(
            "UPDATE sqlite_schema SET sql = replace(sql, '(place)', '(size)') WHERE name = 'command_by_place'"
        )
        connection.execute(
            "INSERT INTO command (command_id, order_id, drink_no, size, price, state, session, received_at,"
            " received_mono, place) VALUES ('c1', 'o1', 'x', 1, 1, 'done', 's', 't', 0.0, 5)"
        )
    with SqliteFile.open(tmp_path, NOW) as opened:
        assert opened.damaged


def test_an_agent_whose_journal_is_damaged_ends_so_that_it_is_started_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broker = BrokerAddress("127.0.0.1", 9)
    settings = Settings(DEVICE, broker, str(tmp_path / "no-port"), "companion-v1", tmp_path / "state")
    service = Service(settings, Profile(name="companion-v1"), {"WATCHDOG_USEC": "200000"})
    service._journal._database.is_damaged = True
    with pytest.raises(JournalFailed, match="next start"):
        service.run(threading.Event())


def lose(folder: Path) -> None:
    (folder / FILE).write_bytes(b"no database" * 1000)


def die_before_renaming(folder: Path) -> None:
    (folder / MARK).touch()


def die_after_renaming(folder: Path) -> None:
    (folder / MARK).touch()
    (folder / FILE).rename(folder / f"{FILE}.damaged-20260501T000000000000")


def die_before_remembering(folder: Path) -> None:
    (folder / MARK).touch()
    (folder / FILE).unlink()
    with SqliteFile.open(folder, NOW):
        pass  # the mark is taken away by the program that has written down the loss


@pytest.mark.parametrize("die", [lose, die_before_renaming, die_after_renaming, die_before_remembering])
def test_a_power_cut_while_a_damaged_journal_is_put_aside_forgets_nothing(
    die: Callable[[Path], None], tmp_path: Path
) -> None:
    SqliteFile.open(tmp_path, NOW).close()
    lose(tmp_path)
    die(tmp_path)
    for _ in range(2):
        with SqliteFile.open(tmp_path, NOW) as opened:
            assert "--accept-loss" in SalesBlock(opened, VirtualClock()).needs_person()
    assert not (tmp_path / MARK).exists()


def test_a_start_cut_short_before_the_first_journal_was_whole_is_no_damage(tmp_path: Path) -> None:
    (tmp_path / f"{FILE}.new").write_bytes(b"half a journ")
    with SqliteFile.open(tmp_path, NOW) as opened:
        assert not opened.damaged


def test_a_journal_whose_log_alone_is_left_is_damage(tmp_path: Path) -> None:
    (tmp_path / f"{FILE}-wal").write_bytes(b"what was to become of it")
    with SqliteFile.open(tmp_path, NOW) as opened:
        assert opened.damaged


# Bounds


def test_a_flood_of_commands_is_forgotten_as_it_comes(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal, "KEEP_COMMANDS", 20)
    monkeypatch.setattr(journal, "PRUNE_EVERY", 10)
    for number in range(100):
        world.journal.insert_command(world.make(f"c{number}", f"o{number}"), CommandState.SENT)
        world.journal.finish(f"c{number}", Verdict(Result.DONE, "", Spout.FULL))
        world.confirm_all()
    kept = [number for number in range(100) if world.journal.get(f"c{number}")]
    assert kept[-1] == 99
    assert len(kept) <= 30


def test_a_command_that_keeps_coming_with_another_body_does_not_grow_its_history(world: World) -> None:
    world.welcome()
    world.tell(world.make())
    for price in range(200):
        world.tell(msgspec.structs.replace(world.make(), price=price))
    assert len(world.journal.history("c1")) <= journal.MAX_NOTES


def test_a_word_that_was_rolled_back_is_not_remembered(tmp_path: Path) -> None:
    with SqliteFile.open(tmp_path, datetime.now(UTC)) as database:
        database.put("word", "old")
        assert database.get("word") == "old"
        with suppress(KeyError), database.transaction():
            database.put("word", "new")
            assert database.get("word") == "new"
            raise KeyError
        assert database.get("word") == "old"


def test_a_journal_that_is_closed_has_failed_so_that_nothing_is_acknowledged(world: World) -> None:
    """A message can come while the agent stops."""
    world.journal.close()
    with pytest.raises(JournalFailed):
        world.tell(world.make())
