"""Counters that are absent, wrong or set back to zero while one of our drinks is made (docs/machine-protocol.md 5.6).

A machine that can be asked about the order is believed; one that cannot leaves only what the counters really prove.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from msgspec.structs import replace

from agent.machine.profile import Counting, Profile, load
from protocol.messages import Asked, Query
from protocol.reasons import Result
from simulator.machine.jobs import Sale
from tests.agent.world import AMERICANO, World, assert_truthful

DONE, REJECTED, UNKNOWN = Result.DONE, Result.REJECTED, Result.UNKNOWN


@dataclass(frozen=True)
class Doubt:
    """Switches on while the drink is made, and what is told of it when nothing but the counters can tell."""

    switches: tuple[str, ...]
    blind: Result
    rule: str
    stops: bool = False
    """Something else seems to dispense: a person must look."""


DOUBTS = {
    "right": Doubt((), DONE, "counted"),
    "absent": Doubt(("without_counters",), UNKNOWN, "nothing proves anything"),
    "not counted": Doubt(("not_counted",), UNKNOWN, "nothing proves anything"),
    "counted twice": Doubt(("count_twice",), UNKNOWN, "something else is dispensing", stops=True),
    "a thousand too high": Doubt(("counters_jump",), UNKNOWN, "something else is dispensing", stops=True),
    "set back to zero": Doubt(("lose_counters", "reboot_before_done"), UNKNOWN, "nothing proves anything"),
    "a test drink beside it": Doubt(("local_test_drink",), DONE, "counted"),
}


AT_ONCE = ("counters_jump", "lose_counters")
"""These would strike before the make, at the snapshot of the counters."""


def meet(world: World, doubt: Doubt, *, can_be_asked: bool) -> None:
    """The agent greets a machine that lacks what it lacks; two drinks, so that the counters do not stand at zero."""
    lacking = [name for name in doubt.switches if name.startswith("without_")]
    for switch in lacking if can_be_asked else [*lacking, "without_order", "without_finish"]:
        world.switch(switch)
    world.restart()
    world.run(5)
    for number in (1, 2):
        world.order(f"c{number}", f"o{number}")
        world.run(300, lambda number=number: world.outcomes(f"c{number}"))  # type: ignore[misc]
        assert world.cups(f"o{number}") == 1
        world.run(2)
    world.journal.sales_block.resume_selling()  # two drinks nobody can see the end of are two in a row


def order_the_third(world: World, doubt: Doubt, *, after: float) -> None:
    for switch in set(doubt.switches) - set(AT_ONCE):
        world.switch(switch)
    world.order("c3", "o3")
    world.run(after)
    for switch in set(doubt.switches) & set(AT_ONCE):
        world.switch(switch)


def agent_dies(world: World) -> None:
    """As soon as the drink is being made; it asks when that is long over."""
    world.restart(after=300)
    world.welcome()


@pytest.mark.parametrize("name", DOUBTS)
def test_a_machine_that_can_be_asked_is_believed(name: str, world: World) -> None:
    meet(world, DOUBTS[name], can_be_asked=True)
    order_the_third(world, DOUBTS[name], after=2)
    agent_dies(world)
    outcome = world.outcome("c3")
    assert outcome.result is DONE
    assert_truthful(world, outcome)


@pytest.mark.parametrize("name", DOUBTS)
def test_one_that_cannot_leaves_what_the_counters_prove(name: str, world: World) -> None:
    doubt = DOUBTS[name]
    meet(world, doubt, can_be_asked=False)
    order_the_third(world, doubt, after=2)
    agent_dies(world)
    outcome = world.outcome("c3")
    world.run(300)
    assert [(one.result, one.evidence.rule) for one in world.outcomes("c3")] == [(doubt.blind, doubt.rule)]
    assert_truthful(world, outcome)
    assert ("counter moved" in world.live_state.view.stopped) is doubt.stops
    assert world.line.makes() == 3


@pytest.mark.parametrize("name", DOUBTS)
def test_a_drink_that_was_never_made_is_not_conjured_up(name: str, world: World) -> None:
    """The power goes before the make is taken in; whatever the counters say, nobody is told that a cup was filled."""
    meet(world, DOUBTS[name], can_be_asked=False)
    world.switch("reboot_before_accept")
    order_the_third(world, DOUBTS[name], after=0.2)
    assert world.outcome("c3").result is UNKNOWN
    assert world.touched("o3") == 0


# Free drinks, of a machine that only counts


@pytest.fixture
def counting(tmp_path: Path) -> Iterator[World]:
    world = World(tmp_path, profile=load("companion-ack-only"))
    yield world
    world.close()


def test_a_free_drink_is_done_once_it_is_counted(counting: World) -> None:
    """A test cup, or a drink poured again: counted as free; unknown, two of them stopped all selling."""
    for number in (1, 2):
        counting.welcome()
        counting.tell(replace(counting.make(f"c{number}", f"o{number}"), price=0))
        outcome = counting.outcome(f"c{number}")
        assert (outcome.result, outcome.evidence.rule) == (DONE, "counted")
        assert_truthful(counting, outcome)
        counting.run(5)
    assert counting.live_state.view.counters is not None
    assert counting.live_state.view.counters.free == 2
    assert counting.live_state.view.stopped == ""


def test_a_strangers_free_drink_is_never_the_paid_one(counting: World) -> None:
    counting.switch("reboot_before_accept")
    counting.order()
    counting.run(10)
    assert counting.machine.local_drink(counting.clock.seconds, AMERICANO, Sale.FREE)
    outcome = counting.outcome()
    counting.run(400)
    assert [one.result for one in counting.outcomes()] == [UNKNOWN]
    assert_truthful(counting, outcome)


# A cup sold for coins, of a machine not yet known to sell by itself


def sell_for_coins(world: World) -> None:
    assert world.machine.local_drink(world.clock.seconds, AMERICANO, Sale.PAID)
    world.run(20)


def asked_about_once_more(world: World) -> None:
    """By the cloud; a recheck of the agent's own does the same."""
    world.welcome()
    world.tell(Query(commands=[Asked(command_id="c1", order_id="o1")]))
    world.run(400)


