"""The shipped profiles of machines that tell little: only the make frame, and a yes without an end."""

from collections.abc import Callable
from pathlib import Path

import pytest
from msgspec.structs import replace

from agent.journal.operator_decisions import Decision, leave
from agent.journal.records import Verdict
from agent.journal.sqlite_file import JournalFailed
from agent.machine.conversation import LineLost
from agent.machine.profile import Counting, load
from agent.machine.profile_overrides import laid_over
from protocol.frames import Frame
from protocol.machine import CODES, MakeDrink
from protocol.reasons import Result, Spout
from simulator.machine.jobs import Sale
from tests.agent.machine.test_capability_rules import a_world
from tests.agent.world import AMERICANO, World

# tmetr-legacy: only the make frame


def test_legacy_sends_one_make_and_nothing_else_and_says_that_nobody_can_see(tmp_path: Path) -> None:
    with a_world(tmp_path, profile=load("tmetr-legacy")) as world:
        world.order()
        outcome = world.outcome(within=1)
        assert (outcome.result, outcome.code, outcome.out) == (Result.UNKNOWN, "unobservable", Spout.UNKNOWN)
        assert "never says what becomes of a drink" in outcome.evidence.rule
        world.run(600)
        assert [CODES[frame.command] for frame in world.line.written] == [MakeDrink]
        assert world.accepted() == []
        assert [one.result for one in world.outcomes()] == [Result.UNKNOWN]


def test_legacy_leaves_the_machine_alone_for_the_drinks_time(tmp_path: Path) -> None:
    legacy = load("tmetr-legacy")
    with a_world(tmp_path, profile=legacy) as world:
        world.order()
        world.run(legacy.timers.max_brew - 1)
        world.order("c2", "o2")
        assert (world.outcome("c2").result, world.outcome("c2").code) == (Result.REJECTED, "busy")
        world.run(2)
        world.order("c3", "o3")
        assert world.outcome("c3").code == "unobservable"
        assert world.line.makes() == 2


