"""Commands that come twice, too late, in pairs, or only to be cancelled or asked about."""

from pathlib import Path

import pytest

from agent.journal.records import Snapshot
from protocol.machine import CancelDrink
from protocol.messages import Asked, Query
from protocol.reasons import Result
from tests.agent.world import World, assert_truthful


def test_a_second_order_during_the_first_is_refused_at_once(world: World) -> None:
    world.order()
    world.run(2)
    world.order("c2", "o2")
    outcome = world.outcome("c2", within=1)
    assert (outcome.result, outcome.code) == (Result.REJECTED, "busy")
    assert world.outcome("c1").result is Result.DONE
    assert world.touched("o2") == 0


def test_two_orders_one_after_the_other_are_both_poured(world: World) -> None:
    world.order()
    world.outcome()
    world.order("c2", "o2")
    assert world.outcome("c2").result is Result.DONE
    assert (world.cups("o1"), world.cups("o2")) == (1, 1)


@pytest.mark.parametrize("after", [0.0, 3.0, 30.0])
def test_the_same_make_again_pours_nothing_and_is_answered(world: World, after: float) -> None:
    world.welcome()
    make = world.make()
    world.tell(make)
    world.run(after)
    world.tell(make)
    world.run(60)
    assert world.cups() == 1
    assert world.line.makes() == 1
    assert world.outcomes()[-1].result is Result.DONE


def test_another_command_of_a_poured_order_is_a_conflict(world: World) -> None:
    world.order("c1", "o1")
    world.outcome()
    world.order("c2", "o1")
    outcome = world.outcome("c2")
    assert (outcome.result, outcome.code) == (Result.REJECTED, "conflict")
    assert world.cups() == 1


def test_another_command_may_follow_one_that_certainly_poured_nothing(world: World) -> None:
    world.switch("unplugged")
    world.order("c1", "o1")
    assert world.outcome("c1").code == "machine_offline"
    world.switch_off("unplugged")
    world.run(3)
    world.order("c2", "o1")
    assert world.outcome("c2").result is Result.DONE
    assert world.cups() == 1


def test_a_make_that_the_cloud_no_longer_waits_for_is_poured_by_the_run_that_received_it(world: World) -> None:
    """The list of what is waited for may be older than the make; only an earlier run may have sent it."""
    world.welcome()
    world.live_state.update(waited_for=frozenset())
    world.order()
    assert world.outcome().result is Result.DONE
    assert world.cups() == 1


def test_a_cancel_before_the_machine_has_it_is_certain(world: World) -> None:
    world.order()
    world.cancel()
    outcome = world.outcome()
    assert (outcome.result, outcome.code) == (Result.REJECTED, "cancelled")
    world.run(30)
    assert world.line.makes() == 0


def test_a_cancel_is_passed_to_the_machine_once(world: World) -> None:
    world.order()
    world.run(10, lambda: world.accepted())
    world.cancel()
    outcome = world.outcome()
    assert world.line.said(CancelDrink) == 1
    assert_truthful(world, outcome)
    assert outcome.result in (Result.REJECTED, Result.DONE)


def test_a_cancel_too_late_changes_nothing(world: World) -> None:
    world.order()
    world.run(4)
    world.cancel()
    assert world.outcome().result is Result.DONE
    assert world.cups() == 1


def test_a_cancel_that_overtakes_its_make_buries_it(world: World) -> None:
    world.cancel()
    world.order()
    world.run(30)
    assert {outcome.code for outcome in world.outcomes()} == {"cancelled"}
    assert world.touched() == 0


def test_a_command_asked_about_before_it_came_is_refused_for_ever(world: World) -> None:
    world.tell(Query(commands=[Asked(command_id="c1", order_id="o1")]))
    assert world.outcome().code == "never_received"
    world.order()
    world.run(30)
    assert world.touched() == 0
    assert {outcome.code for outcome in world.outcomes()} == {"never_received"}


def test_a_question_about_a_known_command_repeats_the_last_word(world: World) -> None:
    world.order()
    world.outcome()
    world.confirm_all()
    assert world.reports() == []
    world.tell(Query(commands=[Asked(command_id="c1", order_id="o1")]))
    assert [(one.result, one.revision) for one in world.outcomes()] == [(Result.DONE, 1)]


def test_a_question_during_the_pour_repeats_accepted(world: World) -> None:
    world.order()
    world.run(3)
    world.tell(Query(commands=[Asked(command_id="c1", order_id="o1")]))
    assert len(world.accepted()) == 1
    assert world.outcomes() == []


def test_a_make_the_machine_already_knows_is_asked_about_at_once(world: World, tmp_path: Path) -> None:
    """The journal is another one, as after a swapped card; the machine remembers the order."""
    world.order()
    assert world.outcome().result is Result.DONE
    world.journal.close()
    world.folder = tmp_path / "another"
    world.line.reopen()
    world._build()
    world.run(3)
    world.order("c2", "o1")
    outcome = world.outcome("c2", within=3)
    assert outcome.result is Result.DONE
    assert world.cups("o1") == 1


def test_a_cancel_between_intent_and_sent_still_comes_in_time(world: World) -> None:
    intend = world.journal.mark_intent

    def intend_and_cancel(command_id: str, snapshot: Snapshot) -> bool:
        done = intend(command_id, snapshot)
        world.cancel()
        return done

    world.journal.mark_intent = intend_and_cancel  # type: ignore[method-assign]  # a moment no timing could hit
    world.order()
    outcome = world.outcome()
    assert (outcome.result, outcome.code) == (Result.REJECTED, "cancelled")
    assert world.line.makes() == 0
