"""The journal as a power cut leaves it, at every commit of a drink, alone and with the machine's own power cut.

docs/machine-protocol.md 5.6, the journal as it was before its last commits: test_crashes.py has the same for kill -9.
"""

from collections.abc import Iterator
from itertools import product
from pathlib import Path

import pytest

from agent.journal.sqlite_file import FILE
from agent.machine.profile import load
from protocol.machine import CountersQuery, DoneEvent, EventAck, Hello, MakeDrink, OrderQuery, OrderReply, Status
from protocol.messages import Outcome
from protocol.reasons import Result
from tests.agent.power_loss import LOG, Instant, PowerLossWorld
from tests.agent.world import assert_truthful

COMMITS = range(1, 7)
"""A drink's life is five commits (received, sent with its intent, accepted, brewing, done) and what follows them."""
POWER_CUTS = (
    *("reboot_before_accept", "reboot_after_accept", "mid_pour_crash", "reboot_after_dispense"),
    *("reboot_after_outcome", "reboot_before_done", "reboot_after_done"),
)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[PowerLossWorld]:
    made = PowerLossWorld(tmp_path / "state")
    yield made
    made.close()


def finish(world: PowerLossWorld) -> None:
    """As the cloud does: the command again until it is answered, and a question about it afterwards."""
    make = world.make()
    world.deliver(make)
    assert world.run(600, lambda: world.outcomes())
    world.deliver(make)
    world.run(world.aftermath())
    assert_truthful(world, world.outcomes()[-1])
    assert world.journal.unsettled() == []
    assert world.journal.sales_block.needs_person() == ""


@pytest.mark.parametrize("instant", Instant)
@pytest.mark.parametrize("commit", COMMITS)
def test_at_any_commit(world: PowerLossWorld, commit: int, instant: Instant) -> None:
    world.welcome()
    world.cut_power_at(commit, instant)
    finish(world)
    assert world.restarts == 1
    assert world.line.makes() <= 1


def both_cut() -> list[object]:
    """Each commit with each phase of the machine, half written and whole in turn; the other half is for --long."""
    found: list[object] = []
    for (row, cut), commit in product(enumerate(POWER_CUTS), COMMITS):
        now, later = (Instant.HALF, Instant.AFTER) if (row + commit) % 2 else (Instant.AFTER, Instant.HALF)
        found += [(cut, commit, now), pytest.param(cut, commit, later, marks=pytest.mark.long)]
    return found


@pytest.mark.parametrize(("cut", "commit", "instant"), both_cut())
def test_at_any_commit_and_the_machine_at_each_phase(
    world: PowerLossWorld, cut: str, commit: int, instant: Instant
) -> None:
    world.welcome()
    world.switch(cut)
    world.cut_power_at(commit, instant)
    finish(world)
    assert world.line.makes() <= 1


@pytest.mark.parametrize("frame", [MakeDrink, EventAck], ids=["sent, no byte", "done, not acknowledged"])
def test_between_a_commit_and_what_it_announces(world: PowerLossWorld, frame: type[MakeDrink | EventAck]) -> None:
    world.welcome()
    world.cut_power_before(frame.command)
    finish(world)
    assert world.restarts == 1
    assert world.line.makes() <= 1
    assert world.outcomes()[-1].result is (Result.FAILED if frame is MakeDrink else Result.DONE)


@pytest.mark.parametrize("again", [Hello, OrderQuery, CountersQuery, Status])
@pytest.mark.parametrize("commit", [2, 3, 4])
def test_once_more_while_it_settles_what_the_first_cut_left(
    world: PowerLossWorld, commit: int, again: type[Hello | OrderQuery | CountersQuery | Status]
) -> None:
    world.welcome()
    world.cut_power_at(commit, Instant.AFTER)
    world.then_before = again.command
    finish(world)
    assert world.restarts == 2
    assert world.line.makes() <= 1


@pytest.mark.parametrize("instant", [Instant.HALF, Instant.AFTER])
def test_while_the_log_is_folded_into_the_file(world: PowerLossWorld, instant: Instant) -> None:
    """Ever more orders until a commit also folds; with its log the half-folded file is whole again."""
    world.cut_power_when(lambda number, before: number > 6 and before[FILE] != world.picture()[FILE], instant)
    for number in range(30):
        world.welcome()
        world.deliver(world.make(f"c{number}", f"o{number}"))
        assert_truthful(world, world.outcome(f"c{number}"))
        if world.restarts:
            break
    assert world.restarts == 1, "no commit folded the log"
    assert world.journal.sales_block.needs_person() == ""
    assert [world.cups(f"o{before}") for before in range(number)] == [1] * number


