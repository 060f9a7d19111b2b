"""What reaches the cup and what is said about it: the worker against the simulated machine, fault by fault."""

from collections.abc import Callable
from pathlib import Path

import pytest

from agent.journal.records import CommandState, Verdict
from agent.machine.conversation import Closed
from agent.making.inquiry import REMEMBERED_ORDERS
from protocol.frames import Frame
from protocol.machine import DoneEvent, FailedEvent, Hello, MakeDrink, OrderQuery
from protocol.reasons import Result, Spout
from tests.agent.world import AMERICANO, World, assert_truthful


def test_a_drink_is_accepted_poured_and_told(world: World) -> None:
    world.order()
    outcome = world.outcome()
    assert (outcome.result, outcome.out, outcome.revision) == (Result.DONE, Spout.FULL, 1)
    assert [report.order_id for report in world.accepted()] == ["o1"]
    assert [line.split()[0] for line in outcome.evidence.journal] == [
        "received",
        "intent",
        "sent",
        "accepted",
        "brewing",
        "done",
    ]
    assert world.line.makes() == 1
    assert_truthful(world, outcome)


def test_the_make_frame_carries_exactly_the_order(world: World) -> None:
    world.order()
    world.outcome()
    frame = next(frame for frame in world.line.written if frame.command == MakeDrink.command)
    assert frame.body == b'{"orderUuid":"o1","drinkNo":"americano","textFlag":"1","price":17900}'


STRIKES = (
    *("drop_verdict", "drop_done", "drop_reply", "duplicate_events", "delay_frame", "reorder_progress"),
    *("corrupt_crc", "corrupt_length", "corrupt_tail", "garbage", "split_bytes", "unknown_command", "unknown_keys"),
    *("stale_boot_id", "done_for_other_order", "fault_mid_brew", "unplug_mid_brew"),
)


@pytest.mark.parametrize("fault", STRIKES)
@pytest.mark.parametrize("options", [{"when": "once"}, {"when": "every", "n": 2}], ids=["once", "often"])
def test_a_bad_line_costs_no_drink(world: World, fault: str, options: dict[str, object]) -> None:
    world.switch(fault, **options)
    world.order()
    outcome = world.outcome()
    assert outcome.result is Result.DONE
    assert world.line.makes() == 1
    assert_truthful(world, outcome)


@pytest.mark.parametrize(
    "missing", ["ack", "progress", "finish", "counters", "dedup", "nv", "heartbeat", "cancel", "faults"]
)
def test_a_plainer_machine_still_pours(tmp_path: Path, missing: str) -> None:
    plain = World(tmp_path, hot=False)
    plain.switch(f"without_{missing}")
    plain.run(5)
    plain.order()
    outcome = plain.outcome()
    assert outcome.result is Result.DONE
    assert plain.line.makes() == 1
    assert_truthful(plain, outcome)
    plain.close()


def test_a_machine_that_cannot_be_asked_is_believed_by_its_counter(tmp_path: Path) -> None:
    plain = World(tmp_path, hot=False)
    for missing in ("order", "finish"):
        plain.switch(f"without_{missing}")
    plain.run(5)
    plain.order()
    outcome = plain.outcome()
    assert (outcome.result, outcome.evidence.rule) == (Result.DONE, "counted")
    plain.close()


def test_a_flood_of_heartbeats_disturbs_nothing(world: World) -> None:
    world.switch("flood_heartbeats")
    world.order()
    assert world.outcome(within=20).result is Result.DONE


@pytest.mark.parametrize(
    "fault",
    [
        "reboot_before_accept",
        "reboot_after_accept",
        "mid_pour_crash",
        "reboot_after_dispense",
        "reboot_after_outcome",
        "reboot_before_done",
        "reboot_after_done",
    ],
)
@pytest.mark.parametrize("memory", ["nv", "ram"])
@pytest.mark.parametrize("agent_dies_too", [False, True])
def test_a_power_cut_of_the_machine_ends_in_the_truth(
    world: World, fault: str, memory: str, agent_dies_too: bool
) -> None:
    if memory == "ram":
        world.switch("without_nv")
    world.switch(fault)
    world.order()
    if agent_dies_too:
        world.run(60, lambda: not world.machine.is_powered)
        world.restart()
        world.welcome()
    outcome = world.outcome()
    assert_truthful(world, outcome)
    world.run(world.aftermath())
    assert_truthful(world, world.outcomes()[-1])


@pytest.mark.parametrize("fault", ["reject_no_beans", "reject_busy", "reject_fault"])
def test_a_refusal_of_the_machine_is_certain(world: World, fault: str) -> None:
    world.switch(fault)
    world.order()
    outcome = world.outcome()
    assert (outcome.result, outcome.code, outcome.out) == (Result.REJECTED, fault.removeprefix("reject_"), Spout.NONE)
    assert_truthful(world, outcome)


def test_a_lost_refusal_is_never_turned_into_a_drink(world: World) -> None:
    world.switch("reject_no_beans")
    world.switch("drop_verdict")
    world.order()
    assert_truthful(world, world.outcome())


