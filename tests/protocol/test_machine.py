"""What is said on the serial line: the worked frames as messages; tolerant of keys, strict on types and ranges."""

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol import machine as said
from protocol.errors import Malformed, UnknownKind, WireError
from protocol.frames import Frame
from protocol.machine import MachineMessage, MakeDrink, from_frame, to_frame
from protocol.reasons import FaultLevel, MachineState, Phase, Spout, Stage
from simulator.machine.framing import MAX_BODY, encode
from tests.protocol.any_message import any_of
from tests.protocol.vectors import FRAMES, Vector
from tests.simulator.machine import lines

ORDER = "20250317110122659ba6d7-9ace-cndn"
DRINK = "9b900a2e63042d350f45b6675ef26ced"
CAPS = ["ack", "progress", "finish", "order", "counters", "dedup", "nv"]

MEANT: dict[str, MachineMessage] = {
    "TV1": MakeDrink(order_uuid=ORDER, drink_no=DRINK, text_flag=1, price=14900),
    "TV1s": MakeDrink(order_uuid=ORDER, drink_no=DRINK, text_flag="1", price=14900),
    "TV2": MakeDrink(order_uuid="o1", drink_no="1", text_flag=0, price=100),
    "TV3": MakeDrink(order_uuid="00000000-0000-4000-8000-000000000001", drink_no="americano", text_flag=2, price=19900),
    "TV4": MakeDrink(order_uuid="20260101000000000ffffff-0001-cndn", drink_no="0" * 32, text_flag=1, price=0),
    "TV5": MakeDrink(order_uuid="заказ-7", drink_no="эспрессо", text_flag=0, price=9900),
    "TV5u": MakeDrink(order_uuid="заказ-7", drink_no="эспрессо", text_flag=0, price=9900),
    "HELLO": said.Hello(msg_id=1, proto=1),
    "HELLO reply": said.HelloReply(msg_id=1, model="sim-1", fw="1.0", boot_id="b7", caps=CAPS),
    "STATUS": said.Status(msg_id=2),
    "STATUS reply": said.StatusReply(msg_id=2, boot_id="b7", state=MachineState.READY, order_uuid=None, faults=[]),
    "MAKE ack": said.MakeReply(order_uuid=ORDER, ok=True, dup=False, boot_id="b7"),
    "MAKE nack": said.MakeReply(order_uuid=ORDER, ok=False, code="no_water", boot_id="b7"),
    "CANCEL": said.CancelDrink(msg_id=3, order_uuid=ORDER),
    "CANCEL reply": said.CancelReply(
        msg_id=3, order_uuid=ORDER, ok=False, code="too_late", phase=Phase.BREWING, boot_id="b7"
    ),
    "ORDER query": said.OrderQuery(msg_id=4, order_uuid=ORDER),
    "ORDER reply": said.OrderReply(
        msg_id=4, order_uuid=ORDER, phase=Phase.DONE, out=Spout.FULL, boot_id="b7", hist="nv"
    ),
    "COUNTERS": said.CountersQuery(msg_id=5),
    "COUNTERS reply": said.CountersReply(
        msg_id=5, boot_id="b7", boots=12, total=1042, paid=1000, free=30, test=12, by_drink={"americano": 310}
    ),
    "RINSE": said.Rinse(msg_id=6, job_uuid="r-0001", kind="rinse"),
    "RINSE reply": said.RinseReply(msg_id=6, job_uuid="r-0001", ok=True, boot_id="b7"),
    "EVENT ack": said.EventAck(boot_id="b7", evt=41),
    "BOOT": said.Booted(boot_id="b8", evt=1, why="power", last_order=ORDER, last_phase=Phase.BREWING),
    "PROGRESS": said.ProgressEvent(boot_id="b7", evt=39, order_uuid=ORDER, stage=Stage.BREW, pct=40),
    "DONE": said.DoneEvent(boot_id="b7", evt=41, order_uuid=ORDER, total=1042),
    "FAILED": said.FailedEvent(boot_id="b7", evt=41, order_uuid=ORDER, code="brewer", out=Spout.NONE),
    "FAULT": said.FaultEvent(
        boot_id="b7", evt=42, code="no_beans", on=True, level=FaultLevel.BLOCK, drinks=["espresso", "americano"]
    ),
    "HEARTBEAT": said.Heartbeat(boot_id="b7", state=MachineState.READY, up=3600),
    "LINK NAK": said.LinkNak(why="crc"),
}
BODIES = {vector.name: json.loads(vector.body) for vector in FRAMES}
COMMANDS = {vector.name: vector.command for vector in FRAMES}

