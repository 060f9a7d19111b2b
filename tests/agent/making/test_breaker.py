"""When selling stops until a person has looked: unknown outcomes, and a counter that moves though nobody ordered."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from agent.journal.operator_decisions import Decision, leave
from agent.journal.records import Snapshot
from agent.machine.profile import Counting, Profile
from agent.making.breaker import why_stop
from agent.making.order_events import DENIED
from agent.making.unordered_drinks import Expected, Movement, UnorderedDrinks
from protocol.frames import Frame
from protocol.machine import CountersReply, OrderQuery
from protocol.messages import Resume, Rinse
from protocol.reasons import EventKind, Result, RinseProgram
from simulator.machine.jobs import Sale
from simulator.machine.memory import Counters
from tests.agent.world import AMERICANO, World

DONE, FAILED, UNKNOWN = Result.DONE, Result.FAILED, Result.UNKNOWN


def reading(paid: int, *, free: int = 0, test: int = 0, boot: str = "b") -> Snapshot:
    return Snapshot(boot, True, paid + free + test, free, test)


def ours(until: float, command_id: str = "c1") -> Expected:
    return Expected(command_id, until, "b")


# Unknown outcomes


@pytest.mark.parametrize(
    ("newest_first", "stops"),
    [
        ([], False),
        ([UNKNOWN], False),
        ([UNKNOWN, UNKNOWN], True),
        ([UNKNOWN, DONE, UNKNOWN], False),
        ([UNKNOWN, DONE, UNKNOWN, DONE, UNKNOWN], True),
        ([DONE, UNKNOWN, UNKNOWN], False),
        ([FAILED, FAILED, FAILED], False),
    ],
)
def test_two_in_a_row_or_three_in_a_day_stop(newest_first: list[Result], stops: bool) -> None:
    outcomes = [(hour * 3600.0, result) for hour, result in enumerate(newest_first)]
    assert bool(why_stop(outcomes)) is stops


def test_three_in_more_than_a_day_do_not() -> None:
    outcomes = [(11 * 3600.0 * number, [UNKNOWN, DONE][number % 2]) for number in range(5)]
    assert why_stop(outcomes) == ""


# The count


def test_the_first_reading_proves_nothing() -> None:
    assert UnorderedDrinks().count(reading(500), 0).strays == 0


def test_a_drink_that_was_sent_explains_one_and_only_one() -> None:
    unordered = UnorderedDrinks()
    unordered.count(reading(5), 0)
    unordered.expect_drink(ours(101))
    assert unordered.count(reading(6), 2) == Movement(1, 1, True)
    assert unordered.count(reading(7), 3) == Movement(1, 0)
    unordered.expect_drink(ours(104))
    assert unordered.count(reading(9), 5) == Movement(2, 1, True)


def test_a_drink_may_be_counted_late_but_not_for_ever() -> None:
    unordered = UnorderedDrinks()
    unordered.count(reading(5), 0)
    unordered.expect_drink(ours(100))
    assert unordered.count(reading(5), 90).strays == 0
    assert unordered.count(reading(6), 1000).strays == 0
    unordered.expect_drink(ours(1100))
    unordered.count(reading(6), 1101)
    assert unordered.count(reading(7), 1102).strays == 1


def test_what_a_run_of_the_machine_has_not_counted_the_next_one_does_not_count() -> None:
    unordered = UnorderedDrinks()
    unordered.count(reading(5), 0)
    unordered.expect_drink(ours(100))
    assert unordered.count(reading(5, boot="c"), 10).strays == 0
    assert unordered.count(reading(6, boot="c"), 20).is_local_sale


def test_a_drink_counted_right_before_a_reboot_is_explained() -> None:
    unordered = UnorderedDrinks()
    unordered.count(reading(5), 0)
    unordered.expect_drink(ours(100))
    assert unordered.count(reading(6, boot="c"), 10) == Movement(1, 1, True)


def test_a_drink_that_was_refused_explains_no_count_but_another_does() -> None:
    unordered = UnorderedDrinks()
    unordered.count(reading(5), 0)
    unordered.expect_drink(ours(100))
    unordered.expect_drink(ours(100, "c2"))
    unordered.expect_no_more("c2")
    assert unordered.count(reading(7), 10) == Movement(2, 1, True)


def test_free_and_test_drinks_are_nobodys_orders_and_no_strays() -> None:
    unordered = UnorderedDrinks()
    unordered.count(reading(5), 0)
    assert unordered.count(reading(5, free=3, test=4), 1) == Movement(0, 0)


def test_counters_set_back_prove_nothing_and_are_counted_on_from_there() -> None:
    unordered = UnorderedDrinks()
    unordered.count(reading(500), 0)
    assert unordered.count(reading(0), 1).strays == 0
    assert unordered.count(reading(1), 2).strays == 1


def test_after_a_person_has_looked_everything_is_explained() -> None:
    unordered = UnorderedDrinks()
    unordered.count(reading(5), 0)
    unordered.forgive()
    assert unordered.count(reading(9), 1).strays == 0


def test_a_drink_on_its_way_while_a_person_looks_is_still_expected() -> None:
    unordered = UnorderedDrinks()
    unordered.count(reading(5), 0)
    unordered.expect_drink(ours(101))
    unordered.forgive()
    unordered.count(reading(5), 2)
    assert unordered.count(reading(6), 3) == Movement(1, 1, True)


# In the machine


def drink_for_cash(world: World, sale: Sale = Sale.PAID) -> None:
    assert world.machine.local_drink(world.clock.seconds, AMERICANO, sale)


@pytest.fixture
def watched(tmp_path: Path) -> Iterator[World]:
    """A machine that is said never to sell by itself."""
    world = World(tmp_path, profile=Profile(name="companion-v1", counting=Counting(local_sales=False)))
    yield world
    world.close()


def test_a_local_sale_of_a_machine_nobody_has_described_stops_nothing(world: World) -> None:
    """As most machines do, it also takes coins; from then on its counter is no proof any more."""
    world.order("c0", "o0")
    world.outcome("c0")
    world.run(5)
    drink_for_cash(world)
    world.run(200)
    assert world.live_state.view.stopped == ""
    drink_for_cash(world)
    world.restart(after=30)
    world.welcome()
    world.run(90)
    assert world.live_state.view.stopped == ""
    assert world.journal.sales_block.has_sold_by_itself
    world.order()
    assert world.outcome().result is DONE


def test_what_it_sold_while_the_agent_was_down_stops_nothing_either(world: World) -> None:
    world.order()
    world.outcome()
    world.run(5)
    drink_for_cash(world)
    world.restart(after=30)
    world.run(130)
    assert (world.live_state.view.stopped, world.journal.sales_block.has_sold_by_itself) == ("", True)


def test_a_counter_is_no_proof_once_the_machine_has_sold_by_itself(world: World) -> None:
    for switch in ("without_order", "without_finish"):
        world.switch(switch)
    world.restart()
    world.run(5)
    world.order("c0", "o0")
    assert world.outcome("c0").evidence.rule == "counted"
    world.run(5)
    drink_for_cash(world)
    world.run(90)
    world.order()
    assert world.outcome().result is UNKNOWN


def test_a_drink_nobody_ordered_stops_the_selling_within_the_watch(watched: World) -> None:
    world = watched
    drink_for_cash(world)
    assert world.run(world.profile.timers.counter_watch + 20, lambda: world.live_state.view.stopped)
    assert world.live_state.view.stopped.startswith("the counter moved by 1 and 0 drinks were ordered; needs a person")
    world.order()
    assert world.outcome().code == "not_selling"
    assert world.line.makes() == 0


def test_a_drink_nobody_ordered_is_seen_at_the_latest_before_the_next_order(watched: World) -> None:
    world = watched
    drink_for_cash(world)
    world.run_machine(10)
    assert world.live_state.view.stopped == ""
    world.order()
    assert world.outcome().code == "not_selling"
    assert world.line.makes() == 0


def test_a_drink_nobody_ordered_during_one_of_ours_stops_the_selling(world: World) -> None:
    world.switch("local_drink")
    world.order()
    world.outcome()
    assert world.run(90, lambda: world.live_state.view.stopped)
    assert "counter moved by" in world.live_state.view.stopped


@pytest.mark.parametrize("sale", [Sale.TEST, Sale.FREE])
def test_test_and_free_drinks_stop_nothing(world: World, sale: Sale) -> None:
    drink_for_cash(world, sale)
    world.run(200)
    assert world.live_state.view.counters is not None
    assert world.live_state.view.counters.total == 1
    assert world.live_state.view.stopped == ""


def test_a_rinse_stops_nothing(world: World) -> None:
    world.welcome()
    now = world.clock.true_time()
    soon = now + timedelta(seconds=30)
    world.tell(Rinse(job_id="j", issued_at=now, deadline_at=soon, program=RinseProgram.CLEAN))
    world.run(200)
    assert world.live_state.view.stopped == ""


def test_a_machine_that_also_sells_by_itself_is_not_watched(tmp_path: Path) -> None:
    world = World(tmp_path, profile=Profile(name="companion-v1", counting=Counting(local_sales=True)))
    drink_for_cash(world)
    world.run(200)
    assert world.live_state.view.stopped == ""
    world.order()
    assert world.outcome().result is DONE
    world.close()


def test_orders_of_every_ending_stop_nothing_by_their_counts(world: World) -> None:
    faults = [None, "fail_before_pour", "fail_mid_brew", "reject_no_beans", "drop_done", "drop_verdict", None]
    for number, fault in enumerate(faults):
        if fault:
            world.switch(fault)
        world.order(f"c{number}", f"o{number}")
        world.outcome(f"c{number}")
        world.run(5)
    world.run(400)
    assert world.live_state.view.stopped == ""
    assert sum(world.cups(f"o{number}") for number in range(len(faults))) == 4


def test_a_drink_made_while_the_agent_was_down_is_seen_by_the_next_start(watched: World) -> None:
    world = watched
    world.order()
    world.outcome()
    world.run(5)
    drink_for_cash(world)
    world.restart(after=30)
    assert world.run(90, lambda: "counter moved" in world.live_state.view.stopped)


@pytest.mark.parametrize("local_sales", [None, False], ids=["not described", "watched"])
def test_our_own_cup_is_no_strangers_though_the_machine_denied_it_first(
    local_sales: bool | None, tmp_path: Path
) -> None:
    """Regression: inferred to be never begun it was expected no more, and counted it passed for a drink of others."""
    world = World(tmp_path, profile=Profile(name="companion-v1", counting=Counting(local_sales=local_sales)))
    for switch in ("without_dedup", "without_progress", "drop_verdict"):
        world.switch(switch)
    world.restart()
    world.run(5)

    def forget_it_once(frame: Frame) -> None:
        if frame.command == OrderQuery.command:
            world.line.on_write = lambda _: None
            world.machine.memory.forget_orders()

    world.line.on_write = forget_it_once
    world.order(within=100)
    assert world.outcome().evidence.rule == DENIED
    world.run(400)
    assert world.cups() == 1
    assert world.told_of(EventKind.COUNTER_MOVED) == []
    assert (world.live_state.view.stopped, world.journal.sales_block.has_sold_by_itself) == ("", False)
    world.close()


def test_a_restart_alone_stops_nothing(world: World) -> None:
    for number in range(3):
        world.order(f"c{number}", f"o{number}")
        world.outcome(f"c{number}")
        world.restart()
        world.welcome()
        world.run(130)
    assert world.live_state.view.stopped == ""


@pytest.mark.parametrize("by_job", [False, True])
def test_once_a_person_has_looked_it_sells_again_and_stays_so_through_a_restart(watched: World, by_job: bool) -> None:
    world = watched
    world.welcome()
    world.order("c0", "o0")
    world.outcome("c0")
    drink_for_cash(world)
    assert world.run(90, lambda: world.live_state.view.stopped)
    if by_job:
        now = world.clock.true_time()
        world.tell(Resume(job_id="j", issued_at=now, deadline_at=now + timedelta(seconds=30), by="anna"))
    else:
        leave(world.folder, Decision.RESUME_SELLING)
    world.run(5)
    world.restart()
    world.run(130)
    assert world.live_state.view.stopped == ""
    world.order()
    assert world.outcome().result is DONE


def test_counts_that_newer_ones_have_overtaken_make_a_drink_of_ours_no_strangers(watched: World) -> None:
    """Regression: read before our drink and heard after it they set the watch back, and our drink was counted twice."""
    world = watched
    world.switch("delay_frame", when="once", seconds=30, command=CountersReply.command)
    world.order()
    assert world.outcome().result is DONE
    world.run(200)
    assert world.live_state.view.counters is not None
    assert world.live_state.view.counters.total == 1
    assert world.live_state.view.stopped == ""
    assert world.told_of(EventKind.COUNTER_MOVED) == []


def test_counts_of_another_boot_during_a_drink_make_it_no_strangers(watched: World) -> None:
    """One garbled boot id: the run that was greeted is at our drink still, and counts it."""
    world = watched
    world.order()
    assert world.run(10, world.accepted)
    counts = {"boots": 1, "total": 0, "paid": 0, "free": 0, "test": 0}
    world.events.hear(CountersReply(msg_id=1, boot_id="b9", by_drink={}, **counts))
    assert world.outcome().result is DONE
    world.run(200)
    assert world.live_state.view.counters is not None
    assert world.live_state.view.counters.total == 1
    assert world.live_state.view.stopped == ""


@pytest.mark.parametrize("line_falls", [False, True])
def test_counters_that_a_technician_sets_back_are_counted_on_from_there(watched: World, line_falls: bool) -> None:
    world = watched
    for number in range(2):
        world.order(f"c{number}", f"o{number}")
        world.outcome(f"c{number}")
        world.run(2)
    world.machine.memory.counters = Counters()
    if line_falls:
        world.switch("unplugged", seconds=2)
    world.run(90)
    assert world.live_state.view.counters is not None
    assert world.live_state.view.counters.total == 0
    assert world.live_state.view.stopped == ""
    drink_for_cash(world)
    assert world.run(90, lambda: "counter moved by 1" in world.live_state.view.stopped)


def test_counters_lost_in_a_reboot_stop_nothing(world: World) -> None:
    for number in range(2):
        world.order(f"c{number}", f"o{number}")
        world.outcome(f"c{number}")
    world.switch("lose_counters")
    world.machine.cut_power(world.clock.seconds)
    world.run(200)
    assert world.live_state.view.counters is not None
    assert world.live_state.view.counters.total == 0
    assert world.live_state.view.stopped == ""
