"""Whatever it is told and whatever is switched on, the machine never raises and never fills two cups for one order."""

import json
from collections import Counter

from hypothesis import given, settings
from hypothesis import strategies as st

from protocol.machine import (
    CancelDrink,
    CountersQuery,
    EventAck,
    Hello,
    LinkNak,
    MachineMessage,
    MakeDrink,
    OrderQuery,
    Rinse,
    Status,
    to_frame,
)
from simulator.machine import setting_of
from simulator.machine.framing import encode
from simulator.machine.jobs import Sale
from simulator.machine.switches import SWITCHES, Group, without
from tests.simulator.machine.rig import LONG_ENOUGH_S, Rig, frame_of

ORDERS = st.sampled_from(["o1", "o2", "o3", "заказ"])
DRINKS = st.sampled_from(["espresso", "americano", "latte", "tea", "beer"])
MESSAGE_IDS = st.integers(1, 65535)
FORGETTING = {without("dedup"), without("nv")}
"""Switches that take away what the promise rests on."""

requests = st.one_of(
    st.builds(
        MakeDrink, order_uuid=ORDERS, drink_no=DRINKS, text_flag=st.sampled_from(["0", 1, 2]), price=st.just(100)
    ),
    st.builds(CancelDrink, msg_id=MESSAGE_IDS, order_uuid=ORDERS),
    st.builds(OrderQuery, msg_id=MESSAGE_IDS, order_uuid=ORDERS),
    st.builds(Rinse, msg_id=MESSAGE_IDS, job_uuid=ORDERS, kind=st.sampled_from(["rinse", "clean"])),
    st.builds(EventAck, boot_id=st.sampled_from(["b7", "b8"]), evt=st.integers(0, 40)),
    st.builds(Hello, msg_id=MESSAGE_IDS),
    st.builds(Status, msg_id=MESSAGE_IDS),
    st.builds(CountersQuery, msg_id=MESSAGE_IDS),
    st.just(LinkNak(why="crc")),
)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


@st.composite
def strange_frames(draw: st.DrawFn) -> bytes:
    """A sound frame with a body of any kind, often nearly right."""
    keys = st.sampled_from(["orderUuid", "drinkNo", "textFlag", "price", "msgId", "kind", "evt", "x"])
    body = draw(st.dictionaries(keys, json_values | ORDERS, max_size=5))
    return frame_of(draw(st.integers(0, 255)), json.dumps(body))


deeds = st.one_of(
    requests,
    requests.map(lambda message: encode(to_frame(message))[:-1]),
    st.binary(max_size=40),
    strange_frames(),
    st.floats(0, 15),
    st.sampled_from([name for name in SWITCHES if name not in FORGETTING]).map(lambda name: ("on", name)),
    st.sampled_from([name for name in SWITCHES if name not in FORGETTING]).map(lambda name: ("off", name)),
    st.just(("power", "")),
    st.just(("local", "")),
)


INSISTED = MakeDrink(order_uuid="o1", drink_no="tea", text_flag="1", price=100)
insistent_deeds = st.one_of(
    st.just(INSISTED),
    st.floats(0, 12),
    st.sampled_from([name for name in SWITCHES if SWITCHES[name].group == Group.POWER]).map(lambda name: ("on", name)),
    st.just(("power", "")),
)
"""The same order again and again, with time and power cuts between."""


def do(rig: Rig, deed: object) -> None:
    match deed:
        case MachineMessage():
            rig.bytes_after(encode(to_frame(deed)))
        case bytes():
            rig.bytes_after(deed)
        case float():
            rig.wait(deed)
        case ("on", str(name)):
            rig.faults.turn_on(name, setting_of(name), now=rig.now)
        case ("off", str(name)):
            rig.faults.clear(name)
        case ("local", _):
            rig.machine.local_drink(rig.now, "tea", Sale.PAID)
        case _:
            rig.wire.cut_power(rig.now)


class _QuietRig(Rig):
    """Does not read what the machine says: with these switches on it need not make sense."""

    def hear(self, heard: bytes) -> list[MachineMessage]:
        self.bytes_after(heard)
        return []


def begun_cups(rig: Rig) -> Counter[str]:
    """How many cups something flowed into, by order, once everything has come to rest."""
    rig.faults.clear_all()
    rig.wait(LONG_ENOUGH_S)
    return Counter(cup.order_uuid for cup in rig.memory.cups if cup.order_uuid is not None)


@given(st.lists(deeds, max_size=40))
@settings(max_examples=150)
def test_nothing_said_or_switched_makes_it_raise_or_fill_a_second_cup(story: list[object]) -> None:
    rig = _QuietRig()
    for deed in story:
        do(rig, deed)
    assert set(begun_cups(rig).values()) <= {1}


@given(st.lists(insistent_deeds, max_size=15))
@settings(max_examples=150)
def test_no_order_gets_a_second_cup_however_often_it_is_asked_for(story: list[object]) -> None:
    rig = _QuietRig()
    for deed in story:
        do(rig, deed)
    assert set(begun_cups(rig).values()) <= {1}


@given(st.lists(requests, max_size=20), st.lists(st.integers(1, 30), min_size=1, max_size=20))
@settings(max_examples=50)
def test_bytes_in_any_pieces_come_to_the_same(story: list[MachineMessage], sizes: list[int]) -> None:
    whole, split = Rig(), Rig()
    data = b"".join(encode(to_frame(message)) for message in story)
    answered = whole.bytes_after(data)
    at, answered_in_pieces = 0, b""
    while at < len(data):
        size = sizes[at % len(sizes)]
        answered_in_pieces += split.bytes_after(data[at : at + size])
        at += size
    assert answered_in_pieces == answered
