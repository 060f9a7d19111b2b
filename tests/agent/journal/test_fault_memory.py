"""What outlives a restart besides the commands: faults with the drinks they close; and the journal in plain words."""

import logging
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from msgspec.structs import replace

from agent import log, show
from agent.journal import operator_decisions
from agent.journal.operator_decisions import Decision
from agent.journal.records import CommandState, Verdict, refused
from agent.machine.dialect import COMPANION
from agent.machine.profile import Profile
from protocol.machine import EventAck, FaultEvent, HelloReply
from protocol.messages import Evidence, Fault
from protocol.reasons import AgentCode, FaultLevel, Result, Spout
from tests.agent.world import World
from tests.real_parts import missing


def test_after_a_restart_a_fault_still_closes_its_drinks_and_no_others(world: World) -> None:
    world.switch("no_milk")
    world.run(5)
    before = world.live_state.view.faults
    assert before["no_milk"].drinks
    world.restart()
    world.run(5)
    assert world.live_state.view.faults == before
    world.switch_off("no_milk")
    world.run(5)
    world.restart()
    world.run(5)
    assert world.live_state.view.faults == {}


@pytest.fixture
def by_events(tmp_path: Path) -> Iterator[World]:
    """A machine that tells its faults by events alone: its status names none."""
    made = World(tmp_path / "state", profile=Profile(name="companion-v1", keys={"faults": "alarms"}))
    yield made
    made.close()


def test_a_fault_that_no_status_names_stands_after_a_restart(by_events: World) -> None:
    world = by_events
    world.switch("no_milk")
    world.run(5)
    before = world.live_state.view.faults
    assert list(before) == ["no_milk"]
    world.restart()
    world.run(5)
    assert world.live_state.view.faults == before
    world.switch("descale")
    world.run(5)
    assert list(world.live_state.view.faults) == ["no_milk", "descale"]
    assert [event.code for event in world.told_of("fault_cleared")] == []
    world.switch_off("no_milk")
    world.run(5)
    assert list(world.live_state.view.faults) == ["descale"]


@pytest.mark.parametrize("agent_restarts", [False, True])
def test_what_was_mended_while_the_machine_was_off_stands_no_more(by_events: World, agent_restarts: bool) -> None:
    """The machine says nothing of it when it is back, and nobody else could ever clear it."""
    world = by_events
    world.switch("no_water")
    world.run(5)
    world.machine.cut_power(world.clock.seconds)
    world.switch_off("no_water")
    if agent_restarts:
        world.restart()
    world.run(30)
    assert world.live_state.view.faults == {}
    world.order()
    assert world.outcome().result is Result.DONE


def test_what_stands_through_a_boot_of_the_machine_stands_through_the_next_restart(by_events: World) -> None:
    world = by_events
    world.switch("no_milk")
    world.run(5)
    world.machine.cut_power(world.clock.seconds)
    world.run(120)
    world.restart()
    world.run(5)
    assert list(world.live_state.view.faults) == ["no_milk"]


@pytest.mark.parametrize("on", [False, True])
@pytest.mark.parametrize("code", ["descale", "no_water"])
def test_a_word_of_an_older_boot_takes_nothing_from_this_one(by_events: World, on: bool, code: str) -> None:
    """It was repeated until it came; which boot this is, the machine's status says."""
    world = by_events
    world.switch("no_water")
    world.run(5)
    acknowledged = world.line.said(EventAck)
    world.events.hear(FaultEvent(boot_id="old", evt=5, code=code, on=on, level=FaultLevel.BLOCK))
    assert world.line.said(EventAck) == acknowledged + 1
    world.run(60)
    assert list(world.live_state.view.faults) == ["no_water"]


def test_what_a_new_boot_tells_before_it_is_greeted_stands(by_events: World) -> None:
    world = by_events
    world.switch("no_milk")
    world.run(5)
    world.machine.cut_power(world.clock.seconds)
    world.switch("no_water")
    world.line.lose_replies(HelloReply, 2)
    told = world.run(60, lambda: "no_water" in world.live_state.view.faults)
    assert told
    world.run(10)
    assert set(world.live_state.view.faults) == {"no_milk", "no_water"}
    world.restart()
    world.run(60)
    assert set(world.live_state.view.faults) == {"no_milk", "no_water"}


def test_a_machine_whose_fault_events_name_no_boot_keeps_its_faults(tmp_path: Path) -> None:
    profile = Profile(name="companion-v1", keys={"faults": "alarms"}, unsaid={"bootId": "?"})
    world = World(tmp_path / "state", profile=profile)
    world.events.hear(FaultEvent(boot_id="?", evt=3, code="no_cups", on=True, level=FaultLevel.BLOCK))
    world.run(60)
    assert list(world.live_state.view.faults) == ["no_cups"]
    world.close()