@pytest.mark.parametrize(("commit", "lost"), [(1, 1), (2, 1), (2, 2)])
def test_a_card_that_lied_about_its_last_commits_costs_no_second_cup(
    world: PowerLossWorld, commit: int, lost: int
) -> None:
    """More than FULL can promise: the books may be wrong then, but the machine's memory still guards the cup."""
    order_on_a_card_that_lies(world, commit, lost)


def order_on_a_card_that_lies(world: PowerLossWorld, commit: int, lost: int) -> None:
    world.welcome()
    world.lose_commits(commit, lost)
    make = world.make()
    world.deliver(make)
    world.run(60)
    assert world.restarts == 1
    world.deliver(make)
    world.run(world.aftermath())
    assert world.touched() <= 1
    assert world.outcomes()
    assert all(world.cups() == 1 for outcome in world.outcomes() if outcome.result is Result.DONE)


@pytest.mark.parametrize("lost", [1, 2, 3])
@pytest.mark.parametrize("commit", COMMITS[2:])
def test_what_such_a_card_made_of_the_books_the_machines_word_puts_right(
    world: PowerLossWorld, commit: int, lost: int
) -> None:
    """5.4: the first row holds for an honest journal; the machine's `done` goes before it."""
    order_on_a_card_that_lies(world, commit, lost)
    last = world.outcomes()[-1]
    assert (last.result is Result.DONE) is (world.cups() == 1)
    assert_truthful(world, last)


@pytest.mark.parametrize(("commit", "lost"), [(3, 2), (4, 3), (6, 5)])
def test_of_a_drink_whose_sending_the_card_forgot_the_machine_is_asked_first(
    world: PowerLossWorld, commit: int, lost: int
) -> None:
    """Intent and sent are one commit, so only `received` is left: nothing says wrongly that nothing was sent."""
    world.welcome()
    world.lose_commits(commit, lost)
    world.deliver(world.make())
    assert world.run(120, lambda: any(each.result is Result.DONE for each in world.outcomes()))
    assert (world.restarts, world.cups(), world.line.makes()) == (1, 1, 1)
    assert {each.result for each in world.outcomes()} == {Result.DONE}


def forget_all_but_received(world: PowerLossWorld) -> None:
    """The drink is poured and its `done` acknowledged; of its commits the card keeps the first."""
    world.switch("without_dedup")
    world.restart()
    world.run(3)
    world.welcome()
    world.run(10)
    world.tell(world.make())
    received = world.picture()
    assert world.run(60, lambda: world.outcomes())
    world.run(10)
    world.disk = received
    world.restart()


def test_of_a_drink_the_machine_speaks_of_no_more_it_is_asked_all_the_same(world: PowerLossWorld) -> None:
    """Regression: after its `done` was acknowledged nothing named the order, and a run that was written down by then
    trusted its `received`: a second cup.
    """
    forget_all_but_received(world)
    world.welcome()
    world.tell(world.make())
    world.run(60)
    assert (world.cups(), world.line.makes()) == (1, 1)
    assert {each.result for each in world.outcomes()} == {Result.DONE}


@pytest.mark.parametrize(
    ("lost", "result", "code"), [(4, Result.DONE, ""), (1000, Result.REJECTED, "expired")], ids=["a few", "all"]
)
def test_while_it_does_not_answer_whether_it_has_the_drink_nothing_is_sent(
    world: PowerLossWorld, lost: int, result: Result, code: str
) -> None:
    """Regression: no answer to three questions was taken for a no, and a second cup was made."""
    forget_all_but_received(world)
    world.line.lose_replies(OrderReply, lost)
    world.welcome()
    assert world.run(90, lambda: world.outcomes())
    assert [(each.result, each.code) for each in world.outcomes()] == [(result, code)]
    assert (world.cups(), world.line.makes()) == (1, 1)