def only_told(world: World, result: Result) -> None:
    assert [(one.result, one.revision) for one in world.outcomes()] == [(result, 1)]
    assert world.cups() == 0


@pytest.mark.parametrize("memory", ["kept", "without_nv", "without_order"])
@pytest.mark.parametrize("after", [5, 200])
def test_what_is_sold_after_a_power_cut_is_not_the_drink_that_it_ended(world: World, memory: str, after: float) -> None:
    """Regression: the coin's cup was the proof that the interrupted drink had been made, and its hold was captured."""
    if memory != "kept":
        world.switch(memory)
        world.restart()
        world.run(3)
    world.switch("mid_pour_crash")
    world.order()
    assert world.outcome().result is UNKNOWN
    world.run(after)
    sell_for_coins(world)
    asked_about_once_more(world)
    only_told(world, UNKNOWN)
    assert world.journal.sales_block.has_sold_by_itself


def test_nor_where_the_counter_is_believed_all_the_same(tmp_path: Path) -> None:
    """A machine that is said never to sell by itself: the sale stops the selling, and proves nothing of ours."""
    world = World(tmp_path, profile=Profile(name="companion-v1", counting=Counting(local_sales=False)))
    world.switch("without_order")
    world.restart()
    world.run(3)
    world.switch("mid_pour_crash")
    world.order()
    assert world.outcome().result is UNKNOWN
    world.run(10)
    sell_for_coins(world)
    asked_about_once_more(world)
    only_told(world, UNKNOWN)
    assert "counter moved" in world.live_state.view.stopped
    world.close()


def test_nor_is_it_after_a_restart_of_the_agent(world: World) -> None:
    world.switch("mid_pour_crash")
    world.order()
    assert world.outcome().result is UNKNOWN
    world.run(10)
    assert world.machine.local_drink(world.clock.seconds, AMERICANO, Sale.PAID)
    world.restart(after=20)
    asked_about_once_more(world)
    only_told(world, UNKNOWN)
    assert world.journal.sales_block.has_sold_by_itself


@pytest.mark.parametrize("restarts", [False, True], ids=["", "restarted"])
def test_what_is_sold_after_a_refusal_is_not_the_drink_refused(counting: World, restarts: bool) -> None:
    """Regression: the cloud had not heard it and asked, and the counter turned the machine's refusal into `done`."""
    counting.switch("reject_no_cups")
    counting.order()
    assert counting.outcome().code == "no_cups"
    counting.switch_off("reject_no_cups")
    counting.run(60)
    sell_for_coins(counting)
    if restarts:
        counting.restart(after=5)
        counting.run(5)
    asked_about_once_more(counting)
    only_told(counting, REJECTED)
    assert counting.journal.sales_block.has_sold_by_itself


def test_nor_is_the_drink_that_was_sold_before_ours(counting: World) -> None:
    """A buyer who pays at the machine in the same second has the machine, and ours is refused."""
    counting.welcome()
    counting.run(6.5)
    assert counting.machine.local_drink(counting.clock.seconds, AMERICANO, Sale.PAID)
    counting.tell(counting.make())
    assert counting.outcome().evidence.rule == "the machine refused it"
    counting.run(75)
    asked_about_once_more(counting)
    only_told(counting, REJECTED)


def test_nor_is_it_where_a_reboot_has_cleared_the_machines_memory(world: World) -> None:
    world.switch("without_nv")
    world.restart()
    world.run(3)
    world.switch("reject_no_cups")
    world.order()
    assert world.outcome().result is REJECTED
    world.switch_off("reject_no_cups")
    sell_for_coins(world)
    world.machine.cut_power(world.clock.seconds)
    world.run(30)
    asked_about_once_more(world)
    only_told(world, REJECTED)
