"""docs/machine-protocol.md 5.4, row by row, acted out: a machine in that state, a make that was sent, and what is told.

`test_outcome_table.py` holds the table itself; here each row is reached by the agent's own questions, evidence and all.
"""

from collections.abc import Callable
from dataclasses import dataclass

import pytest

from agent.journal.records import Snapshot
from agent.making.outcome_table import TABLE
from protocol.reasons import Result, Spout
from tests.agent.world import World, assert_truthful

DONE, FAILED, UNKNOWN = Result.DONE, Result.FAILED, Result.UNKNOWN


@dataclass(frozen=True)
class Row:
    """One row of the document: switches that bring it about, what the agent does meanwhile, and what must be told."""

    rule: str
    """As the evidence names it."""
    result: Result
    code: str = ""
    switches: tuple[str, ...] = ()
    act: Callable[[World], None] = lambda _: None
    out: Spout | None = None


def agent_dies(world: World) -> None:
    """While the drink is under way; it asks when it is back."""
    world.run(2)
    world.restart(after=60)
    world.welcome()


def agent_dies_for_long(world: World) -> None:
    world.run(2)
    world.restart(after=300)
    world.welcome()


def agent_restarts_at_once(world: World) -> None:
    world.run(2)
    world.restart(after=0.2)
    world.welcome()


ROWS = {
    "SENT+ done, any, any": Row("done", DONE, switches=("drop_done",), act=agent_dies, out=Spout.FULL),
    "SENT+ done, counter still 0": Row(
        "done, though the counter did not move", DONE, switches=("reboot_after_outcome", "lose_counters")
    ),
    "SENT+ failed none, 0": Row(
        "failed, nothing came out", FAILED, "", ("fail_before_pour", "drop_done"), agent_dies, out=Spout.NONE
    ),
    "SENT+ failed partial": Row("failed, partly poured", FAILED, "partial", ("fail_mid_brew", "drop_done"), agent_dies),
    "SENT+ accepted or brewing, same": Row("still under way", DONE, act=agent_restarts_at_once),
    "SENT+ interrupted, changed, 0": Row("interrupted, leaning not made", UNKNOWN, "", ("mid_pour_crash",), agent_dies),
    "SENT+ unknown, nv": Row(
        "never seen by the machine", FAILED, "never_started", ("reboot_before_accept",), agent_dies
    ),
    "SENT+ unknown, ram, changed, 0": Row(
        "forgotten in a reboot, leaning not made", UNKNOWN, "", ("without_nv", "mid_pour_crash"), agent_dies
    ),
    "SENT+ unknown, ram, changed, 1": Row(
        "forgotten in a reboot, but counted", DONE, "", ("without_nv", "reboot_before_done"), agent_dies
    ),
    "SENT+ not supported, any, 1": Row("counted", DONE, "", ("without_order", "drop_done"), agent_dies),
    "SENT+ not supported, changed, 0": Row(
        "nothing proves anything", UNKNOWN, "", ("without_order", "mid_pour_crash"), agent_dies
    ),
    "SENT+ no counters either": Row(
        "nothing proves anything", UNKNOWN, "", ("without_order", "without_counters", "drop_done"), agent_dies_for_long
    ),
}


@pytest.mark.parametrize("name", ROWS)
def test_the_row(name: str, world: World) -> None:
    row = ROWS[name]
    for switch in row.switches:
        world.switch(switch, **({"when": "every", "n": 1} if switch == "drop_done" else {}))
    world.restart()  # it meets a machine that can do what it now can
    world.run(5)
    world.order()
    row.act(world)
    outcome = world.outcome()
    world.run(world.aftermath())
    final = world.outcomes()[-1]
    assert (outcome.result, outcome.code) == (row.result, row.code)
    if row.rule != "still under way":
        assert outcome.evidence.rule == row.rule
        assert outcome.evidence.boot_before
    assert row.out in (None, outcome.out)
    assert_truthful(world, final)
    assert world.line.makes() == 1


def test_received_or_intent_is_never_sent(world: World) -> None:
    """The first row; every commit before the first byte is tried in test_crashes.py."""
    world.tell(world.make())
    world.journal.mark_intent("c1", Snapshot("b0"))
    world.restart()
    outcome = world.outcome()
    assert (outcome.result, outcome.code, outcome.out) == (FAILED, "never_sent", Spout.NONE)
    assert world.touched() == 0


def test_the_evidence_is_boots_counters_phase_and_the_journals_lines(world: World) -> None:
    world.switch("without_nv")
    world.switch("reboot_before_done")
    world.order()
    agent_dies(world)
    evidence = world.outcome().evidence
    assert (evidence.phase, evidence.history) == ("unknown", "ram")
    assert evidence.boot_before != evidence.boot_now
    assert (evidence.count_before, evidence.count_now) == (0, 1)
    assert [line.split()[0] for line in evidence.journal][:3] == ["received", "intent", "sent"]


def test_link_down_stays_pending_until_its_deadline_and_the_late_truth_is_a_revision(world: World) -> None:
    world.order()
    world.run(2)
    world.switch("unplugged")
    world.run(world.profile.timers.unknown_deadline - 10)
    assert world.outcomes() == []
    assert world.outcome(within=60).result is UNKNOWN
    world.confirm_all()
    world.switch_off("unplugged")
    assert world.run(60, lambda: world.outcomes())
    (late,) = world.outcomes()
    assert (late.result, late.revision) == (DONE, 2)
    assert late.evidence.rule
    assert world.line.makes() == 1


def test_a_late_done_of_the_machine_itself_is_a_revision_too(world: World) -> None:
    world.order()
    world.run(2)
    world.switch("mute")
    assert world.outcome(within=600).result is UNKNOWN
    world.confirm_all()
    world.switch_off("mute")
    assert world.run(600, lambda: world.outcomes())
    assert (world.outcomes()[-1].result, world.outcomes()[-1].revision) == (DONE, 2)
    assert world.cups() == 1
    assert world.line.makes() == 1


def test_two_more_than_before_is_unknown_and_stops_the_selling(world: World) -> None:
    world.switch("without_order")
    world.switch("count_twice")
    world.switch("drop_done", when="every", n=1)
    world.restart()
    world.run(5)
    world.order()
    agent_dies(world)
    outcome = world.outcome()
    assert (outcome.result, outcome.evidence.rule) == (UNKNOWN, "something else is dispensing")
    world.run(5)
    assert world.live_state.view.stopped
    world.order("c2", "o2")
    assert world.outcome("c2").code == "not_selling"


def test_each_row_of_the_table_that_can_be_acted_out_is() -> None:
    acted = {row.rule for row in ROWS.values()} | {"something else is dispensing"}
    acted |= {  # test_contradictions.py
        "its memory was wiped",
        "it had it, and denies it",
        "it had it, and went on denying it",
        "it had it, and denies it in the same boot",
    }
    left = {row.name for row in TABLE} - acted
    assert left == {
        "done, but the counter moved by more than one",
        "failed dry, but counted more than once",
        "failed dry, but counted",
        "cancelled before anything moved",
        "interrupted, but counted",
        "not seen since this boot",
        "not counted, and a started drink always counts",
        "not counted yet",
    }, "test_outcome_table.py alone proves these"