@pytest.mark.parametrize(("fault", "out"), [("fail_before_pour", Spout.NONE), ("fail_mid_brew", Spout.PARTIAL)])
@pytest.mark.parametrize("lost", [False, True])
def test_a_failure_says_what_came_out(world: World, fault: str, out: Spout, lost: bool) -> None:
    world.switch(fault)
    if lost:
        world.switch("drop_done")
    world.order()
    outcome = world.outcome()
    assert (outcome.result, outcome.out) == (Result.FAILED, out)
    assert_truthful(world, outcome)


def test_a_fault_seen_before_refuses_the_drink_without_asking_the_machine_to_make_it(world: World) -> None:
    world.switch("no_water")
    world.run(2)
    world.order()
    outcome = world.outcome()
    assert (outcome.result, outcome.code) == (Result.REJECTED, "no_water")
    assert world.line.makes() == 0


def test_a_fault_that_went_unheard_is_noticed_before_refusing(world: World) -> None:
    """The live state says the machine is rinsing; a fresh status says that it is ready."""
    world.live_state.update(machine="rinsing")
    world.order()
    assert world.outcome().result is Result.DONE


def deaf_for_one_make(world: World) -> None:
    """The machine hears no make until it is asked anything."""

    def before_write(frame: Frame) -> None:
        if frame.command == MakeDrink.command and world.line.makes() == 0:
            world.switch("silent")
        elif frame.command in (OrderQuery.command, Hello.command):
            world.switch_off("silent")

    world.line.on_write = before_write


def test_a_machine_that_never_got_the_make_is_asked_and_then_given_it_once_more(world: World) -> None:
    deaf_for_one_make(world)
    world.order()
    outcome = world.outcome()
    assert outcome.result is Result.DONE
    assert world.line.makes() == 2
    assert_truthful(world, outcome)


def test_a_make_taken_back_meanwhile_is_not_sent_again(world: World) -> None:
    """Nobody waits for it any more, and the machine says that it never saw the first."""
    deaf_for_one_make(world)
    world.order()
    assert world.run(2, lambda: world.line.makes() == 1)
    world.cancel()
    outcome = world.outcome()
    assert (outcome.result, outcome.code, outcome.out) == (Result.FAILED, "never_started", Spout.NONE)
    assert world.line.makes() == 1
    assert_truthful(world, outcome)


def test_a_make_is_not_sent_again_after_its_deadline(world: World) -> None:
    deaf_for_one_make(world)
    world.order(within=2.0)
    outcome = world.outcome()
    assert (outcome.result, outcome.code, outcome.out) == (Result.FAILED, "never_started", Spout.NONE)
    assert world.line.makes() == 1
    assert_truthful(world, outcome)


