"""A machine whose own words speak against what we believe is asked at once; a question of the cloud's reaches it."""

from collections.abc import Callable
from pathlib import Path

import pytest

from protocol.machine import MakeDrink, OrderQuery, to_frame
from protocol.messages import Asked, Query
from protocol.reasons import Result
from simulator.machine.framing import encode
from simulator.machine.jobs import Rinsing
from tests.agent.world import World, assert_truthful

QUERY = Query(commands=[Asked(command_id="c1", order_id="o1")])


def lose_the_end(world: World) -> None:
    """The cup is full, `done` was said and lost, and is not said again."""
    world.switch("drop_done", when="every", n=1)
    world.order()
    assert world.run(20, lambda: world.cups() == 1 and world.machine.barista.job is None)
    world.run(0.1)


@pytest.mark.parametrize("switch", ["", "without_progress", "without_heartbeat", "flood_heartbeats"])
def test_a_lost_end_is_found_as_soon_as_the_machine_is_seen_to_do_something_else(tmp_path: Path, switch: str) -> None:
    world = World(tmp_path, hot=False)
    if switch:
        world.switch(switch)
    world.run(5)
    lose_the_end(world)
    outcome = world.outcome(within=12)
    assert (outcome.result, outcome.evidence.phase) == (Result.DONE, "done")
    assert_truthful(world, outcome)
    world.close()


def begin_a_rinse(world: World) -> None:
    world.machine.barista.rinse(world.clock.seconds, Rinsing("by hand", "clean", world.clock.seconds + 60))


def begin_another_order(world: World) -> None:
    other = MakeDrink(order_uuid="o9", drink_no="americano", text_flag="1", price=1)
    world.line.turn(encode(to_frame(other)))


@pytest.mark.parametrize("busy_with", [begin_a_rinse, begin_another_order])
def test_a_machine_that_is_busy_with_something_else_is_asked(world: World, busy_with: Callable[[World], None]) -> None:
    lose_the_end(world)
    busy_with(world)
    assert world.outcome(within=8).result is Result.DONE


def test_a_machine_that_says_ready_while_it_pours_is_asked_now_and_then_and_believed(tmp_path: Path) -> None:
    world = World(tmp_path, brew_s=60)
    world.switch("says_ready")
    world.switch("flood_heartbeats")
    world.order()
    outcome = world.outcome(within=70)
    assert (outcome.result, outcome.evidence.phase) == (Result.DONE, None)
    assert world.line.said(OrderQuery) < 40
    world.close()


def test_a_query_asks_the_machine_about_a_drink_under_way(tmp_path: Path) -> None:
    world = World(tmp_path, brew_s=60)
    world.order()
    world.run(10)
    assert world.line.said(OrderQuery) == 0
    world.tell(QUERY)
    world.run(0.5)
    assert world.line.said(OrderQuery) == 1
    assert world.outcome(within=70).result is Result.DONE
    world.close()


def test_a_query_about_an_unknown_outcome_does_not_wait_for_the_next_round(world: World) -> None:
    world.switch("mid_pour_crash")
    world.order()
    assert world.outcome().result is Result.UNKNOWN
    world.run(20)
    asked = world.line.said(OrderQuery)
    world.tell(QUERY)
    world.run(0.5)
    assert world.line.said(OrderQuery) == asked + 1
    assert not world.journal.requests.is_asked_about("c1")


def test_a_query_about_a_drink_that_is_made_asks_nobody(world: World) -> None:
    world.order()
    world.outcome()
    world.run(2)
    world.tell(QUERY)
    world.run(2)
    assert world.line.said(OrderQuery) == 0