by_name = pytest.mark.parametrize("vector", FRAMES, ids=lambda vector: vector.name)


def _heard(command: int, body: object) -> MachineMessage:
    return from_frame(Frame(command, json.dumps(body).encode()))


@by_name
def test_a_worked_frame_means_what_the_specification_says(vector: Vector) -> None:
    assert from_frame(vector.frame) == MEANT[vector.name]


@pytest.mark.parametrize("vector", [v for v in FRAMES if not v.decode_only], ids=lambda vector: vector.name)
def test_a_message_is_written_as_exactly_the_worked_bytes(vector: Vector) -> None:
    assert encode(to_frame(MEANT[vector.name])) == vector.wire


def test_every_message_there_is_has_a_worked_frame() -> None:
    assert {type(message) for message in MEANT.values()} == set(said.CODES.values())
    assert all(declared.command == command for command, declared in said.CODES.items())


@by_name
def test_unknown_keys_are_ignored(vector: Vector) -> None:
    assert _heard(vector.command, {"x": [1], **BODIES[vector.name], "newer": {"a": None}}) == MEANT[vector.name]


OPTIONAL = {"proto", "dup", "code", "out", "lastOrder", "lastPhase", "total", "drinks", "faults"} | {
    "orderUuid",
    "jobUuid",
}


@by_name
def test_a_missing_key_is_malformed_unless_it_may_be_missing(vector: Vector) -> None:
    for key in BODIES[vector.name]:
        body = {name: value for name, value in BODIES[vector.name].items() if name != key}
        if key in _required(vector.command):
            with pytest.raises(Malformed):
                _heard(vector.command, body)
        else:
            assert key in OPTIONAL
            assert type(_heard(vector.command, body)) is said.CODES[vector.command]


def test_what_left_the_spout_is_unknown_where_it_is_not_said() -> None:
    """A drink that failed is no dry one for that: money is given back, and the make may be sent again."""
    body = {key: value for key, value in BODIES["ORDER reply"].items() if key != "out"}
    heard = _heard(0xA4, body | {"phase": "failed"})
    assert isinstance(heard, said.OrderReply)
    assert heard.out is Spout.UNKNOWN


def _required(command: int) -> set[str]:
    return {field.encode_name for field in msgspec.structs.fields(said.CODES[command]) if field.required}


@by_name
def test_a_value_of_the_wrong_type_is_malformed(vector: Vector) -> None:
    for key in BODIES[vector.name]:
        with pytest.raises(Malformed):
            _heard(vector.command, BODIES[vector.name] | {key: {"not": ["a", "value"], "of": 1.5}})


@pytest.mark.parametrize(
    ("name", "key", "value"),
    [
        ("HELLO", "msgId", 0),
        ("HELLO", "msgId", 65536),
        ("HELLO", "msgId", 1.5),
        ("HELLO", "msgId", "1"),
        ("HELLO", "msgId", True),
        ("HELLO reply", "bootId", ""),
        ("HELLO reply", "bootId", "b" * 65),
        ("HELLO reply", "caps", ["ack"] * 65),
        ("HELLO reply", "caps", ["a b"]),
        ("STATUS reply", "state", "Ready"),
        ("STATUS reply", "orderUuid", ""),
        ("MAKE ack", "ok", 1),
        ("MAKE ack", "ok", "true"),
        ("MAKE ack", "orderUuid", None),
        ("MAKE ack", "orderUuid", "a\x00b"),
        ("MAKE nack", "code", "no water"),
        ("MAKE nack", "code", "busy\n"),
        ("MAKE nack", "code", ""),
        ("CANCEL reply", "phase", "pouring"),
        ("ORDER reply", "hist", "disk"),
        ("COUNTERS reply", "total", -1),
        ("COUNTERS reply", "byDrink", {"americano": -1}),
        ("RINSE", "kind", "descale"),
        ("EVENT ack", "evt", -1),
        ("BOOT", "why", "brown out"),
        ("PROGRESS", "pct", 101),
        ("PROGRESS", "stage", "steam"),
        ("FAILED", "out", "most"),
        ("FAULT", "level", "fatal"),
        ("FAULT", "drinks", ["d" * 129]),
        ("HEARTBEAT", "up", -1),
        ("LINK NAK", "why", ""),
    ],
)
def test_a_value_out_of_range_is_malformed(name: str, key: str, value: object) -> None:
    with pytest.raises(Malformed):
        _heard(COMMANDS[name], BODIES[name] | {key: value})


