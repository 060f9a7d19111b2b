"""Profiles: the shipped ones, the errors of a wrong one, and a machine's words in both directions."""

from pathlib import Path
from random import Random
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.machine.framing import Crc, Decoder, Framing, Layout
from agent.machine.profile import SHIPPED, BadProfile, Profile, load, read
from protocol import machine
from protocol.errors import Malformed, TooLarge, UnknownKind
from protocol.frames import Frame
from protocol.machine import (
    CountersReply,
    FaultEvent,
    MakeDrink,
    OrderReply,
    Rinse,
    StatusReply,
    from_frame,
    to_frame,
)
from protocol.reasons import MachineState, Phase
from simulator.machine.framing import FrameDecoder, encode
from tests.protocol.any_message import any_of
from tests.protocol.vectors import FRAMES

COMPANION = load("companion-v1")
MAKE = MakeDrink(order_uuid="o1", drink_no="1", text_flag="1", price=100)


def profile(**tables: Any) -> Profile:
    return read({"name": "x", **tables}, "x.toml")


# The files


@pytest.mark.parametrize("name", ["companion-v1", "companion-ack-only", "tmetr-legacy"])
def test_a_shipped_profile_is_called_as_its_file(name: str) -> None:
    assert load(name).name == name


def test_no_other_profile_is_shipped() -> None:
    assert {path.stem for path in SHIPPED.iterdir()} == {"companion-v1", "companion-ack-only", "tmetr-legacy"}


def test_what_the_file_of_the_companion_says_is_what_a_profile_says_by_itself() -> None:
    bare = msgspec.structs.replace(COMPANION, expects=Profile(name="x").expects, faults=Profile(name="x").faults)
    assert bare == Profile(name="companion-v1")


