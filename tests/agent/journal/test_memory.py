"""What the journal remembers through wrong clocks, on ordinary days, and when a computer becomes another machine's."""

import shutil
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest

from agent.journal import memory as memory_module
from agent.journal.records import CommandState, Snapshot, Verdict
from agent.journal.sqlite_file import FILE
from agent.machine.frame_dump import KEEP_DUMPS, FrameDump
from agent.making.breaker import IN_A_DAY
from agent.making.finish_command import commit_verdict
from protocol.machine import MakeDrink, to_frame
from protocol.messages import Asked, Make, Query
from protocol.reasons import Result, Spout
from simulator.machine.framing import encode
from tests.agent.world import AMERICANO, BIRTH, World

DONE, UNKNOWN = Verdict(Result.DONE, "", Spout.FULL), Verdict(Result.UNKNOWN)
YEARS = (-20_000, -730, -120, 3650)
"""Days by which a clock is wrong: never set, an old battery, a typing error."""
DRINK = MakeDrink(order_uuid="o1", drink_no=AMERICANO, text_flag="1", price=17900)
"""As another computer sent it."""
Damage = Callable[[World], None]


def asked(make: Make) -> Query:
    """As the cloud asks what became of it."""
    named = Asked(
        command_id=make.command_id,
        order_id=make.order_id,
        issued_at=make.issued_at,
        deadline_at=make.deadline_at,
    )
    return Query(commands=[named])


def asked_by_an_older_cloud(make: Make) -> Query:
    return Query(commands=[Asked(command_id=make.command_id, order_id=make.order_id)])


def poured(world: World) -> Make:
    make = world.make()
    world.welcome()
    world.tell(make)
    assert world.outcome().result is Result.DONE
    world.confirm_all()
    return make


def restart_anew(world: World, change: Damage) -> None:
    """Dead for a while; meanwhile something happens to the folder."""
    world.journal.close()
    world.run_machine(1)
    change(world)
    world.line.reopen()
    world._build()
    world.run(5)


def wiped(world: World) -> None:
    shutil.rmtree(world.folder)


def damaged(world: World) -> None:
    (world.folder / FILE).write_bytes(b"rubbish" * 1000)


# Clocks that are wrong


@pytest.mark.parametrize("days", YEARS)
def test_a_wrong_clock_makes_nothing_that_was_poured_forgotten(world: World, days: int) -> None:
    world.switch("without_dedup")
    make = poured(world)
    world.clock.skew = timedelta(days=days)
    world.restart()
    world.run(3)
    world.tell(make)
    world.welcome()
    world.run(90)
    assert world.cups() == 1
    assert {outcome.result for outcome in world.outcomes()} == {Result.DONE}


@pytest.mark.parametrize("days", YEARS)
def test_what_nobody_knew_is_corrected_whatever_the_clock_said_then_or_says_now(world: World, days: int) -> None:
    world.switch("silent")
    world.welcome()
    world.clock.skew = timedelta(days=days)
    world.tell(world.make())
    world.journal.finish("c1", UNKNOWN)
    world.journal._database.put("stopped", "")
    world.confirm_all()
    world.restart()
    world.clock.skew = timedelta()
    world.run(3)
    assert [one.command_id for one in world.journal.recently_unknown(60)] == ["c1"]
    world.journal.prune()
    assert world.journal.finish("c1", DONE)


def test_what_is_certainly_over_by_the_clouds_time_is_over_in_a_later_run_too(world: World) -> None:
    world.welcome()
    world.journal.insert_command(world.make(), CommandState.SENT)
    world.journal.finish("c1", UNKNOWN)
    world.confirm_all()
    world.run(3)
    world.clock.seconds += 91 * 24 * 3600
    world.restart()
    assert world.journal.recently_unknown(60), "before the cloud has said what time it is"
    world.welcome()
    assert not world.journal.recently_unknown(60)
    world.journal.prune()
    assert world.journal.get("c1") is None


def test_three_unknown_drinks_are_three_in_a_day_whatever_the_clock_says(world: World) -> None:
    for number in range(IN_A_DAY):
        world.clock.skew = timedelta(days=400 * number)
        for name, verdict in ((f"c{number}", UNKNOWN), (f"d{number}", DONE)):
            world.journal.insert_command(world.make(name, name), CommandState.RECEIVED)
            world.journal.mark_intent(name, Snapshot("b0"))
            world.journal.mark_sent(name)
            commit_verdict(world.journal, name, verdict)
    assert "within a day" in world.journal.sales_block.needs_person()


