"""What an operator hears besides drinks: told once, kept within its own bounds, and never in a drink's way."""

from datetime import timedelta
from pathlib import Path

import pytest

from agent.journal import report_queue as report_queue_module
from agent.journal import sqlite_file as database_module
from agent.journal.event_log import BURST, CALM_S, LONGEST_WAIT_S, PENDING
from agent.journal.records import CommandState, Verdict
from agent.journal.report_message import BRIEF
from agent.journal.sqlite_file import FILE
from agent.live_state import LiveView
from agent.machine.profile import Counting, Profile
from agent.making.event_rules import NOISY_FOR_S, EventRules
from protocol.machine import MakeDrink
from protocol.reasons import EventKind, Result, Spout
from tests.agent.world import World

AT_FIRST = ["agent_started", "machine_booted", "line_up"]
DONE = Verdict(Result.DONE, "", Spout.FULL)


def test_a_start_and_the_machines_first_answer_are_told(world: World) -> None:
    assert [event.what for event in world.told()] == AT_FIRST
    assert world.told()[0].evidence == {"session": world.journal.session}
    assert world.told()[-1].words == world.live_state.view.model


def test_a_fault_is_told_when_it_comes_and_when_it_goes(world: World) -> None:
    world.switch("no_beans")
    world.run(3)
    world.switch_off("no_beans")
    world.run(3)
    came, went = world.told()[-2:]
    assert (came.what, came.code, went.what, went.code) == ("fault_set", "no_beans", "fault_cleared", "no_beans")
    assert came.evidence["level"] == "block"
    assert "americano" in str(came.evidence["drinks"])
    world.switch("door_open")
    world.run(3)
    assert world.told()[-1].evidence == {"level": "block"}, "it closes everything"
    assert timedelta(0) < went.at - came.at < timedelta(seconds=5)


def test_a_fault_that_stands_is_not_told_again_by_every_status_nor_by_the_next_run(world: World) -> None:
    world.switch("door_open")
    world.run(120)
    world.restart()
    world.run(60)
    assert len(world.told_of("fault_set")) == 1
    assert world.told_of("fault_cleared") == []
    assert len(world.told_of("agent_started")) == 2


def test_a_reboot_is_told_with_both_boots_and_the_machines_own_reason(world: World) -> None:
    before = world.driver.boot_id
    world.switch("mid_pour_crash")
    world.order()
    world.outcome()
    world.run(10)
    (_, booted) = world.told_of("machine_booted")
    assert booted.code == "power"
    assert (booted.evidence["boot_before"], booted.evidence["boot_now"]) == (before, world.driver.boot_id)
    assert booted.evidence["last_order"] == "o1"


def test_a_line_that_goes_and_comes_back_is_told(world: World) -> None:
    world.switch("unplugged", seconds=60)
    world.run(120)
    assert [event.what for event in world.told()] == [*AT_FIRST, "line_down", "line_up"]


def test_a_drink_nobody_ordered_and_what_it_leads_to_are_told(world: World) -> None:
    world.switch("count_twice")
    world.order()
    world.outcome()
    world.run(10)
    (moved,) = world.told_of("counter_moved")
    assert (moved.code, moved.evidence["counted"], moved.evidence["ordered"]) == ("", 2, 1)
    (stopped,) = world.told_of("selling_stopped")
    assert stopped.code == "not_selling"
    assert "counter moved" in stopped.words
    (world.folder / "decisions").mkdir()
    (world.folder / "decisions" / "resume-selling").touch()
    world.run(5)
    assert len(world.told_of("selling_resumed")) == 1


def test_where_the_machine_also_sells_by_itself_that_is_told_and_stops_nothing(tmp_path: Path) -> None:
    world = World(tmp_path, profile=Profile(name="companion-v1", counting=Counting(local_sales=True)))
    world.switch("count_twice")
    world.order()
    world.outcome()
    world.run(10)
    assert [event.code for event in world.told_of("counter_moved")] == ["local_sale"]
    assert world.live_state.view.stopped == ""
    world.close()