def test_a_profile_may_be_any_file(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text('name = "mine"\n[timers]\nmax_brew = 42\n')
    assert load(str(path)).timers.max_brew == 42


def test_a_profile_that_is_not_there_names_those_that_are() -> None:
    with pytest.raises(BadProfile, match="shipped: companion-ack-only, companion-v1, tmetr-legacy"):
        load("espresso-9000")


def test_a_file_that_is_no_toml_is_told_with_its_line(tmp_path: Path) -> None:
    path = tmp_path / "broken.toml"
    path.write_text('name = "x"\n[timers\n')
    with pytest.raises(BadProfile, match=r"broken.toml: this is not TOML: .*line 2"):
        load(str(path))


@pytest.mark.parametrize(
    ("tables", "said"),
    [
        ({"colour": 1}, "colour: there is no such key"),
        ({"timers": {"max_bru": 1}}, "timers.max_bru: there is no such key"),
        ({"timers": {"max_brew": "long"}}, "timers.max_brew: expected a number, got text"),
        ({"timers": {"max_brew": -1}}, "timers.max_brew: expected a number > 0.0"),
        ({"timers": {"quiet": 40}}, "timers.quiet: must not be longer than timers.down"),
        ({"serial": {"parity": "Q"}}, "serial.parity: 'Q' is none of the words it can be"),
        ({"serial": {"baud": 9600.5}}, "serial.baud: expected a whole number, got a number"),
        ({"serial": {"bytesize": 7}}, "serial.bytesize: frames are bytes of eight bits"),
        ({"serial": {"flow": "xonxoff"}}, "serial.flow: the line would swallow each 11 and 13"),
        ({"serial": {"flow": "rtscts", "rts": True}}, "serial.rts: with flow rtscts"),
        ({"framing": {"sync": "AA 5"}}, "framing.sync: is not written as it must be"),
        ({"framing": {"sync": " "}}, "framing.sync: needs a byte"),
        ({"framing": {"length_bytes": 1}}, "framing.max_content: a length of 1 bytes does not count that far"),
        ({"framing": {"crc": {"poly": 0x1021}}}, "framing.crc.poly: does not fit into 8 bits"),
        ({"commands": {"hello": 1, "hello_ack": 2}}, "commands.make: is missing"),
        ({"commands": {"make": 300}}, "commands.make: expected a whole number <= 255"),
        ({"commands": {"make": 1, "made": 2}}, "commands.made: there is no such name; known: boot, "),
        ({"commands": {"make": 1, "heartbeat": 1}}, "commands.heartbeat: 01 is commands.make already"),
        ({"commands": {"make": 1, "order": 2}}, "commands.order: goes with order_ack"),
        ({"keys": {"orderId": "x"}}, "keys.orderId: there is no such name"),
        ({"keys": {"orderUuid": "state"}}, "is keys."),
        ({"values": {"state": {"1": "asleep"}}}, "values.state.1: 'asleep' is none of ours: boot, "),
        ({"values": {"state": {"1": []}}}, "values.state: expected "),
        ({"sizes": {"small": 0.5}}, "sizes.small: expected "),
        ({"rinses": {"polish": "P"}}, "rinses: 'polish' is none of the words it can be"),
        ({"unsaid": {"ok": True}}, "unsaid.ok: there is no such name"),
        ({"unsaid": {"hist": "nv"}}, "unsaid.hist: only `ram` may be assumed"),
        ({"drinks": {"a": {"max_brew": "long"}}}, "drinks.a.max_brew: expected "),
        ({"drinks": {"a": {"drink_no": "1"}, "b": {"drink_no": "1"}}}, "drinks.b: '1' is drinks.a already"),
        ({"capabilities": {"assumed": ["flying"]}}, "capabilities.assumed[0]: 'flying' is none of the words"),
        ({"capabilities": {"assumed": ["ack"], "denied": ["ack"]}}, "capabilities: the same ability is both"),
        ({"expects": {"required": ["ack", "legs"]}}, "expects.required[1]: 'legs' is none"),
        ({"name": 5}, "name: expected text, got a whole number"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_a_wrong_profile_is_told_with_its_file_and_its_key(tables: dict[str, Any], said: str) -> None:
    with pytest.raises(BadProfile) as bad:
        profile(**tables)
    assert str(bad.value).startswith("x.toml: ")
    assert said in str(bad.value)


def test_every_problem_that_takes_two_keys_is_told_at_once() -> None:
    with pytest.raises(BadProfile) as bad:
        profile(commands={"heartbeat": 1}, timers={"quiet": 60})
    assert len(str(bad.value).splitlines()) == 2


# The framing


@pytest.mark.parametrize("vector", FRAMES, ids=lambda vector: vector.name)
def test_the_companions_framing_is_the_public_frame(vector: Any) -> None:
    assert COMPANION.layout.encode(vector.frame) == vector.wire
    assert Decoder(COMPANION.layout).feed(vector.wire) == [vector.frame]


def test_on_any_damaged_line_it_hears_what_the_simulated_machine_hears() -> None:
    """Two decoders written apart: the same frames, the same count of faults, on 2 000 spoilt lines."""
    random = Random(3)
    good = encode(Frame(0xA2, b'{"ok":true}'))
    for _ in range(2_000):
        spoilt = bytearray(encode(Frame(0x22, b'{"a":"' + b"x" * random.randrange(60) + b'"}')))
        for _ in range(random.randrange(3)):
            spoilt[random.randrange(len(spoilt))] = random.randrange(256)
        line = bytes(spoilt) + good + random.randbytes(5) + good
        ours, theirs = Decoder(COMPANION.layout), FrameDecoder()
        heard: tuple[list[Frame], list[Frame]] = ([], [])
        while line:
            size = random.randrange(1, 40)
            piece, line = line[:size], line[size:]
            heard[0].extend(ours.feed(piece))
            heard[1].extend(theirs.feed(piece))
        while ours.waiting or theirs.waiting:
            heard[0].extend(ours.give_up())
            heard[1].extend(theirs.give_up())
        assert heard[0] == heard[1]
        assert heard[0][-1] == Frame(0xA2, b'{"ok":true}')
        assert ours.stats == theirs.stats


@pytest.mark.parametrize(
    ("crc", "check"),
    [
        (Crc(), "f3"),
        (Crc(init=0), "a1"),
        (Crc(poly=0x07, init=0, reflected=False), "f4"),
        (Crc(width=16, poly=0x1021, init=0xFFFF, reflected=False), "29b1"),
        (Crc(width=16, poly=0x8005, init=0xFFFF), "4b37"),
        (Crc(width=16, poly=0x8005, init=0xFFFF, order="little"), "374b"),
        (Crc(width=16, poly=0x1021, init=0xFFFF, xorout=0xFFFF), "906e"),
    ],
)
def test_a_crc_gives_the_catalogues_check_value(crc: Crc, check: str) -> None:
    """Over `123456789`; behind it, so that the bytes can be read off a frame."""
    layout = Layout(Framing(sync="AA", tail="", crc=msgspec.structs.replace(crc, place="after content")))
    assert layout.encode(Frame(ord("1"), b"23456789"))[-crc.width // 8 :].hex() == check


ODD = st.builds(
    Framing,
    sync=st.sampled_from(["7E", "01 02", "AA 55 01"]),
    length_bytes=st.sampled_from([1, 2]),
    length_order=st.sampled_from(["big", "little"]),
    length_counts=st.sampled_from(["content", "body", "frame"]),
    tail=st.sampled_from(["", "0D 0A", "03"]),
    max_content=st.just(200),
    crc=st.builds(
        Crc,
        width=st.sampled_from([8, 16]),
        poly=st.integers(1, 255),
        init=st.integers(0, 255),
        reflected=st.booleans(),
        order=st.sampled_from(["big", "little"]),
        covers=st.sampled_from(["content", "length and content"]),
        place=st.sampled_from(["before content", "after content"]),
    ),
)


@given(framing=ODD, command=st.integers(0, 255), noise=st.binary(max_size=30), data=st.data())
def test_any_framing_is_read_as_it_is_written_behind_noise_and_in_pieces(
    framing: Framing, command: int, noise: bytes, data: st.DataObject
) -> None:
    layout = Layout(framing)
    frame = Frame(command, b'{"k":"' + data.draw(st.binary(max_size=40)).hex().encode() + b'"}')
    line = noise + layout.encode(frame) * 3
    decoder = Decoder(layout)
    cut = data.draw(st.integers(0, len(line)))
    heard = decoder.feed(line[:cut]) + decoder.feed(line[cut:])
    while decoder.waiting:
        heard += decoder.give_up()
    assert heard[-1] == frame


def test_a_frame_beyond_the_machines_limit_is_not_written() -> None:
    with pytest.raises(TooLarge):
        Layout(Framing(max_content=64)).encode(Frame(1, b"{" + b" " * 70 + b"}"))


# The words


@pytest.mark.parametrize("kind", machine.CODES.values(), ids=lambda kind: kind.__name__)
@given(data=st.data())
def test_the_companions_words_are_those_of_the_wire_contract(kind: type[msgspec.Struct], data: st.DataObject) -> None:
    message = data.draw(any_of(kind))
    if isinstance(message, MakeDrink):
        message = msgspec.structs.replace(message, text_flag=str(message.text_flag))
    frame = COMPANION.codec.to_frame(message)
    assert frame == to_frame(message)
    assert COMPANION.codec.from_frame(frame) == from_frame(frame) == message


@pytest.mark.parametrize(("small", "written"), [("S", b'"textFlag":"S"'), (1, b'"textFlag":1')])
def test_a_size_is_sent_in_the_profiles_words_and_type(small: str | int, written: bytes) -> None:
    frame = profile(sizes={"small": small}).codec.to_frame(msgspec.structs.replace(MAKE, text_flag="0"))
    assert written in frame.body


def test_the_legacy_profile_sends_exactly_the_public_make_and_nothing_else() -> None:
    legacy = load("tmetr-legacy").codec
    vector = next(vector for vector in FRAMES if vector.name == "TV1s")
    message = from_frame(vector.frame)
    assert load("tmetr-legacy").layout.encode(legacy.to_frame(message)) == vector.wire
    for kind in machine.CODES.values():
        assert legacy.knows(kind) is (kind is MakeDrink)
    with pytest.raises(UnknownKind):
        legacy.from_frame(Frame(0xA2, b"{}"))


def test_characters_beyond_ascii_are_sent_as_the_profile_says_and_read_in_both_ways() -> None:
    message = msgspec.structs.replace(MAKE, drink_no="капучино")
    plain, escaped = profile(framing={"text": "utf-8"}).codec, COMPANION.codec
    assert "капучино".encode() in plain.to_frame(message).body
    assert b"\\u043a" in escaped.to_frame(message).body
    assert plain.from_frame(escaped.to_frame(message)) == message == escaped.from_frame(plain.to_frame(message))


def test_keys_values_and_drinks_are_turned_into_ours() -> None:
    odd = profile(
        keys={"state": "st", "faults": "alarms", "orderUuid": "ord", "code": "err"},
        values={"state": {"2": "ready"}, "code": {"E7": "no_beans"}},
        drinks={"latte": {"drink_no": "17"}},
    ).codec
    status = odd.from_frame(
        Frame(0xA1, b'{"msgId":1,"bootId":"b","st":2,"ord":null,"alarms":["E7","E9"],"state":"nonsense"}')
    )
    assert isinstance(status, StatusReply)
    assert (status.state, status.faults) == (MachineState.READY, ["no_beans", "E9"])
    fault = odd.from_frame(
        Frame(0xC4, b'{"bootId":"b","evt":1,"err":"E7","on":true,"level":"block","drinks":["17","18"]}')
    )
    assert isinstance(fault, FaultEvent)
    assert (fault.code, fault.drinks) == ("no_beans", ["latte", "18"])
    assert odd.to_frame(msgspec.structs.replace(MAKE, drink_no="latte")).body.startswith(b'{"ord":"o1","drinkNo":"17"')
    counted = odd.from_frame(
        Frame(0xA5, b'{"msgId":1,"bootId":"b","boots":1,"total":9,"paid":9,"free":0,"test":0,"byDrink":{"17":4}}')
    )
    assert isinstance(counted, CountersReply)
    assert counted.by_drink == {"latte": 4}


def test_a_rinse_is_asked_for_in_the_machines_words() -> None:
    odd = profile(rinses={"rinse": "R1"}).codec
    assert b'"kind":"R1"' in odd.to_frame(Rinse(msg_id=1, job_uuid="j", kind="rinse")).body
    assert b'"kind":"clean"' in odd.to_frame(Rinse(msg_id=1, job_uuid="j", kind="clean")).body


def test_what_a_machine_leaves_unsaid_is_what_the_profile_assumes() -> None:
    odd = profile(unsaid={"hist": "ram", "bootId": "none"})
    heard = odd.codec.from_frame(Frame(0xA4, b'{"msgId":1,"orderUuid":"o","phase":"done"}'))
    assert isinstance(heard, OrderReply)
    assert (heard.hist, heard.boot_id, heard.phase) == ("ram", "none", Phase.DONE)
    assert not odd.knows_boots
    with pytest.raises(Malformed):
        COMPANION.codec.from_frame(Frame(0xA4, b'{"msgId":1,"orderUuid":"o","phase":"done"}'))


def test_no_order_is_assumed_where_the_question_names_it() -> None:
    odd = profile(unsaid={"orderUuid": "any"})
    told = odd.codec.from_frame(Frame(0xA4, b'{"msgId":1,"phase":"done","out":"full","hist":"nv","bootId":"b"}'))
    assert isinstance(told, OrderReply)
    assert told.order_uuid is msgspec.UNSET


@pytest.mark.parametrize("body", [b'{"msgId":1}', b'{"msgId":"1"}', b'{"st":[]}', b"{" * 500, b'{"st":{"a":1}}'])
def test_what_makes_no_sense_is_malformed_whatever_the_words(body: bytes) -> None:
    odd = profile(keys={"state": "st"}, values={"state": {"1": "ready"}}).codec
    with pytest.raises(Malformed):
        odd.from_frame(Frame(0xA1, body))


def test_an_ability_without_its_commands_is_none() -> None:
    ack_only = load("companion-ack-only")
    announced = frozenset(["ack", "finish", "order", "counters", "dedup", "nv", "cancel", "rinse", "steam"])
    assert ack_only.abilities(announced) == {"ack", "counters", "steam"}
    assert load("tmetr-legacy").abilities(frozenset()) == frozenset()
    assert COMPANION.abilities(announced) == announced


def test_a_drink_has_its_own_time() -> None:
    odd = profile(drinks={"latte": {"max_brew": 200}}, timers={"max_brew": 100})
    assert (odd.max_brew("latte"), odd.max_brew("espresso")) == (200, 100)


@pytest.mark.parametrize(
    ("timers", "latte", "espresso"),
    [({}, 240, 240), ({"unknown_deadline": 60}, 215, 195), ({"unknown_deadline": 200, "max_brew": 290}, 215, 295)],
)
def test_no_drink_is_given_up_before_its_time_nor_after_the_clouds(
    timers: dict[str, float], latte: float, espresso: float
) -> None:
    odd = profile(drinks={"latte": {"max_brew": 200}}, timers=timers)
    assert (odd.give_up_after("latte"), odd.give_up_after("espresso")) == (latte, espresso)
