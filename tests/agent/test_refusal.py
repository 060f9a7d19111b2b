"""One drink at a time, and only one the machine can make: its state, and its faults drink by drink."""

from dataclasses import replace

import msgspec
import pytest

from agent import refusal
from agent.live_state import LiveView
from agent.machine.profile import Faults, Profile
from protocol.frames import Frame
from protocol.machine import StatusReply
from protocol.messages import Fault
from protocol.reasons import MachineState, Result
from protocol.refusing_states import REFUSAL_OF_STATE
from tests.agent.world import World

READY = LiveView(link="up", machine=MachineState.READY, stopped="")


@pytest.mark.parametrize(
    ("state", "code"),
    [
        (MachineState.BOOT, "heating"),
        (MachineState.HEATING, "heating"),
        (MachineState.READY, ""),
        (MachineState.BREWING, "busy"),
        (MachineState.RINSING, "busy"),
        (MachineState.CLEANING, "busy"),
        (MachineState.SERVICE, "service"),
        (MachineState.FAULT, "fault"),
        (MachineState.OFF, "machine_offline"),
    ],
)
def test_every_state_of_the_machine_has_its_answer(state: MachineState, code: str) -> None:
    assert refusal.refusal_code(replace(READY, machine=state), "latte") == code


def test_the_table_of_states_is_whole() -> None:
    assert set(REFUSAL_OF_STATE) | {MachineState.READY} == set(MachineState)


@pytest.mark.parametrize("link", ["down", "quiet"])
def test_a_machine_that_is_not_heard_makes_nothing(link: str) -> None:
    assert refusal.refusal_code(replace(READY, link=link), "latte") == "machine_offline"


def test_a_machine_that_has_not_said_its_state_makes_nothing() -> None:
    assert refusal.refusal_code(replace(READY, machine=None), "latte") == "machine_offline"


def test_a_machine_that_never_speaks_is_asked_nothing() -> None:
    assert refusal.refusal_code(LiveView(link="open", machine=None, stopped=""), "latte") == ""
    assert refusal.refusal_code(LiveView(link="open", machine=None, stopped="", busy_order="o"), "latte") == "busy"


@pytest.mark.parametrize(
    ("fault", "latte", "espresso"),
    [
        (Fault(code="no_milk", level="block", drinks=["latte"]), "no_milk", ""),
        (Fault(code="no_water", level="block"), "no_water", "no_water"),
        (Fault(code="descale", level="warn"), "", ""),
        (Fault(code="descale", level="warn", drinks=["latte"]), "", ""),
        (Fault(code="vendor:e17", level="block", drinks=["espresso"]), "", "vendor:e17"),
    ],
)
def test_a_fault_closes_the_drinks_it_names_and_no_other(fault: Fault, latte: str, espresso: str) -> None:
    view = replace(READY, faults={fault.code: fault})
    assert (refusal.refusal_code(view, "latte"), refusal.refusal_code(view, "espresso")) == (latte, espresso)


@pytest.mark.parametrize("state", [MachineState.FAULT, MachineState.HEATING, MachineState.SERVICE])
def test_a_fault_that_closes_the_drink_says_more_than_the_state(state: MachineState) -> None:
    view = replace(READY, machine=state, faults={"no_water": Fault(code="no_water", level="block")})
    assert refusal.refusal_code(view, "latte") == "no_water"


def order(world: World, command_id: str, drink_no: str) -> None:
    world.welcome()
    world.tell(msgspec.structs.replace(world.make(command_id, f"o-{command_id}"), drink_no=drink_no))


def test_without_milk_a_latte_is_refused_and_an_espresso_is_made(world: World) -> None:
    world.switch("no_milk")
    world.run(2)
    order(world, "c1", "latte")
    assert (world.outcome("c1").result, world.outcome("c1").code) == (Result.REJECTED, "no_milk")
    assert world.line.makes() == 0
    order(world, "c2", "espresso")
    assert world.outcome("c2").result is Result.DONE


def test_when_the_milk_is_back_so_is_the_latte(world: World) -> None:
    world.switch("no_milk")
    world.run(2)
    world.switch_off("no_milk")
    order(world, "c1", "latte")
    assert world.outcome("c1").result is Result.DONE


def test_a_fault_the_machine_only_names_closes_what_the_profile_says(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    faults = Faults(block=frozenset(["no_water"]), closes={"no_milk": ["latte"]})
    monkeypatch.setattr(world.events._faults, "_profile", Profile(name="x", faults=faults))
    named = StatusReply(msg_id=1, boot_id="b0", state=MachineState.READY, order_uuid=None, faults=["no_milk", "other"])
    world.events.hear(named)
    assert refusal.refusal_code(world.live_state.view, "latte") == "no_milk"
    assert refusal.refusal_code(world.live_state.view, "espresso") == ""


@pytest.mark.parametrize("faults", [Faults(block=frozenset(["expired"])), Faults(closes={"expired": ["latte"]})])
def test_a_profile_names_a_fault_as_the_machine_does_though_it_is_a_word_of_the_agents(
    world: World, monkeypatch: pytest.MonkeyPatch, faults: Faults
) -> None:
    profile = Profile(name="x", faults=faults)
    monkeypatch.setattr(world.events._faults, "_profile", profile)
    body = b'{"msgId":1,"bootId":"b0","state":"ready","orderUuid":null,"faults":["expired"]}'
    world.events.hear(profile.codec.from_frame(Frame(StatusReply.command, body)))
    assert refusal.refusal_code(world.live_state.view, "latte") == "vendor:expired"
