"""What a bouncing contact, a babbling line and a night's backlog may cost: card, broker, log, processor."""

import itertools
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from random import Random
from sqlite3 import Connection

import pytest
from msgspec.structs import replace

from agent.clock import Bell
from agent.cloud.link import Link
from agent.cloud.state_sender import STATE_BURST, STATE_CALM_S
from agent.journal.command_queries import CommandQueries
from agent.journal.fault_memory import BURST
from agent.live_state import LiveState
from agent.log import KINDS_KNOWN, Moderation
from protocol.frames import Frame
from protocol.machine import EventAck, FaultEvent
from protocol.messages import Fault, State, decode_state
from protocol.reasons import AgentCode, FaultLevel
from protocol.topics import Channel, topic
from tests.agent.cloud.test_asking_the_time import OpenWire
from tests.agent.world import AMERICANO, VirtualClock, World


@contextmanager
def counted_commits(world: World) -> Iterator[list[int]]:
    """How often the disk was waited for."""
    database, commits = world.journal._database, [0]
    original = database.transaction

    @contextmanager
    def counted() -> Iterator[Connection]:
        with original() as connection:
            before = connection.total_changes
            yield connection
            is_change = connection.total_changes != before
        commits[0] += is_change and database._depth == 0

    database.transaction = counted  # type: ignore[method-assign]
    world.journal.transaction = counted
    try:
        yield commits
    finally:
        database.transaction = world.journal.transaction = original  # type: ignore[method-assign]


def test_a_bouncing_contact_does_not_wear_the_card(world: World) -> None:
    world.run(30)
    with counted_commits(world) as commits:
        for number in range(100):
            (world.switch if number % 2 == 0 else world.switch_off)("door_open")
            world.run(0.1)
        world.run(120)
    assert commits[0] <= 15
    assert world.live_state.view.faults == world.journal.sales_block.faults() == {}


def test_what_was_acknowledged_closes_as_much_after_a_crash(world: World) -> None:
    fault = FaultEvent(boot_id=world.machine.boot_id, evt=999, code="vendor:e9", on=True, level=FaultLevel.BLOCK)
    world.events.hear(fault)
    assert world.journal.sales_block.faults()["vendor:e9"].level == FaultLevel.BLOCK
    world.events.hear(replace(fault, evt=1000, on=False))
    assert "vendor:e9" in world.journal.sales_block.faults()
    world.run(120)
    assert "vendor:e9" not in world.journal.sales_block.faults()


def test_a_machine_that_invents_faults_is_written_down_at_its_pace(world: World) -> None:
    acknowledged = world.line.said(EventAck)
    with counted_commits(world) as commits:
        for number in range(200):
            code = f"vendor:x{number}"
            fault = FaultEvent(boot_id=world.machine.boot_id, evt=number, code=code, on=True, level=FaultLevel.BLOCK)
            world.events.hear(fault)
            world.events.hear(replace(fault, on=False))
    assert commits[0] <= BURST
    assert world.line.said(EventAck) - acknowledged <= BURST + 200


def test_a_flood_of_one_complaint_is_a_few_lines(caplog: pytest.LogCaptureFixture) -> None:
    clock = VirtualClock()
    moderation = Moderation(clock.monotonic)
    told = []
    for number in range(7_000):
        record = logging.LogRecord(
            "agent.making.worker", logging.WARNING, "", 1, "dropped a frame: %s", (number,), None
        )
        clock.seconds += 0.0014
        if moderation.filter(record):
            told.append(record.getMessage())
    assert len(told) <= 35
    clock.seconds += 60
    assert moderation.filter(record)
    assert "more like it)" in record.getMessage()
    other = logging.LogRecord("agent.making.worker", logging.ERROR, "", 1, "something else", (), None)
    assert moderation.filter(other)
    for number in range(2 * KINDS_KNOWN):
        moderation.filter(logging.LogRecord("agent", logging.INFO, "", 1, f"{number}", (), None))
    assert len(moderation._often) == KINDS_KNOWN


def test_frames_of_an_unknown_kind_are_dropped_and_the_next_is_heard(world: World) -> None:
    for _ in range(500):
        world.line._news.append(Frame(0xCF, b"{}"))
    world.order()
    assert world.outcome().code == ""


def test_a_nights_backlog_is_refused_in_one_go(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.welcome()
    world.run(700)
    world.switch("silent")
    world.run(40)
    for number in range(200):
        world.tell(world.make(f"c{number}", f"o{number}", age=500))
    read = [0]
    received = CommandQueries.received

    def counted(self: CommandQueries) -> object:
        read[0] += 1
        return received(self)

    monkeypatch.setattr(CommandQueries, "received", counted)
    with counted_commits(world) as commits:
        world.run(30, lambda: world.outcomes("c199"))
    assert {one.code for number in range(200) for one in world.outcomes(f"c{number}")} == {AgentCode.EXPIRED}
    assert read[0] <= 2
    assert commits[0] <= 3


def test_states_are_told_at_their_pace_and_the_last_one_always(world: World) -> None:
    told: list[State] = []

    class Listening(OpenWire):
        def publish(self, where: str, payload: bytes, *, retain: bool = False) -> int | None:
            if where == topic("m", Channel.STATE):
                told.append(decode_state(payload))
            return super().publish(where, payload, retain=retain)

    live_state = LiveState(Bell())
    link = Link(
        device_uuid="m", profile="x", dial=lambda *_: Listening(), journal=world.journal,
        command_handler=world.command_handler, live_state=live_state, clock=world.clock, cloud=world.cloud,
        random=Random(1), new_id=lambda: "h", worker_bell=Bell(),
    )  # fmt: skip
    link.step(world.clock.seconds)
    for number in range(100):
        world.clock.seconds += 0.1
        if number % 2 == 0:
            live_state.set_fault(Fault(code="door_open", level="block"))
        else:
            live_state.clear_fault("door_open")
        wake = link.step(world.clock.seconds)
        assert wake > world.clock.seconds
    assert len(told) <= STATE_BURST + 10 / STATE_CALM_S + 1
    live_state.set_fault(Fault(code="door_open", level="block", drinks=[AMERICANO]))
    for _ in range(5):
        world.clock.seconds = max(world.clock.seconds + 0.2, link.step(world.clock.seconds))
    assert told[-1].faults[0].drinks == [AMERICANO]


def test_a_drink_costs_five_waits_for_the_disk(world: World) -> None:
    """Received, sent, accepted, brewing, done: each before what must not happen without it (docs/decisions.md)."""
    world.welcome()
    world.run(30)
    modes: list[str] = []
    database = world.journal._database

    def note(statement: str) -> None:
        if statement.startswith(("PRAGMA synchronous", "COMMIT")):
            modes.append(statement)

    database._connection.set_trace_callback(note)
    world.order()
    assert world.outcome().code == ""
    world.confirm_all()
    database._connection.set_trace_callback(None)
    relaxed = "PRAGMA synchronous = NORMAL"
    waits = [before != relaxed for before, said in itertools.pairwise(["", *modes]) if said == "COMMIT"]
    assert sum(waits) == 5
    assert len(waits) > 5, "the receipts"
    assert modes[-1] == "PRAGMA synchronous = FULL"