def without_commands(folder: Path, *names: str) -> World:
    commands = {name: byte for name, byte in COMPANION.items() if name.removesuffix("_ack") not in names}
    world = World(folder / "state", profile=Profile(name="no-status", commands=commands), hot=False)
    world.run(60)
    return world


@pytest.mark.parametrize("missing", [["status"], ["status", "hello"]])
@pytest.mark.parametrize("agent_restarts", [False, True])
def test_without_a_status_its_greeting_takes_what_was_mended_while_it_was_off(
    tmp_path: Path, agent_restarts: bool, missing: list[str]
) -> None:
    world = without_commands(tmp_path, *missing)
    world.switch("no_water")
    world.switch("no_milk")
    world.run(5)
    world.restart()
    world.run(30)
    assert set(world.live_state.view.faults) == {"no_water", "no_milk"}
    world.machine.cut_power(world.clock.seconds)
    world.switch_off("no_water")
    if agent_restarts:
        world.restart()
    world.run(120)
    assert list(world.live_state.view.faults) == ["no_milk"]
    world.close()


def test_a_machine_that_never_says_which_boot_it_is_tells_its_faults_anew_to_a_new_agent(tmp_path: Path) -> None:
    world = without_commands(tmp_path, "status", "hello", "boot")
    world.switch("no_water")
    world.run(5)
    world.machine.cut_power(world.clock.seconds)
    world.switch_off("no_water")
    world.restart()
    world.run(30)
    assert world.live_state.view.faults == {}
    world.close()


def test_a_fault_told_again_after_its_end_was_told_does_not_come_back(by_events: World) -> None:
    """The acknowledgement of its beginning was lost, and the machine repeats each event by itself."""
    world = by_events
    began = FaultEvent(boot_id=world.machine.boot_id, evt=900, code="no_water", on=True, level=FaultLevel.BLOCK)
    world.events.hear(began)
    world.events.hear(replace(began, evt=901, on=False))
    acknowledged = world.line.said(EventAck)
    world.events.hear(began)
    assert world.live_state.view.faults == {}
    assert world.line.said(EventAck) == acknowledged + 1
    world.events.hear(replace(began, evt=7))
    assert list(world.live_state.view.faults) == ["no_water"]


def test_a_number_that_comes_again_after_its_repetitions_is_a_new_word(by_events: World) -> None:
    """A machine may count its events in a byte."""
    world = by_events
    began = FaultEvent(boot_id=world.machine.boot_id, evt=5, code="no_cups", on=True, level=FaultLevel.BLOCK)
    ended = replace(began, evt=6, on=False)
    for _ in range(2):
        world.events.hear(began)
        assert list(world.live_state.view.faults) == ["no_cups"]
        world.events.hear(ended)
        assert world.live_state.view.faults == {}
        world.run(3600)


def test_a_word_repeated_for_long_stays_outdated(by_events: World) -> None:
    """No acknowledgement reaches the machine, and only the older of its two words is repeated."""
    world = by_events
    began = FaultEvent(boot_id=world.machine.boot_id, evt=900, code="no_water", on=True, level=FaultLevel.BLOCK)
    world.events.hear(began)
    world.events.hear(replace(began, evt=901, on=False))
    for _ in range(60):
        world.run(30)
        world.events.hear(began)
    assert world.live_state.view.faults == {}


def test_a_new_boot_counts_its_events_from_the_beginning(by_events: World) -> None:
    world = by_events
    began = FaultEvent(boot_id=world.machine.boot_id, evt=900, code="no_water", on=True, level=FaultLevel.BLOCK)
    world.events.hear(began)
    world.events.hear(replace(began, evt=901, on=False))
    world.events.hear(replace(began, boot_id="next"))
    assert list(world.live_state.view.faults) == ["no_water"]


def test_of_a_machine_that_names_no_boot_each_word_on_a_fault_counts(tmp_path: Path) -> None:
    """It may have booted and begun to count anew; a fault too many is safer than one that is not heard."""
    world = World(tmp_path / "state", profile=Profile(name="companion-v1", unsaid={"bootId": "?"}))
    began = FaultEvent(boot_id="?", evt=1, code="no_water", on=True, level=FaultLevel.BLOCK)
    world.events.hear(began)
    world.events.hear(replace(began, evt=2, on=False))
    world.events.hear(began)
    assert list(world.live_state.view.faults) == ["no_water"]
    world.close()


