"""A machine that says one thing and then another: it is never sent a make again, and nothing is told as certain.

Whatever it once said of having an order is kept with the order for ever (`agent.journal.records.Word`).
"""

import json
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest
from msgspec.structs import replace

from agent.journal.records import CommandState, Verdict, Word
from agent.journal.sqlite_file import FILE, SCHEMA, SCHEMA_VERSION
from agent.making.order_events import DENIED
from protocol.frames import Frame
from protocol.machine import (
    Booted,
    CountersReply,
    DoneEvent,
    MakeReply,
    OrderQuery,
    OrderReply,
    ProgressEvent,
    StatusReply,
    from_frame,
    to_frame,
)
from protocol.reasons import MachineState, Phase, Result, Spout, Stage
from tests.agent.world import World, assert_truthful

UNKNOWN = Result.UNKNOWN


def forget_orders(world: World) -> None:
    """The machine's memory has a hole: it pours on, and knows nothing of it."""
    world.machine.memory.forget_orders()


def unplug(world: World) -> None:
    world.switch("unplugged", seconds=1)


def fall_silent(world: World) -> None:
    world.switch("silent", seconds=16)


def restart_agent(world: World) -> None:
    world.restart()
    world.welcome()


def assert_in_doubt(world: World) -> None:
    """It waits for as long as a drink may take, then nobody can say; once sent, whatever comes."""
    assert not world.run(120, lambda: world.outcomes())
    outcome = world.outcome()
    assert (outcome.result, outcome.out) == (UNKNOWN, Spout.UNKNOWN)
    world.run(world.aftermath())
    assert [one.result for one in world.outcomes()] == [UNKNOWN]
    assert world.line.makes() == 1
    assert_truthful(world, outcome)


@pytest.mark.parametrize("dedup", [True, False], ids=["dedup", "no dedup"])
@pytest.mark.parametrize("then", [unplug, fall_silent, restart_agent])
@pytest.mark.parametrize("said", ["accepted", "brewing"])
def test_after_a_yes_of_the_machine_its_denial_brings_no_second_cup(
    tmp_path: Path, said: str, then: Callable[[World], None], dedup: bool
) -> None:
    world = World(tmp_path, hot=False)
    if not dedup:
        world.switch("without_dedup")
    world.switch("without_progress")
    world.run(5)
    world.order(within=100)
    assert world.run(5, lambda: world.accepted())
    if said == "brewing":
        world.journal.mark_brewing("c1")
    forget_orders(world)
    then(world)
    assert_in_doubt(world)
    world.close()


def test_a_repeated_verdict_is_a_yes_too(world: World) -> None:
    world.switch("without_progress")
    world.switch("drop_verdict")
    repeated = MakeReply(order_uuid="o1", ok=True, dup=True, boot_id=world.machine.boot_id)

    def say_it(frame: Frame) -> None:
        if frame.command == OrderQuery.command:
            world.line.on_write = lambda _: None
            world.line._news.append(to_frame(repeated))
            forget_orders(world)

    world.line.on_write = say_it
    world.order(within=100)
    assert_in_doubt(world)


@pytest.mark.parametrize(
    "word",
    [
        StatusReply(msg_id=1, boot_id="b0", state=MachineState.BREWING, order_uuid="o1", faults=[]),
        ProgressEvent(boot_id="b0", evt=90, order_uuid="o1", stage=Stage.CUP, pct=0),
        MakeReply(order_uuid="o1", ok=True, boot_id="b0"),
        Booted(boot_id="b0", evt=91, why="power", last_order="o1", last_phase=Phase.BREWING),
    ],
    ids=["status", "progress", "verdict", "boot"],
)
def test_any_word_that_it_has_the_order_takes_certainly_nothing_back(world: World, word: object) -> None:
    """It denied it and the money is on its way back; then it says that it has it: that order is never sent again."""
    world.switch("reboot_before_accept")
    world.order()
    world.run(3)
    world.restart(after=60)
    first = world.outcome()
    assert (first.result, first.code) == (Result.FAILED, "never_started")
    world.events.hear(word)  # type: ignore[arg-type]
    (last,) = world.outcomes()
    assert (last.result, last.revision, last.evidence.rule) == (UNKNOWN, 2, DENIED)
    world.order("c2", "o1")
    assert world.outcome("c2").code == "conflict"
    world.run(400)
    assert [one.result for one in world.outcomes()] == [UNKNOWN]
    assert world.line.makes() == 1


@pytest.mark.parametrize(
    "late", [Verdict(Result.UNKNOWN), Verdict(Result.FAILED, "flow", Spout.PARTIAL)], ids=["unknown", "partial"]
)
def test_any_doubt_of_an_orders_first_command_stops_the_second_before_its_first_byte(
    world: World, late: Verdict
) -> None:
    """Not only that it poured after all: what may have poured is no reason to pour again."""
    world.journal.insert_command(world.make(), CommandState.SENT)
    world.journal.finish("c1", Verdict(Result.FAILED, "never_started", Spout.NONE))
    world.live_state.set_expiry("c2", world.clock.monotonic() + 60)
    world.tell(world.make("c2"))
    world.run(0.5)
    assert not world.outcomes("c2")
    world.journal.raise_word("c1", Word.TAKEN)
    assert world.journal.finish("c1", late)
    outcome = world.outcome("c2")
    assert (outcome.result, outcome.code) == (Result.REJECTED, "conflict")
    assert world.line.makes() == 0