def test_legacy_leaves_the_machine_alone_after_an_error_of_ours_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Regression: a commit that failed beside it dropped the wait, and the next make went out while it poured."""
    legacy = load("tmetr-legacy")
    with a_world(tmp_path, profile=legacy) as world:
        world.order()
        assert world.outcome().code == "unobservable"
        finish, fails = world.journal.finish, iter([True])

        def fail_once(command_id: str, verdict: Verdict) -> bool:
            if next(fails, False):
                raise JournalFailed("disk I/O error")
            return finish(command_id, verdict)

        monkeypatch.setattr(world.journal, "finish", fail_once)
        world.order("c2", "o2")
        world.run(5)
        world.order("c3", "o3")
        assert world.outcome("c3").code == "busy"
        assert world.line.makes() == 1
        world.run(legacy.timers.max_brew)
        world.order("c4", "o4")
        assert world.outcome("c4").code == "unobservable"


@pytest.mark.parametrize("commits", [1, 2, 3])
def test_legacy_killed_at_any_step_sends_once_and_still_leaves_the_machine_alone(tmp_path: Path, commits: int) -> None:
    with a_world(tmp_path, profile=load("tmetr-legacy")) as world:
        world.welcome()
        world.crash_after_commit(commits)
        world.deliver(world.make())
        world.run(5)
        assert world.restarts == 1
        assert world.line.makes() <= 1
        outcome = world.outcome()
        assert (outcome.code == "unobservable") is (world.line.makes() == 1)
        if world.line.makes():
            world.order("c2", "o2")
            assert world.outcome("c2").code == "busy"
        assert world.cups() <= 1


def test_legacy_whose_bytes_do_not_leave_is_in_real_doubt_and_stops_selling(tmp_path: Path) -> None:
    """Regression: told as sent, each was charged for where the merchant trusts it, and nothing ever stopped."""
    with a_world(tmp_path, profile=load("tmetr-legacy")) as world:

        def fail(_: Frame) -> None:
            world.switch("unplugged")
            raise LineLost("write failed")

        world.line.on_write = fail
        for number in (1, 2):
            world.order(f"c{number}", f"o{number}")
            outcome = world.outcome(f"c{number}")
            assert (outcome.result, outcome.code) == (Result.UNKNOWN, "")
            assert outcome.evidence.rule.startswith("it may have been sent")
            world.run(1)
            world.switch_off("unplugged")
            world.run(100)
        assert world.line.makes() == 0
        assert "in a row" in world.live_state.view.stopped


def test_legacy_sells_on_however_many_outcomes_nobody_saw(tmp_path: Path) -> None:
    with a_world(tmp_path, profile=load("tmetr-legacy")) as world:
        for number in range(5):
            world.order(f"c{number}", f"o{number}")
            assert world.outcome(f"c{number}").code == "unobservable"
            world.run(100)
        assert world.live_state.view.stopped == ""
        assert world.line.makes() == 5


def test_legacy_refuses_with_certainty_what_never_left(tmp_path: Path) -> None:
    with a_world(tmp_path, profile=load("tmetr-legacy")) as world:
        world.switch("unplugged")
        world.run(1)
        world.order()
        outcome = world.outcome()
        assert (outcome.result, outcome.code) == (Result.REJECTED, "machine_offline")


def test_legacy_claims_no_ability(tmp_path: Path) -> None:
    with a_world(tmp_path, profile=load("tmetr-legacy")) as world:
        assert world.live_state.view.capabilities == ()


# companion-ack-only


def test_ack_only_ends_done_by_the_counter(tmp_path: Path) -> None:
    with a_world(tmp_path, "finish", "order", "progress", profile=load("companion-ack-only")) as world:
        world.order()
        outcome = world.outcome()
        assert (outcome.result, outcome.evidence.rule) == (Result.DONE, "counted")
        assert len(world.accepted()) == 1
        assert world.cups() == 1


@pytest.mark.parametrize(("fault", "brew_s"), [("fail_before_pour", 6.0), ("fail_mid_brew", 6.0), ("brewer", 40.0)])
def test_ack_only_does_not_brew_on_when_the_machine_has_given_up(tmp_path: Path, fault: str, brew_s: float) -> None:
    """Ready again, or broken, and nothing counted: nobody can say more, so it is said now and not after `max_brew`."""
    missing = ("finish", "order", "progress")
    with a_world(tmp_path, *missing, profile=load("companion-ack-only"), brew_s=brew_s) as world:
        begun = world.clock.seconds
        if fault != "brewer":
            world.switch(fault)
        world.order()
        world.run(2)
        world.switch(fault)
        assert world.outcome().result is Result.UNKNOWN
        assert world.clock.seconds - begun < 40
        assert world.cups() == 0


def test_ack_only_waits_for_a_drink_that_takes_long(tmp_path: Path) -> None:
    missing = ("finish", "order", "progress")
    with a_world(tmp_path, *missing, profile=load("companion-ack-only"), brew_s=90.0) as world:
        world.order()
        assert world.outcome().result is Result.DONE


@pytest.mark.parametrize(
    ("values", "brew_s"),
    [({"timers.unknown_deadline": 60, "timers.max_brew": 95}, 93.0), ({"timers.max_brew": 240}, 239.0)],
)
@pytest.mark.parametrize("name", ["companion-v1", "companion-ack-only"])
def test_a_drink_has_its_time_whatever_the_deadline_says(
    tmp_path: Path, name: str, values: dict[str, float], brew_s: float
) -> None:
    """Given up too soon, it was unknown, and its late count a stranger's drink beside ours."""
    missing = ("finish", "order", "progress")
    with a_world(tmp_path, *missing, profile=laid_over(load(name), values), brew_s=brew_s) as world:
        for number in (1, 2):
            world.order(f"c{number}", f"o{number}")
            assert world.outcome(f"c{number}").result is Result.DONE
            world.run(100)
        assert [one.revision for one in world.outcomes("c1")] == [1]
        assert not world.journal.sales_block.has_sold_by_itself
        assert world.live_state.view.stopped == ""


def test_ack_only_believes_a_refusal(tmp_path: Path) -> None:
    with a_world(tmp_path, "finish", "order", "progress", profile=load("companion-ack-only")) as world:
        world.switch("reject_no_beans")
        world.order()
        assert (world.outcome().result, world.outcome().code) == (Result.REJECTED, "no_beans")


def test_ack_only_without_counters_is_accepted_and_then_unknown_once_the_machine_is_ready_again(tmp_path: Path) -> None:
    missing = ("finish", "order", "progress", "counters")
    with a_world(tmp_path, *missing, profile=load("companion-ack-only"), brew_s=30.0) as world:
        world.order()
        outcome = world.outcome()
        assert (outcome.result, outcome.code) == (Result.UNKNOWN, "unobservable")
        assert len(world.accepted()) == 1
        assert world.cups() == 1
        world.order("c2", "o2")
        assert world.outcome("c2").code == "unobservable"
        assert world.cups("o2") == 1


def damaged_on_the_line(world: World) -> None:
    turn = world.line.turn

    def damage_makes(heard: bytes = b"") -> float:
        is_make = heard[6:7] == bytes([MakeDrink.command])
        return turn(heard[:20] + b"\0" + heard[21:] if is_make else heard)

    world.line.turn = damage_makes  # type: ignore[method-assign]  # the wire itself has no such switch


def breaks_after_its_yes(world: World) -> None:
    world.run(1, lambda: world.accepted())
    world.switch("brewer")
    world.switch("fail_before_pour")