@pytest.mark.parametrize("flag", ["0", "1", "2", 0, 1, 2])
def test_the_cup_size_is_read_as_string_and_as_number_and_kept_as_it_came(flag: Any) -> None:
    message = _heard(0x22, BODIES["TV1"] | {"textFlag": flag})
    assert isinstance(message, MakeDrink)
    assert message.text_flag == flag
    assert type(message.text_flag) is type(flag)
    assert json.loads(to_frame(message).body)["textFlag"] == flag


@pytest.mark.parametrize("flag", ["3", 3, -1, "01", " 1", "", True, 1.0, None, "small"])
def test_another_cup_size_is_malformed(flag: object) -> None:
    with pytest.raises(Malformed):
        _heard(0x22, BODIES["TV1"] | {"textFlag": flag})


def test_the_make_frame_has_its_four_keys_in_their_order_and_nothing_else() -> None:
    body = to_frame(MakeDrink(price=1, text_flag="0", drink_no="d", order_uuid="o")).body
    assert body == b'{"orderUuid":"o","drinkNo":"d","textFlag":"0","price":1}'


@given(order=st.text(min_size=1, max_size=50).filter(lambda text: "\x00" not in text))
def test_a_body_is_ascii_whatever_the_text_and_is_read_back(order: str) -> None:
    message = MakeDrink(order_uuid=order, drink_no="d", text_flag="0", price=1)
    frame = to_frame(message)
    assert frame.body.isascii()
    assert from_frame(frame) == message


def test_a_new_code_of_a_newer_firmware_is_kept_as_text() -> None:
    heard = _heard(0xA2, BODIES["MAKE nack"] | {"code": "vendor:E-17.2"})
    assert isinstance(heard, said.MakeReply)
    assert heard.code == "vendor:E-17.2"


@pytest.mark.parametrize("declared", said.CODES.values(), ids=lambda declared: declared.__name__)
@given(data=st.data())
def test_any_message_is_read_back_as_it_was_written(declared: type[MachineMessage], data: st.DataObject) -> None:
    message = data.draw(any_of(declared))
    assert from_frame(to_frame(message)) == message


@given(command=st.integers(0, 255).filter(lambda command: command not in said.CODES), body=lines.json_objects)
def test_an_unknown_command_byte_is_named(command: int, body: bytes) -> None:
    with pytest.raises(UnknownKind) as caught:
        from_frame(Frame(command, body))
    assert caught.value.kind == f"{command:02X}"


@given(
    command=st.sampled_from(sorted(said.CODES)),
    body=lines.json_objects | st.binary(max_size=MAX_BODY) | st.just(b"[" * 4000) | st.just(b"9" * 4000),
)
def test_arbitrary_bodies_raise_only_wire_errors(command: int, body: bytes) -> None:
    try:
        message = from_frame(Frame(command, body))
    except WireError:
        return
    assert type(message) is said.CODES[command]


@given(vector=st.sampled_from(FRAMES), data=st.data())
def test_a_worked_body_with_any_one_value_changed_is_read_or_malformed(vector: Vector, data: st.DataObject) -> None:
    key = data.draw(st.sampled_from(sorted(BODIES[vector.name])))
    value = data.draw(st.none() | st.booleans() | st.integers() | st.text(max_size=300) | st.lists(st.text()))
    try:
        message = _heard(vector.command, BODIES[vector.name] | {key: value})
    except Malformed:
        return
    assert from_frame(to_frame(message)) == message
