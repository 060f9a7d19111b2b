"""No switch of the machine is dead: each changes what the machine says, remembers or really pours.

The same story is told to a machine with one switch on and to one without; a switch that changes nothing fails here.
"""

import msgspec
import pytest

from protocol.machine import (
    CancelDrink,
    CountersQuery,
    Hello,
    MachineMessage,
    MakeDrink,
    OrderQuery,
    Rinse,
    Status,
    to_frame,
)
from simulator.machine import When, setting_of
from simulator.machine.framing import encode
from simulator.machine.switches import SWITCHES
from tests.simulator.machine.rig import LONG_ENOUGH_S, QUICK, Rig

MAKE = MakeDrink(order_uuid="o1", drink_no="latte", text_flag="1", price=100)
ASK = OrderQuery(msg_id=5, order_uuid="o1")
COCOA = MakeDrink(order_uuid="o2", drink_no="cocoa", text_flag="1", price=100)
RINSE = Rinse(msg_id=7, job_uuid="r1", kind="rinse")
CANCEL = CancelDrink(msg_id=8, order_uuid="o2")
STORY: tuple[MachineMessage | float | str, ...] = (
    *(1.0, Hello(msg_id=1), Status(msg_id=2), CountersQuery(msg_id=3), MAKE, 1.0, MAKE, 20.0, ASK, "power", 5.0, ASK),
    *(CountersQuery(msg_id=6), COCOA, CANCEL, 30.0, RINSE, 10.0, MAKE, 20.0, CountersQuery(msg_id=9), 10.0),
)


def told(name: str = "", when: When | None = None) -> object:
    """Everything written and when, what is remembered, and what is in the cups."""
    rig = Writing()
    if name:
        rig.faults.turn_on(name, setting_of(name, when), now=rig.now)
    for part in STORY:
        match part:
            case float():
                rig.wait(part)
            case str():
                rig.wire.cut_power(rig.now)
            case _:
                rig.bytes_after(encode(to_frame(part)))
    rig.wait(LONG_ENOUGH_S)
    truth = (rig.memory.cups, rig.memory.counters, rig.memory.boots, rig.memory.last_order)
    return rig.written, msgspec.json.encode(truth), rig.was_unplugged


class Writing(Rig):
    """Keeps each write with its moment; reads nothing, for with some switches on it makes no sense."""

    def __init__(self) -> None:
        self.written: list[tuple[float, bytes]] = []
        self.was_unplugged = False
        super().__init__()

    def bytes_after(self, heard: bytes = b"") -> bytes:
        turn = self.wire.turn(self.now, heard)
        self._wake_at = turn.wake_at
        self.written += [(round(self.now, 4), piece) for piece in turn.pieces]
        self.was_unplugged |= self.faults.is_on("unplugged")
        return b""


PLAIN = told()


def test_the_story_itself_is_always_the_same() -> None:
    assert told() == PLAIN


@pytest.mark.parametrize("name", SWITCHES)
def test_it_changes_something(name: str) -> None:
    assert told(name) != PLAIN


@pytest.mark.parametrize("name", SWITCHES)
def test_it_can_be_set_in_every_way_and_comes_out_the_same_each_time(name: str) -> None:
    for when in (When.ONCE, When.EVERY, When.CHANCE, When.ON):
        assert told(name, when) == told(name, when), when


@pytest.mark.parametrize("name", [name for name, switch in SWITCHES.items() if switch.lasting])
def test_a_lasting_one_can_strike_at_a_make_and_pass(name: str) -> None:
    rig = Writing()
    rig.faults.turn_on(name, setting_of(name, "once", n=2, seconds=3), now=rig.now)
    rig.bytes_after(encode(to_frame(MAKE)))
    assert not rig.faults.is_on(name)
    rig.bytes_after(encode(to_frame(MAKE)))
    assert rig.faults.is_on(name)
    assert rig.faults.in_force == [name]
    rig.wait(3.5)
    assert rig.faults.active == {}


def test_one_that_strikes_at_every_second_make_goes_on_doing_so() -> None:
    rig = Rig()
    rig.faults.turn_on("no_water", setting_of("no_water", "every", n=2, seconds=1), now=rig.now)
    verdicts = []
    for number in range(4):
        (verdict,) = rig.make(f"o{number}")
        verdicts.append(verdict.ok)
        rig.wait(QUICK.brew_s + 5)
    assert verdicts == [True, False, True, False]


def test_a_machine_hung_at_a_make_has_not_heard_it() -> None:
    rig = Rig()
    rig.faults.turn_on("silent", setting_of("silent", "once", seconds=2), now=rig.now)
    assert rig.make() == []
    rig.wait(3)
    assert rig.ask().phase == "unknown"
    assert [verdict.ok for verdict in rig.make()] == [True]
