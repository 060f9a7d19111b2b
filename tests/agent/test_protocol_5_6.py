"""Each test that docs/machine-protocol.md 5.6 asks for, and which of ours it is. Written here: those about refunds.

A name that no longer leads to a test fails; so does a numbered step of 5.2 that no kill is placed at.
"""

import importlib
from collections.abc import Callable

import pytest

from protocol.machine import MakeDrink
from protocol.messages import Asked, Make, Query
from protocol.reasons import Result
from tests.agent.dying_agent import ROUNDABOUT, STEPS
from tests.agent.making.test_crashes import die_before
from tests.agent.world import World

ASKED_FOR: dict[str, tuple[str, ...]] = {
    "kill -9 at each numbered step": (
        "test_process::test_killed_at_any_step_it_pours_at_most_once_and_tells_the_truth",
        "test_kill_matrix::test_killed_once",
        "making.test_crashes::test_killed_after_any_commit_the_order_ends_truthfully",
    ),
    "journal snapshot/restore, to mimic power loss": (
        "journal.test_power_loss::test_at_any_commit",
        "journal.test_power_loss::test_once_more_while_it_settles_what_the_first_cut_left",
        "journal.test_power_loss::test_while_the_log_is_folded_into_the_file",
        "journal.test_power_loss::test_the_stop_of_selling_outlives_a_power_cut_right_after_it",
        "journal.test_power_loss::test_a_late_truth_outlives_a_power_cut_right_after_it",
    ),
    "between commit and write": (
        "making.test_crashes::test_killed_between_the_commit_and_the_bytes_the_machine_proves_that_it_never_started",
        "journal.test_power_loss::test_between_a_commit_and_what_it_announces",
    ),
    "machine power cut at each phase": ("making.test_make_drink::test_a_power_cut_of_the_machine_ends_in_the_truth",),
    "both": (
        "test_process::test_both_killed_in_mid_pour_the_outcome_is_unknown",
        "journal.test_power_loss::test_at_any_commit_and_the_machine_at_each_phase",
        "test_kill_matrix::test_killed_once",
    ),
    "duplicate MQTT delivery before, during, after": (
        "making.test_commands::test_the_same_make_again_pours_nothing_and_is_answered",
        "test_kill_matrix::test_killed_once",
    ),
    "delivery from an offline queue": (
        "cloud.test_link::test_a_command_sent_while_the_agent_was_away_reaches_it",
        "cloud.test_link::test_a_command_older_than_its_deadline_is_answered_and_not_poured",
    ),
    "clock jump of a day": (
        "making.test_deadline_three_ways::test_a_clock_that_jumps_in_the_middle_changes_nothing",
        "making.test_deadline_three_ways::test_with_any_wrong_clock_a_late_command_pours_nothing_and_a_fresh_one_does",
    ),
    "conflicting body with same id": (
        "cloud.test_command_handler::test_the_same_command_with_another_body_changes_nothing_and_is_not_called_refused",
        "making.test_commands::test_another_command_of_a_poured_order_is_a_conflict",
    ),
    "lost A2": (
        "making.test_make_drink::test_a_bad_line_costs_no_drink",
        "making.test_make_drink::test_a_lost_refusal_is_never_turned_into_a_drink",
    ),
    "lost C2": (
        "making.test_make_drink::test_a_bad_line_costs_no_drink",
        "making.test_make_drink::test_a_failure_says_what_came_out",
    ),
    "duplicated C2": ("making.test_make_drink::test_a_bad_line_costs_no_drink",),
    "C2 for another order": (
        "making.test_make_drink::test_done_for_an_order_we_never_sent_is_acknowledged_and_changes_nothing",
    ),
    "port renamed mid-brew": (
        "machine.test_serial_line::test_a_port_pulled_in_mid_pour_comes_back_as_another_and_the_drink_is_told",
    ),
    "local drink in parallel": (
        "making.test_breaker::test_a_drink_nobody_ordered_during_one_of_ours_stops_the_selling",
        "making.test_counters_in_doubt::test_one_that_cannot_leaves_what_the_counters_prove",
    ),
    "counters absent / wrong / reset to zero": (
        "making.test_counters_in_doubt::test_a_machine_that_can_be_asked_is_believed",
        "making.test_counters_in_doubt::test_one_that_cannot_leaves_what_the_counters_prove",
        "making.test_counters_in_doubt::test_a_drink_that_was_never_made_is_not_conjured_up",
    ),
    "disk full on commit (must reject, not brew)": (
        "journal.test_sqlite_file::test_on_a_full_disk_an_order_is_refused_with_the_reason_and_the_agent_stays_to_say_so",
        "journal.test_journal::test_with_a_full_disk_a_make_is_not_taken_and_nothing_is_poured",
    ),
    "journal corrupt at start (must refuse to sell, keep the file, report)": (
        "journal.test_journal::test_a_damaged_journal_is_kept_aside_and_nothing_is_sold_until_a_person_decides",
    ),
    "cups at most 1 per id; no terminal report contradicts ground truth; every id ends": (
        "test_every_switch::test_one_switch",
        "test_every_switch::test_several_switches",
        "test_kill_matrix::test_killed_once",
    ),
    "no refund and brew begun later": (
        "test_protocol_5_6::test_what_may_have_been_given_back_is_never_begun_again",
        "test_every_switch::test_one_switch",
    ),
}
KILLED_AT: dict[int, tuple[str, ...]] = {
    1: ("before received", "received, not acknowledged"),
    2: ("received, not acknowledged",),
    3: ("before intent",),
    4: ("about to count", "before intent", "intent, not sent"),
    5: ("before sent", "sent, no byte", "bytes written"),
    6: ("before accepted", "accepted", "before brewing", "brewing", "about to ask"),
    7: ("about to ask", "sent again"),
    8: ("before the outcome", "outcome, not acknowledged", "outcome acknowledged", "receipted"),
    9: ("about to ask", "about to count"),
}
"""Steps of 5.2 and the kills of dying_agent.py in them; breaker (10) and late truth (11) are in test_power_loss.py."""