@pytest.mark.parametrize(("waited_for", "cups"), [(None, 1), ({"c1"}, 1), (set(), 0)], ids=["not told", "yes", "no"])
@pytest.mark.parametrize("profile", ["companion-v1", "companion-ack-only"])
def test_what_the_cloud_waits_for_no_more_is_not_poured_though_the_card_forgot_its_refusal(
    tmp_path: Path, profile: str, waited_for: set[str] | None, cups: int
) -> None:
    """Regression: the money was back, the water filled, and the cup was poured after the restart."""
    world = PowerLossWorld(tmp_path / "state", profile=load(profile))
    known_to_the_cloud(world)
    world.switch("no_water")
    world.run(2)
    world.tell(world.make())
    received = world.picture()
    assert world.outcome().code == "no_water"
    world.switch_off("no_water")
    world.disk = received
    world.restart(20)
    world.live_state.update(waited_for=None if waited_for is None else frozenset(waited_for))
    world.welcome()
    world.run(300)
    assert (world.cups(), world.line.makes()) == (cups, cups)
    assert_truthful(world, world.outcomes()[-1])
    world.close()


def known_to_the_cloud(world: PowerLossWorld) -> None:
    """A run of the agent that is dated and written down: what it received is not older than the journal."""
    world.welcome()
    world.run(10)


def test_of_a_drink_refused_as_too_late_the_machine_is_asked_afterwards(world: PowerLossWorld) -> None:
    """Regression: only intents were asked about, and there are none any more; the poured cup stayed a refusal."""
    known_to_the_cloud(world)
    world.tell(world.make())
    received = world.picture()
    assert world.outcome().result is Result.DONE
    world.run(10)
    world.disk = received
    world.restart(90)
    world.welcome()
    assert world.run(60, lambda: world.outcome().result is Result.DONE)
    assert (world.outcome().revision, world.cups(), world.line.makes()) == (2, 1, 1)


def test_what_this_run_has_refused_no_word_of_the_machine_makes_a_drink(world: PowerLossWorld) -> None:
    """No power was lost, so no commit can be: a machine that says done of it is mistaken, and the operator is told."""
    world.welcome()
    world.switch("no_water")
    world.run(2)
    world.deliver(world.make())
    assert world.outcome().code == "no_water"
    world.machine._voice.announce(world.clock.seconds, DoneEvent, order_uuid="o1", total=1)
    world.run(10)
    assert [one.result for one in world.outcomes()] == [Result.REJECTED]
    assert [event.evidence["order_id"] for event in world.told_of("stray_outcome")] == ["o1"]


def test_a_log_torn_in_the_middle_of_a_commit_forgets_that_commit_and_nothing_else(world: PowerLossWorld) -> None:
    world.order()
    world.outcome()
    world.cut_power_at(1, Instant.HALF)
    world.welcome()
    world.deliver(world.make("c2", "o2"))
    assert world.disk is not None
    assert world.disk[LOG]
    assert world.journal.get("c1") is not None
    assert world.outcome("c2").result is Result.DONE
    assert (world.cups("o1"), world.cups("o2")) == (1, 1)


def test_the_stop_of_selling_outlives_a_power_cut_right_after_it(world: PowerLossWorld) -> None:
    """The outcome that trips the breaker and the stop are one commit."""
    for number in (1, 2):
        world.switch("mid_pour_crash")
        world.order(f"c{number}", f"o{number}")
        if number == 2:
            cut_power_after_the_next_outcome(world)
        assert world.outcome(f"c{number}").result is Result.UNKNOWN
        world.run(10)
    assert world.restarts == 1
    assert "needs a person" in world.live_state.view.stopped
    world.order("c3", "o3")
    assert world.outcome("c3").code == "not_selling"


def test_a_late_truth_outlives_a_power_cut_right_after_it(world: PowerLossWorld) -> None:
    """A revision is told after the cut as it would have been without."""
    world.order()
    world.run(2)
    world.switch("mute")
    assert world.outcome(within=600).result is Result.UNKNOWN
    world.switch_off("mute")
    cut_power_after_the_next_outcome(world)
    assert world.run(600, lambda: world.outcome().result is Result.DONE)
    assert world.restarts == 1
    assert [(one.result, one.revision) for one in world.outcomes()] == [(Result.DONE, 2)]
    assert world.line.makes() == 1


def cut_power_after_the_next_outcome(world: PowerLossWorld) -> None:
    """Right after the commit that writes it."""

    def told() -> set[tuple[str, int]]:
        return {(one.command_id, one.revision) for one in world.reports() if isinstance(one, Outcome)}

    known = told()
    world.cut_power_when(lambda *_: not told() <= known)