def falls_silent_after_its_yes(world: World) -> None:
    world.run(1, lambda: world.accepted())
    world.switch("silent")


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (damaged_on_the_line, None),
        (lambda world: world.switch("reboot_before_accept"), None),
        (lambda world: world.switch("mid_pour_crash"), None),
        (None, breaks_after_its_yes),
        (None, falls_silent_after_its_yes),
    ],
    ids=["damaged", "off before it takes it", "off in mid-pour", "broken", "gone for good"],
)
def test_what_an_unobservable_machine_did_not_take_or_broke_off_is_in_real_doubt(
    tmp_path: Path, before: Callable[[World], None] | None, after: Callable[[World], None] | None
) -> None:
    """Regression: told as sent and not to be seen, it was charged for where the merchant trusts the machine."""
    missing = ("finish", "order", "progress", "counters")
    with a_world(tmp_path, *missing, profile=load("companion-ack-only"), brew_s=30.0) as world:
        if before is not None:
            before(world)
        world.order()
        if after is not None:
            after(world)
        outcome = world.outcome()
        assert (outcome.result, outcome.code) == (Result.UNKNOWN, "")


# A counter that has lost its word

COUNTING_ONLY = ("finish", "order", "progress")


def sell_for_coins(world: World) -> None:
    assert world.machine.local_drink(world.clock.seconds, AMERICANO, Sale.PAID)
    assert world.run(300, lambda: world.journal.sales_block.has_sold_by_itself)
    world.run(1)


@pytest.mark.parametrize("sells", [None, True], ids=["found out", "described"])
@pytest.mark.parametrize("name", ["companion-v1", "companion-ack-only"])
def test_where_only_a_counter_tells_and_it_proves_nothing_each_drink_is_unobservable(
    tmp_path: Path, name: str, sells: bool | None
) -> None:
    """Regression: after one coin two drinks poured in full stopped the selling, each told unknown in mid-brew."""
    profile = replace(load(name), counting=Counting(local_sales=sells))
    with a_world(tmp_path, *COUNTING_ONLY, profile=profile, brew_s=40.0) as world:
        if sells is None:
            assert "counters" in world.live_state.view.capabilities
            sell_for_coins(world)
        assert "counters" not in world.live_state.view.capabilities
        assert world.live_state.view.counters is not None
        for number in range(4):
            world.order(f"c{number}", f"o{number}")
            outcome = world.outcome(f"c{number}")
            assert (outcome.result, outcome.code) == (Result.UNKNOWN, "unobservable")
            assert world.cups(f"o{number}") == 1
            world.run(70)
        assert world.live_state.view.stopped == ""
        world.restart()
        world.run(10)
        assert "counters" not in world.live_state.view.capabilities


def test_a_drink_has_its_time_though_the_counter_proves_nothing(tmp_path: Path) -> None:
    """Regression: asked in mid-brew after a lost yes, it was unknown at once, before the machine could tell its end."""
    with a_world(tmp_path, "order", "progress", brew_s=40.0) as world:
        sell_for_coins(world)
        world.switch("drop_verdict")
        world.order()
        assert world.outcome().result is Result.DONE


def test_a_drink_has_its_time_where_the_machine_names_no_boots(tmp_path: Path) -> None:
    """Regression: never the same boot, each drink was unknown in mid-brew, and done only when asked about later."""
    profile = replace(load("companion-ack-only"), keys={"bootId": "run"}, unsaid={"bootId": "never named"})
    with a_world(tmp_path, *COUNTING_ONLY, profile=profile, brew_s=40.0) as world:
        for number in range(3):
            world.order(f"c{number}", f"o{number}")
            assert world.outcome(f"c{number}").evidence.rule == "counted"
            world.run(5)
        world.switch("not_counted")
        world.order("c3", "o3")
        assert (world.outcome("c3").result, world.outcome("c3").code) == (Result.UNKNOWN, "")


def test_a_counter_is_believed_again_once_a_person_has_looked_but_not_for_what_was_before(tmp_path: Path) -> None:
    with a_world(tmp_path, *COUNTING_ONLY, profile=load("companion-ack-only")) as world:
        world.switch("fail_before_pour")
        world.order()
        assert (world.outcome().result, world.cups()) == (Result.UNKNOWN, 0)
        world.run(400)
        sell_for_coins(world)
        leave(world.folder, Decision.RESUME_SELLING)
        world.run(2 * world.profile.timers.recheck)
        assert [one.result for one in world.outcomes()] == [Result.UNKNOWN]
        assert "counters" in world.live_state.view.capabilities
        world.order("c2", "o2")
        assert (world.outcome("c2").result, world.outcome("c2").evidence.rule) == (Result.DONE, "counted")