def test_an_outcome_of_an_order_never_sent_is_told(world: World) -> None:
    world.switch("done_for_other_order")
    world.order()
    world.outcome()
    world.run(5)
    (stray,) = world.told_of("stray_outcome")
    assert (stray.code, stray.evidence["order_id"]) == ("done", "order-of-nobody")


def test_a_journal_put_aside_is_told_by_the_next_one(world: World) -> None:
    world.journal.close()
    (world.folder / FILE).write_bytes(b"not a database" * 400)
    world.line.reopen()
    world._build()
    world.run(5)
    (lost,) = world.told_of("journal_lost")
    assert "damaged" in lost.words
    assert len(world.told_of("selling_stopped")) == 1


def test_a_noisy_line_is_told_after_a_while_and_once(world: World) -> None:
    event_rules = EventRules(world.journal.event_log)
    event_rules.compare(LiveView(frame_error_ratio=0.5), 0.0)
    event_rules.compare(LiveView(frame_error_ratio=0.01), 5.0)
    for ratio, seconds in (
        (0.3, 10.0),
        (0.3, 10.0 + NOISY_FOR_S),
        (0.05, 60.0),
        (0.4, 90.0),
        (0.4, 200.0),
        (0.02, 210.0),
    ):
        event_rules.compare(LiveView(frame_error_ratio=ratio), seconds)
    world.run(5)
    assert [event.what for event in world.told()] == [*AT_FIRST, "line_noisy", "line_clean"]
    assert world.told_of("line_noisy")[0].evidence == {"ratio": 0.3}


def test_no_event_is_written_between_a_command_and_its_first_byte(world: World) -> None:
    known = len(world.told())
    world.journal.event_log.record_event(EventKind.CLOCK_WRONG)
    written: list[int] = []
    world.line.on_write = lambda frame: (
        written.append(len(world.told())) if frame.command == MakeDrink.command else None
    )
    world.order()
    world.run(3)
    assert written == [known]
    assert world.journal.unsettled()
    assert len(world.told()) == known
    world.outcome()
    world.run(3)
    assert len(world.told_of("clock_wrong")) == 1


def test_a_drink_that_takes_long_does_not_keep_the_news_in_memory(tmp_path: Path) -> None:
    world = World(tmp_path, brew_s=90)
    world.order()
    world.run(10)
    world.journal.event_log.record_event(EventKind.CLOCK_WRONG)
    world.run(LONGEST_WAIT_S + 5)
    assert world.journal.unsettled()
    assert len(world.told_of("clock_wrong")) == 1
    world.close()


def test_events_that_come_together_are_one_commit(world: World) -> None:
    commits: list[str] = []
    world.journal._database._connection.set_trace_callback(lambda sql: commits.append(sql) if sql == "COMMIT" else None)
    for happening in (EventKind.CLOCK_WRONG, EventKind.CLOCK_RIGHT, EventKind.LINE_NOISY):
        world.journal.event_log.record_event(happening)
    world.run(5)
    assert len(commits) == 1
    assert len(world.told()) == len(AT_FIRST) + 3


def test_one_and_the_same_thing_again_and_again_is_told_ever_more_seldom(world: World) -> None:
    for number in range(100):
        world.journal.event_log.record_event(EventKind.FAULT_SET, "door_open", number=number)
        world.run(2)
    assert len(world.told_of("fault_set")) == BURST
    world.journal.event_log.record_event(EventKind.FAULT_SET, "no_water")
    world.run(CALM_S)
    world.journal.event_log.record_event(EventKind.FAULT_SET, "door_open")
    world.run(2)
    assert [event.code for event in world.told_of("fault_set")][BURST:] == ["no_water", "door_open"]
    assert world.told_of("fault_set")[-1].evidence["silenced"] == 100 - BURST