def commit_slowly(world: World, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """What the journal writes under this name takes ten seconds."""
    write: Callable[[str], bool] = getattr(world.journal, name)

    def slowly(command_id: str) -> bool:
        world.clock.seconds += 10
        return write(command_id)

    monkeypatch.setattr(world.journal, name, slowly)


def test_no_byte_is_written_when_the_deadline_passed_during_the_commit(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit_slowly(world, monkeypatch, "mark_sent")
    world.order(within=5.0)
    outcome = world.outcome()
    assert (outcome.result, outcome.code) == (Result.REJECTED, "expired")
    assert world.line.makes() == 0


def test_nothing_is_sent_again_when_the_deadline_passed_during_the_commit(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    deaf_for_one_make(world)
    commit_slowly(world, monkeypatch, "mark_resent")
    world.order(within=12.0)
    outcome = world.outcome()
    assert (outcome.result, outcome.code, outcome.out) == (Result.FAILED, "never_started", Spout.NONE)
    assert world.line.makes() == 1


def test_a_machine_silent_for_ever_ends_unknown_and_the_truth_comes_later(world: World) -> None:
    world.order()
    world.run(2, lambda: world.live_state.view.busy_order)
    world.run(1)
    world.switch("mute")
    outcome = world.outcome(within=250)
    assert outcome.result is Result.UNKNOWN
    assert list((world.folder / "frames").glob("*.txt"))
    world.switch_off("mute")
    assert world.run(400, lambda: world.outcome().result is Result.DONE)
    (late,) = world.outcomes()
    assert (late.result, late.revision) == (Result.DONE, 2)
    assert_truthful(world, late)


@pytest.mark.parametrize(
    ("says_progress", "rule", "within"),
    [(True, "no answer in time", 245), (False, "brewing for longer than any drink", 235)],
)
def test_a_drink_that_brews_for_ever_ends_unknown(
    tmp_path: Path, says_progress: bool, rule: str, within: float
) -> None:
    endless = World(tmp_path, brew_s=300.0)
    if not says_progress:
        endless.switch("without_progress")
        endless.restart()
        endless.run(2)
    endless.order()
    outcome = endless.outcome(within=within)
    assert (outcome.result, outcome.evidence.rule) == (Result.UNKNOWN, rule)
    endless.close()


def test_the_cable_out_for_a_while_in_mid_pour_still_ends_done(world: World) -> None:
    world.order()
    world.run(2)
    world.switch("unplugged", seconds=90)
    outcome = world.outcome()
    assert outcome.result is Result.DONE
    assert_truthful(world, outcome)


def test_two_unknown_in_a_row_stop_the_selling_until_a_person_decides(world: World) -> None:
    for number in (1, 2):
        world.switch("mid_pour_crash")
        world.order(f"c{number}", f"o{number}")
        assert world.outcome(f"c{number}").result is Result.UNKNOWN
        world.run(10)
    assert "needs a person" in world.live_state.view.stopped
    world.order("c3", "o3")
    assert world.outcome("c3").code == "not_selling"
    (world.folder / "decisions").mkdir()
    (world.folder / "decisions" / "resume-selling").touch()
    world.run(2)
    assert world.live_state.view.stopped == ""
    world.order("c4", "o4")
    assert world.outcome("c4").result is Result.DONE


def test_two_drinks_counted_for_one_order_stop_the_selling(world: World) -> None:
    world.switch("count_twice")
    world.order()
    assert world.outcome().result is Result.DONE
    world.run(2)
    assert "counter moved by 2" in world.live_state.view.stopped


def test_done_for_an_order_we_never_sent_is_acknowledged_and_changes_nothing(world: World) -> None:
    world.switch("done_for_other_order")
    world.order()
    assert world.outcome().result is Result.DONE
    world.run(5)
    assert world.machine.unheard_events == 0
    assert world.journal.of_order("order-of-nobody") == []


def test_a_late_truth_about_an_orders_first_command_stops_the_second_before_its_first_byte(world: World) -> None:
    """It came while certainly nothing was poured, and waits for the cloud's clock; then the machine says otherwise."""
    world.journal.insert_command(world.make(), CommandState.SENT)
    world.journal.finish("c1", Verdict(Result.FAILED, "never_started", Spout.NONE))
    world.live_state.set_expiry("c2", world.clock.monotonic() + 60)
    world.tell(world.make("c2"))
    world.run(0.5)
    world.machine._voice.announce(world.clock.seconds, DoneEvent, order_uuid="o1", total=1)
    assert [(one.result, one.code) for one in (world.outcome("c2"),)] == [(Result.REJECTED, "conflict")]
    assert [(one.result, one.revision) for one in world.outcomes()] == [(Result.DONE, 2)]
    assert world.line.makes() == 0


def test_a_line_lost_while_waiting_raises_into_no_other_order(world: World) -> None:
    world.order()
    world.run(2)
    world.line._news.append(Closed("noise"))
    outcome = world.outcome()
    assert_truthful(world, outcome)


def test_a_machine_that_comes_back_soon_still_pours_a_waiting_command(world: World) -> None:
    world.switch("unplugged", seconds=2)
    world.run(0.5)
    world.order()
    assert world.outcome().result is Result.DONE
    assert world.journal.get("c1") is not None


def test_the_board_shows_the_order_being_made(world: World) -> None:
    world.order()
    world.run(3)
    view = world.live_state.view
    assert (view.busy_order, view.link) == ("o1", "up")
    assert [progress.order_id for progress in world.live_state.take_progress()][:1] == ["o1"]
    world.outcome()
    world.run(1)
    assert world.live_state.view.busy_order is None
    assert world.live_state.view.counters is not None
    assert world.live_state.view.counters.total == 1
    assert world.machine.memory.counters.by_drink == {AMERICANO: 1}


def test_an_old_failure_told_again_is_not_taken_for_the_next_attempt(world: World) -> None:
    failed = FailedEvent(boot_id=world.machine.boot_id, evt=77, order_uuid="o1", code="brewer", out=Spout.NONE)
    world.journal.insert_command(world.make("c1", "o1"), CommandState.SENT)
    world.events.hear(failed)
    world.journal.insert_command(world.make("c2", "o1"), CommandState.SENT)
    world.events.hear(failed)
    assert [outcome.result for outcome in world.outcomes("c1")] == [Result.FAILED]
    assert world.outcomes("c2") == []


def test_a_counter_moved_by_later_orders_proves_nothing_about_an_earlier_one(world: World) -> None:
    world.switch("without_nv")
    world.switch("reboot_after_accept")
    world.order("c1", "o1")
    assert world.outcome("c1").result is Result.UNKNOWN
    world.run(5)
    world.order("c2", "o2")
    assert world.outcome("c2").result is Result.DONE
    world.restart()
    world.run(400)
    assert [outcome.result for outcome in world.outcomes("c1")] == [Result.UNKNOWN]
    assert world.touched("o1") == 0


def test_an_order_too_far_back_may_have_been_forgotten_by_any_machine(world: World) -> None:
    world.journal.insert_command(world.make("c0", "o0"), CommandState.SENT)
    assert world.journal.finish("c0", Verdict(Result.UNKNOWN))
    for number in range(1, REMEMBERED_ORDERS + 1):
        world.journal.insert_command(world.make(f"c{number}", f"o{number}"), CommandState.SENT)
        world.journal.finish(f"c{number}", Verdict(Result.DONE, "", Spout.FULL))
    world.restart()
    world.run(10)
    assert [outcome.result for outcome in world.outcomes("c0")] == [Result.UNKNOWN]