def test_faults_are_written_down_only_when_they_change(world: World) -> None:
    sales_block = world.journal.sales_block
    writes: list[str] = []
    connection = world.journal._database._connection
    connection.set_trace_callback(lambda sql: writes.append(sql) if sql == "COMMIT" else None)
    no_milk = Fault(code="no_milk", level="block", drinks=["latte"])
    sales_block.keep_faults({}, "")
    sales_block.keep_faults({"no_milk": no_milk}, "b0")
    sales_block.keep_faults({"no_milk": no_milk}, "b0")
    assert len(writes) == 1
    assert sales_block.faults() == {"no_milk": no_milk}


def test_faults_of_an_older_agent_are_asked_for_again(world: World) -> None:
    world.journal._database.put("faults", '{"not": "a list"}')
    assert world.journal.sales_block.faults() == {}


def test_a_decision_left_by_root_can_be_taken_away_by_the_agent(tmp_path: Path) -> None:
    if os.geteuid() != 0:
        missing("another user: missing (run as root)")
    os.chown(tmp_path, 65534, 65534)
    left = operator_decisions.leave(tmp_path, Decision.RESUME_SELLING)
    assert left.parent.stat().st_uid == 65534
    assert [decision for decision, _ in operator_decisions.waiting(tmp_path)] == [Decision.RESUME_SELLING]


def received(world: World) -> None:
    world.tell(world.make())


def sent(world: World) -> None:
    world.journal.insert_command(world.make(), CommandState.SENT)


def ended(result: Result, code: str, out: Spout) -> Callable[[World], None]:
    def end(world: World) -> None:
        sent(world)
        world.journal.finish("c1", Verdict(result, code, out, Evidence(rule="the machine said so")))

    return end


def refused_as(code: AgentCode) -> Callable[[World], None]:
    def refuse(world: World) -> None:
        received(world)
        world.journal.finish("c1", refused(code, ""))

    return refuse


def corrected(world: World) -> None:
    sent(world)
    world.journal.finish("c1", Verdict(Result.UNKNOWN))
    world.journal.finish("c1", Verdict(Result.DONE, "", Spout.FULL))


@pytest.mark.parametrize(
    ("become", "words"),
    [
        (received, "waiting its turn; nothing was sent"),
        (sent, "the machine has not answered yet"),
        (ended(Result.DONE, "", Spout.FULL), "poured (the machine said so)"),
        (ended(Result.FAILED, "brewer", Spout.PARTIAL), "a part came out (brewer; the machine said so)"),
        (ended(Result.FAILED, "never_started", Spout.NONE), "the machine proves that it never began"),
        (ended(Result.UNKNOWN, "", Spout.UNKNOWN), "nobody can say whether it was poured"),
        (refused_as(AgentCode.EXPIRED), "certainly nothing was poured (it came, or its turn came, after its deadline)"),
        (refused_as(AgentCode.STORAGE), "there was no room to write it down"),
        (corrected, "poured; corrected, this is word number 2"),
        (refused_as(AgentCode.NEVER_RECEIVED), "it had never come"),
    ],
)
def test_the_journal_explains_each_row(world: World, become: Callable[[World], None], words: str) -> None:
    become(world)
    told = show.commands(world.folder, 10)
    assert "order o1  command c1" in told[0]
    assert words in told[1]
    assert words in "\n".join(show.command(world.folder, "o1"))


def test_every_refusal_of_the_agent_has_words() -> None:
    assert {code for code in AgentCode if code not in show._WHY} == set()


def test_the_list_begins_with_why_nothing_is_sold(world: World) -> None:
    world.journal.sales_block.stop_selling("2 drinks in a row ended unknown; needs a person")
    told = show.commands(world.folder, 10)
    assert told[0].startswith("nothing is sold: 2 drinks in a row ended unknown")
    assert "--resume-selling" in told[0]
    world.journal.sales_block.resume_selling()
    assert show.commands(world.folder, 10) == ["no commands yet"]


@pytest.mark.parametrize(
    ("level", "number"),
    [(logging.ERROR, "<3>"), (logging.WARNING, "<4>"), (logging.INFO, "<6>"), (logging.DEBUG, "<7>")],
)
def test_in_systemds_journal_each_line_has_its_priority(
    level: int, number: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    handlers: list[logging.Handler] = []
    monkeypatch.setattr(logging, "basicConfig", lambda **options: handlers.extend(options["handlers"]))
    log.start({"JOURNAL_STREAM": "8:1", "COFFEE_AGENT_LOG": "json"})
    record = logging.LogRecord("agent.x", level, "", 1, "two\nlines", (), None)
    line = handlers[0].format(record)
    assert line.startswith(f'{number}{{"at": ')
    assert "\n" not in line