def test_beyond_its_cap_the_oldest_event_goes_and_is_counted(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(report_queue_module, "EVENT_CAP", 4)
    for number in range(6):
        world.journal.event_log.record_event(EventKind.FAULT_SET, f"vendor:e{number}")
        world.run(2)
    assert [event.code for event in world.told()] == [f"vendor:e{number}" for number in (2, 3, 4, 5)]
    assert [event.lost for event in world.told()] == [2, 3, 4, 5]
    world.restart()
    world.run(5)
    assert world.told()[-1].lost == 7


def test_more_than_memory_holds_at_once_is_counted_as_lost(world: World) -> None:
    for number in range(PENDING + 5):
        world.journal.event_log.record_event(EventKind.FAULT_SET, f"vendor:e{number}")
    world.run(2)
    told = world.told_of("fault_set")
    assert (len(told), told[0].code) == (PENDING, "vendor:e5")
    assert {event.lost for event in told} == {5}


def test_no_number_of_events_drops_a_report_on_a_drink_nor_the_other_way_round(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(report_queue_module, "CAP", 3)
    monkeypatch.setattr(report_queue_module, "EVENT_CAP", 5)
    for number in range(3):
        world.journal.insert_command(world.make(f"c{number}", f"o{number}"), CommandState.SENT)
        world.journal.finish(f"c{number}", DONE)
    for number in range(20):
        world.journal.event_log.record_event(EventKind.FAULT_SET, f"vendor:e{number}")
        world.journal.event_log.commit_events()
    assert (world.journal.report_queue.count(), world.journal.report_queue.count_events()) == (3, 5)
    world.journal.insert_command(world.make("c3", "o3"), CommandState.SENT)
    world.journal.finish("c3", DONE)
    assert [bool(world.outcomes(f"c{number}")) for number in range(4)] == [False, True, True, True]
    assert world.journal.report_queue.count_events() == 5


def test_on_a_full_disk_events_wait_and_leave_the_room_to_the_drinks(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(database_module, "LEAST_FREE", 2**60)
        world.run(30)
        assert world.told_of("selling_stopped") == []
    world.run(5)
    (stopped,) = world.told_of("selling_stopped")
    assert stopped.code == "storage"
    assert len(world.told_of("selling_resumed")) == 1


def test_what_could_not_be_committed_is_written_once_when_it_can(world: World) -> None:
    connection = world.journal._database._connection
    connection.execute(
        "CREATE TEMP TRIGGER full BEFORE INSERT ON outgoing BEGIN SELECT RAISE(ABORT, 'database or disk is full'); END"
    )
    world.journal.event_log.record_event(EventKind.CLOCK_WRONG)
    world.run(3)
    assert "disk is full" in world.journal.failure
    assert world.told_of("clock_wrong") == []
    connection.execute("DROP TRIGGER full")
    world.run(10)
    assert len(world.told_of("clock_wrong")) == 1
    assert [event.what for event in world.told()][-2:] == ["selling_stopped", "selling_resumed"]


def test_an_event_that_fits_no_message_is_told_in_brief(world: World) -> None:
    world.journal.event_log.record_event(EventKind.FAULT_SET, "no such code!", "nul \0", drinks="x" * 500)
    world.journal.event_log.record_event(EventKind.FAULT_CLEARED, "ok", "y" * 900, drinks="x" * 500)
    world.run(2)
    bad, long = world.told()[-2:]
    assert (bad.what, bad.code, bad.words) == ("fault_set", "", BRIEF)
    assert (len(long.words), len(str(long.evidence["drinks"]))) == (500, 128)


def test_an_event_dates_from_when_it_happened_by_what_the_time_is_known_to_be_later(world: World) -> None:
    world.clock.skew = timedelta(days=-365)
    world.switch("no_water")
    happened = world.clock.true_time()
    world.run(0.5)
    world.welcome()
    world.run(5)
    assert abs(world.told_of("fault_set")[0].at - happened) < timedelta(seconds=1)


def test_an_older_agent_reads_a_journal_with_events(world: World) -> None:
    """Its statements, as they were: the same table, the same version of the file."""
    connection = world.journal._database._connection
    assert connection.execute("PRAGMA user_version").fetchone()[0] == 1
    rows = connection.execute("SELECT seq, payload FROM outgoing WHERE seq > 0 ORDER BY seq LIMIT 10").fetchall()
    assert len(rows) == len(AT_FIRST)
    connection.execute("DELETE FROM outgoing WHERE message_id = ?", (world.told()[0].message_id,))
    assert len(world.told()) == len(AT_FIRST) - 1
