"""What the cloud says, and what of it reaches the journal; why a drink could not be made."""

import msgspec
import pytest

from agent import refusal
from agent.journal.records import CommandState
from agent.live_state import LiveView
from protocol.messages import Fault
from protocol.reasons import MachineState, Result
from tests.agent.world import AMERICANO, World

READY = LiveView(link="up", machine=MachineState.READY, stopped="")


def with_fault(level: str, drinks: list[str]) -> LiveView:
    return LiveView(
        link="up",
        machine=MachineState.READY,
        stopped="",
        faults={"no_milk": Fault(code="no_milk", level=level, drinks=drinks)},
    )


@pytest.mark.parametrize(
    ("view", "code"),
    [
        (READY, ""),
        (LiveView(), "not_selling"),
        (LiveView(link="down", stopped=""), "machine_offline"),
        (LiveView(link="quiet", machine=MachineState.READY, stopped=""), "machine_offline"),
        (LiveView(link="up", machine=MachineState.HEATING, stopped=""), "heating"),
        (LiveView(link="up", machine=MachineState.RINSING, stopped=""), "busy"),
        (LiveView(link="up", machine=MachineState.SERVICE, stopped=""), "service"),
        (LiveView(link="up", machine=MachineState.FAULT, stopped=""), "fault"),
        (LiveView(link="up", machine=MachineState.READY, stopped="", busy_order="o9"), "busy"),
        (with_fault("block", []), "no_milk"),
        (with_fault("block", [AMERICANO]), "no_milk"),
        (with_fault("block", ["cappuccino"]), ""),
        (with_fault("warn", []), ""),
    ],
)
def test_the_gate_names_the_reason(view: LiveView, code: str) -> None:
    assert refusal.refusal_code(view, AMERICANO) == code


def test_the_same_command_with_another_body_changes_nothing_and_is_not_called_refused(world: World) -> None:
    world.welcome()
    make = world.make()
    world.tell(make)
    world.run(3)
    world.tell(msgspec.structs.replace(make, drink_no="cappuccino"))
    outcome = world.outcome()
    world.run(5)
    assert [one.result for one in world.outcomes()] == [Result.DONE]
    assert outcome.code == ""
    assert world.machine.memory.counters.by_drink == {AMERICANO: 1}


def test_another_command_of_an_order_under_way_is_a_conflict(world: World) -> None:
    world.order("c1", "o1")
    world.order("c2", "o1")
    assert world.outcome("c2").code == "conflict"
    assert world.outcome("c1").result is Result.DONE
    assert world.cups() == 1


def test_commands_are_taken_in_the_order_in_which_they_came(world: World) -> None:
    world.order("c1", "o1")
    world.order("c2", "o2")
    assert [command.command_id for command in world.journal.received()] == ["c1", "c2"]
    assert world.outcome("c1").result is Result.DONE
    assert world.outcome("c2").code == "busy"


def test_a_taken_command_is_in_the_journal_when_take_returns(world: World) -> None:
    world.tell(world.make())
    command = world.journal.get("c1")
    assert command is not None
    assert command.state is CommandState.RECEIVED