def test_the_machines_own_end_of_a_drink_is_not_doubted_for_what_came_late(world: World) -> None:
    world.switch("fail_before_pour")
    world.order()
    assert world.outcome().out is Spout.NONE
    world.events.hear(ProgressEvent(boot_id=world.machine.boot_id, evt=1, order_uuid="o1", stage=Stage.GRIND, pct=5))
    assert [one.result for one in world.outcomes()] == [Result.FAILED]


@pytest.mark.parametrize("word", ["status", "done"])
def test_a_command_the_machine_has_already_is_not_sent(world: World, word: str) -> None:
    """Its journal was lost: to this run the order is new, and the machine pours it, or has just poured it."""
    boot_id = world.machine.boot_id
    world.tell(world.make())
    if word == "status":
        state = MachineState.BREWING
        world.events.hear(StatusReply(msg_id=1, boot_id=boot_id, state=state, order_uuid="o1", faults=[]))
    else:
        world.events.hear(DoneEvent(boot_id=boot_id, evt=9, order_uuid="o1", total=7))
    world.welcome()
    assert world.outcome().result is (UNKNOWN if word == "status" else Result.DONE)
    assert world.line.makes() == 0


def test_what_it_says_to_have_while_it_is_prepared_is_not_refused(world: World) -> None:
    """It tells its counters to nobody, and as our patience with that ends, that it pours the order."""
    world.line.lose_replies(CountersReply, 1000)
    world.order()
    world.run(world.profile.timers.gate_patience - 0.1)
    state = MachineState.BREWING
    world.events.hear(StatusReply(msg_id=1, boot_id=world.machine.boot_id, state=state, order_uuid="o1", faults=[]))
    assert world.outcome().result is UNKNOWN
    assert world.line.makes() == 0


def test_an_answer_of_another_boot_than_the_one_greeted_is_not_believed(world: World) -> None:
    """Garbled, or from before a reboot: it says that the drink is done, and the one greeted is still pouring it."""
    foreign = 0

    def say_done_once(frame: Frame) -> Frame:
        nonlocal foreign
        if frame.command != OrderReply.command or foreign:
            return frame
        foreign += 1
        said = from_frame(frame)
        assert isinstance(said, OrderReply)
        return to_frame(replace(said, phase=Phase.DONE, out=Spout.FULL, boot_id="b9"))

    world.line.in_other_words = say_done_once
    world.switch("drop_verdict")
    world.switch("without_progress")
    world.order()
    assert_truthful(world, world.outcome())
    assert (world.outcomes()[-1].result, foreign) == (Result.DONE, 1)


def test_a_wiped_memory_denies_nothing(world: World) -> None:
    """Counters at zero, a new boot, an order it has never seen: it has seen nothing at all."""
    for number in (1, 2):
        world.order(f"c{number}", f"o{number}")
        world.outcome(f"c{number}")
        world.run(2)
    world.switch("reboot_before_accept")
    world.switch("lose_counters")
    world.order("c3", "o3")
    world.run(1, lambda: world.line.makes() == 3)
    forget_orders(world)
    outcome = world.outcome("c3")
    assert (outcome.result, outcome.evidence.rule) == (UNKNOWN, "its memory was wiped")
    assert outcome.evidence.count_now == 0
    assert world.line.makes() == 3


def test_busy_is_no_refusal_of_what_was_sent_twice(world: World) -> None:
    """It lost the verdict, denied the order, and cannot take the second make because it pours the first."""
    world.switch("drop_verdict")
    world.switch("without_progress")
    world.switch("slow")
    world.order()
    assert world.run(5, lambda: world.journal.get("c1").was_sent)  # type: ignore[union-attr]
    forget_orders(world)
    outcome = world.outcome()
    assert outcome.result is not Result.REJECTED
    assert world.line.makes() == 2
    assert world.touched() == 1


def test_cancelled_is_not_believed_of_a_drink_that_had_begun(world: World) -> None:
    world.order()
    assert world.run(10, lambda: world.journal.get("c1").state is CommandState.BREWING)  # type: ignore[union-attr]
    record = world.machine.memory.order("o1")
    assert record is not None
    record.phase = Phase.ACCEPTED  # what it has forgotten, it takes back
    world.cancel()
    outcome = world.outcome()
    assert outcome.result is not Result.REJECTED
    assert_truthful(world, outcome)


def test_the_word_is_kept_through_restarts_and_in_journals_of_older_agents(world: World, tmp_path: Path) -> None:
    world.order()
    world.outcome()
    kept = world.journal.get("c1")
    assert kept is not None
    assert kept.word is Word.MOVING
    world.restart()
    assert world.journal.get("c1") == kept

    old = tmp_path / "old"
    old.mkdir()
    with sqlite3.connect(old / FILE) as connection:
        connection.executescript(SCHEMA)
        connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
        columns = {"command_id": "c9", "order_id": "o9", "drink_no": "a", "size": 0, "price": 0, "state": "brewing"}
        columns |= {"session": "s", "received_at": kept.received_at.isoformat(), "received_mono": 0.0, "place": 1}
        columns["snapshot"] = json.dumps({"boot_id": "b", "counted": True, "total": 3})
        names, marks = ", ".join(columns), ", ".join("?" * len(columns))
        connection.execute(f"INSERT INTO command ({names}) VALUES ({marks})", tuple(columns.values()))
    connection.close()
    upgraded = World(old, hot=False)
    command = upgraded.journal.get("c9")
    assert command is not None
    assert command.word is Word.TAKEN
    upgraded.close()