@pytest.mark.parametrize("item", ASKED_FOR)
def test_it_is_tested(item: str) -> None:
    for name in ASKED_FOR[item]:
        module, _, function = name.partition("::")
        assert callable(getattr(importlib.import_module(f"tests.agent.{module}"), function, None)), name


def test_a_kill_is_placed_at_each_numbered_step() -> None:
    placed = {step for steps in KILLED_AT.values() for step in steps}
    assert placed == STEPS.keys() | ROUNDABOUT.keys()
    assert list(KILLED_AT) == list(range(1, 10))


def refused_by_the_gate(world: World) -> None:
    world.switch("no_water", seconds=30)
    world.run(2)


def killed_before_the_bytes(world: World) -> None:
    die_before(world, MakeDrink)


def silent_from_the_make_on(world: World) -> None:
    world.switch("silent", when="once", seconds=400)


ENDS: dict[str, tuple[Callable[[World], None], Result]] = {
    "refused by the gate": (refused_by_the_gate, Result.REJECTED),
    "refused by the machine": (lambda world: world.switch("reject_no_beans"), Result.REJECTED),
    "unplugged": (lambda world: world.switch("unplugged", seconds=60), Result.REJECTED),
    "never sent": (lambda world: world.crash_after_commit(2), Result.FAILED),
    "never started": (killed_before_the_bytes, Result.FAILED),
    "failed dry": (lambda world: world.switch("fail_before_pour"), Result.FAILED),
    "failed half poured": (lambda world: world.switch("no_water_mid_brew"), Result.FAILED),
    "power cut before accepting": (lambda world: world.switch("reboot_before_accept"), Result.FAILED),
    "power cut after accepting": (lambda world: world.switch("reboot_after_accept"), Result.UNKNOWN),
    "power cut in mid-pour": (lambda world: world.switch("mid_pour_crash"), Result.UNKNOWN),
    "never heard of again": (silent_from_the_make_on, Result.UNKNOWN),
}


@pytest.mark.parametrize("end", ENDS)
def test_what_may_have_been_given_back_is_never_begun_again(end: str, world: World) -> None:
    """However often it is delivered or asked about afterwards, by whatever process, with the machine in best health."""
    befall, result = ENDS[end]
    world.welcome()
    befall(world)
    make = world.make()
    world.deliver(make)
    assert world.outcome().result is result
    written, touched = world.line.makes(), world.touched()
    for _ in range(2):
        insist(world, make)
        world.restart()
        world.welcome()
        insist(world, make)
    assert (world.line.makes(), world.touched()) == (written, touched)
    assert world.cups() == 0


def insist(world: World, make: Make) -> None:
    for message in (make, Query(commands=[Asked(command_id=make.command_id, order_id=make.order_id)]), make):
        world.tell(message)
        world.run(world.aftermath())