def test_a_dump_of_frames_stays_though_the_clock_is_behind_all_others(tmp_path: Path) -> None:
    frame_dump = FrameDump(tmp_path)
    for number in range(KEEP_DUMPS):
        (tmp_path / f"20260501T1200{number:02}-older-agent.txt").touch()
    first = frame_dump.dump("first", BIRTH)
    never_set = frame_dump.dump("second", BIRTH - timedelta(days=20_000))
    assert first is not None
    assert never_set is not None
    left = list(tmp_path.iterdir())
    assert {first, never_set} < set(left)
    assert len(left) == KEEP_DUMPS


# Nothing of this is in the way of an ordinary day


def test_what_was_ordered_while_the_agent_restarted_is_poured(world: World) -> None:
    world.welcome()
    world.run(3)
    world.journal.close()
    world.run_machine(1)
    make = world.make()
    world.run_machine(1)
    world.line.reopen()
    world._build()
    world.tell(make)
    world.welcome()
    assert world.outcome().result is Result.DONE
    assert world.cups() == 1


def test_what_never_came_is_denied_by_a_journal_that_was_there(world: World) -> None:
    world.welcome()
    make = world.make()
    world.run(3)
    world.tell(asked(make))
    assert world.outcomes()[0].code == "never_received"
    assert world.line.said(type(None)) == 0


def test_what_never_came_while_nobody_was_there_is_denied_by_the_machine(world: World) -> None:
    make = world.make()
    restart_anew(world, wiped)
    world.welcome()
    world.tell(asked(make))
    outcome = world.outcome()
    assert (outcome.result, outcome.code) == (Result.REJECTED, "never_received")


def test_a_run_that_was_there_all_the_time_answers_after_a_restart_as_well(world: World) -> None:
    world.welcome()
    world.run(1)
    make = world.make(within=60)
    world.run(memory_module.KEEP_EVERY_S + 60)
    world.restart()
    world.welcome()
    world.tell(asked(make))
    assert world.outcomes()[0].code == "never_received"


def test_runs_are_bounded(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory_module, "KEEP_RUNS", 3)
    for _ in range(6):
        world.restart()
        world.welcome()
        world.run(3)
    with world.journal._database.reading() as connection:
        assert connection.execute("SELECT count(*) FROM run").fetchone()[0] == 3


# A computer that was another machine's


def renamed(world: World) -> None:
    world.device_uuid = "m-002"


def test_a_drink_that_was_under_way_under_another_name_is_no_drink_of_the_new_machines(world: World) -> None:
    """Regression: it was weighed against the new machine's counter, which stopped all selling, and told of."""
    world.welcome()
    world.order()
    world.run(1)
    assert world.journal.unsettled()

    def swap(world: World) -> None:
        renamed(world)
        world.machine.memory.wipe()
        world.machine.memory.counters_jump(4000)

    restart_anew(world, swap)
    world.run(200)
    assert (world.live_state.view.stopped, world.reports()) == ("", [])


def test_what_a_spare_computer_never_had_it_asks_its_new_machine_about(world: World) -> None:
    """Regression: it had been in use, under another name, and so it called a cup poured for another one never sent."""
    world.welcome()
    world.run(60)
    make = world.make()
    world.line.turn(encode(to_frame(DRINK)))
    world.run(2 * memory_module.KEEP_EVERY_S)
    restart_anew(world, renamed)
    world.welcome()
    world.tell(asked(make))
    assert world.outcome().result is Result.DONE
    assert world.cups() == 1


def test_it_reports_nothing_of_the_machine_that_was(world: World) -> None:
    world.order()
    assert world.outcome().result is Result.DONE
    assert world.reports()
    restart_anew(world, lambda _: None)
    assert world.reports()
    restart_anew(world, renamed)
    assert world.reports() == []
    assert [one.evidence.get("session") for one in world.told_of("agent_started")] == [world.journal.session]


def test_a_higher_count_of_its_new_machine_is_no_sale(world: World) -> None:
    world.order()
    world.outcome()
    world.machine.memory.counters_jump(4000)
    restart_anew(world, renamed)
    world.run(120)
    assert (world.told_of("counter_moved"), world.journal.sales_block.has_sold_by_itself) == ([], False)


def test_what_stopped_the_selling_of_a_machine_that_was_renamed_stops_it_still(world: World) -> None:
    world.journal.sales_block.stop_selling("needs a person")
    restart_anew(world, renamed)
    assert world.live_state.view.stopped.startswith("needs a person")
