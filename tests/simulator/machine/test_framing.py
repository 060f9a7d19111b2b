"""Bytes and frames: the worked frames, every cut of a stream, and that no noise ever costs the frame behind it."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from protocol import machine
from protocol.errors import TooLarge
from protocol.frames import Frame
from simulator.machine.framing import HEAD_SIZE, MAX_BODY, OVERHEAD, SYNC, TAIL, FrameDecoder, crc8, encode
from tests.protocol.vectors import FRAMES, Vector
from tests.simulator.machine import lines
from tests.simulator.machine.lines import pieces, read, read_with

GOOD = next(vector for vector in FRAMES if vector.name == "TV1s")
OTHER = next(vector for vector in FRAMES if vector.name == "DONE")
SENT = [vector for vector in FRAMES if not vector.decode_only]
FALSE_HEAD = SYNC + MAX_BODY.to_bytes(2, "big") + b"\x00"
LARGEST = Frame(0x22, b'{"a":"%s"}' % (b"x" * (MAX_BODY - 9)))

by_name = pytest.mark.parametrize("vector", FRAMES, ids=lambda vector: vector.name)


def test_every_worked_frame_of_the_specification_is_here() -> None:
    assert len(FRAMES) == 7 + 22
    assert {vector.command for vector in FRAMES} == set(machine.CODES)


def test_the_crc_is_that_of_the_firmware_and_not_of_the_catalogue() -> None:
    assert crc8(b"123456789") == 0xF3


def test_the_crc_covers_the_command_byte() -> None:
    smallest = next(vector for vector in FRAMES if vector.name == "TV2")
    assert (crc8(smallest.body), crc8(b"\x22" + smallest.body)) == (0xF8, 0xFD)


@by_name
def test_a_worked_frame_has_the_length_crc_and_size_it_is_listed_with(vector: Vector) -> None:
    assert len(vector.wire) == vector.total == OVERHEAD + vector.length
    assert 1 + len(vector.body) == vector.length == int.from_bytes(vector.wire[3:5], "big")
    assert crc8(bytes([vector.command]) + vector.body) == vector.crc == vector.wire[5]


@by_name
def test_a_worked_frame_is_read_from_its_bytes(vector: Vector) -> None:
    assert FrameDecoder().feed(vector.wire) == [vector.frame]


@pytest.mark.parametrize("vector", SENT, ids=lambda vector: vector.name)
def test_a_worked_frame_is_written_as_exactly_its_bytes(vector: Vector) -> None:
    assert encode(vector.frame) == vector.wire


@by_name
def test_a_worked_frame_survives_every_cut_and_single_bytes(vector: Vector) -> None:
    for cut in range(len(vector.wire) + 1):
        decoder = FrameDecoder()
        assert decoder.feed(vector.wire[:cut]) + decoder.feed(vector.wire[cut:]) == [vector.frame]
    decoder = FrameDecoder()
    assert [frame for byte in vector.wire for frame in decoder.feed(bytes([byte]))] == [vector.frame]


def test_the_largest_frame_passes_and_a_larger_one_is_not_written() -> None:
    assert read(encode(LARGEST)) == [LARGEST]
    with pytest.raises(TooLarge):
        encode(Frame(0x22, LARGEST.body + b" "))


@given(frame=lines.frames)
def test_what_is_written_is_read_back(frame: Frame) -> None:
    assert FrameDecoder().feed(encode(frame)) == [frame]


@given(frame=lines.frames, next_frame=lines.frames)
def test_the_sync_occurs_nowhere_but_at_the_start_of_a_frame(frame: Frame, next_frame: Frame) -> None:
    first, second = encode(frame), encode(next_frame)
    stream = first + second
    assert stream.count(SYNC) == 2
    assert stream.find(SYNC, 1) == len(first)


@given(sent=st.lists(lines.frames, max_size=6), cuts=st.lists(st.integers(0, 10_000), max_size=12))
def test_any_cut_of_a_stream_gives_the_same_frames(sent: list[Frame], cuts: list[int]) -> None:
    decoder = FrameDecoder()
    stream = b"".join(map(encode, sent))
    assert [frame for piece in pieces(stream, cuts) for frame in decoder.feed(piece)] == sent
    assert not decoder.waiting
    assert decoder.stats.dropped_bytes == 0


@given(
    noise=st.lists(lines.garbage, min_size=2, max_size=5),
    sent=st.lists(lines.frames, min_size=1, max_size=4),
    cuts=st.lists(st.integers(0, 10_000), max_size=12),
)
@example(noise=[FALSE_HEAD], sent=[GOOD.frame, OTHER.frame], cuts=[])
@example(noise=[FALSE_HEAD + FALSE_HEAD], sent=[GOOD.frame], cuts=[3])
@example(noise=[SYNC + b"\x00"], sent=[GOOD.frame], cuts=[])
@example(noise=[b"\xaa", SYNC[:2]], sent=[GOOD.frame], cuts=[1])
def test_no_noise_costs_any_good_frame_behind_it(noise: list[bytes], sent: list[Frame], cuts: list[int]) -> None:
    stream = noise[0]
    for number, frame in enumerate(sent):
        stream += encode(frame) + noise[(number + 1) % len(noise)]
    assert _contains_in_order(read(*pieces(stream, cuts)), sent)


@given(frame=lines.frames, cut=st.integers(0, 500), next_frame=lines.frames)
def test_a_frame_cut_short_costs_itself_only(frame: Frame, cut: int, next_frame: Frame) -> None:
    wire = encode(frame)
    assert read(wire[: cut % len(wire)] + encode(next_frame)) == [next_frame]


@given(
    place=st.integers(0, len(GOOD.wire) - 1),
    damage=st.sampled_from(["replaced", "deleted", "inserted"]),
    byte=st.integers(0, 255),
)
def test_one_bad_byte_never_costs_the_next_frame(place: int, damage: str, byte: int) -> None:
    wire, new = GOOD.wire, bytes([byte])
    kept = {"replaced": place + 1, "deleted": place + 1, "inserted": place}[damage]
    damaged = wire[:place] + (b"" if damage == "deleted" else new) + wire[kept:]
    found = read(damaged + OTHER.wire)
    assert found[-1] == OTHER.frame
    assert found[:-1] in ([], [GOOD.frame])
    if damage == "replaced" and damaged != wire:
        assert found == [OTHER.frame]


@given(arrivals=st.lists(lines.garbage | st.binary(max_size=300), max_size=20))
def test_arbitrary_bytes_never_raise_and_never_pile_up(arrivals: list[bytes]) -> None:
    decoder = FrameDecoder()
    for arrival in arrivals:
        decoder.feed(arrival)
        assert decoder.buffered < MAX_BODY + OVERHEAD
    assert read_with(decoder, GOOD.wire)[-1] == GOOD.frame
    assert decoder.buffered == 0


@pytest.mark.parametrize("stuff", [b"\x00", b"\xaa", SYNC, FALSE_HEAD, FALSE_HEAD[:5], encode(LARGEST)[:-1]])
def test_a_megabyte_at_once_leaves_less_than_one_frame_waiting(stuff: bytes) -> None:
    decoder = FrameDecoder()
    decoder.feed(stuff * (1_000_000 // len(stuff)))
    assert decoder.buffered < MAX_BODY + OVERHEAD
    assert read_with(decoder, GOOD.wire) == [GOOD.frame]


@pytest.mark.parametrize("size", [1, 7, 4096, 4103, 4104, 4105, 100_000])
def test_a_long_stream_gives_every_frame_in_arrivals_of_any_size(size: int) -> None:
    sent = [GOOD.frame, LARGEST, OTHER.frame] * 8
    stream = b"".join(map(encode, sent))
    assert read(*(stream[start : start + size] for start in range(0, len(stream), size))) == sent


def test_frames_behind_a_false_header_come_by_themselves_once_its_claim_is_full() -> None:
    decoder = FrameDecoder()
    found = decoder.feed(FALSE_HEAD)
    needed = MAX_BODY // len(OTHER.wire) + 2
    for _ in range(needed):
        found += decoder.feed(OTHER.wire)
    assert found == [OTHER.frame] * needed
    assert decoder.stats.faults == {"tail": 1}


def test_frames_behind_a_false_header_come_at_once_when_it_is_given_up() -> None:
    decoder = FrameDecoder()
    assert decoder.feed(FALSE_HEAD + GOOD.wire + OTHER.wire) == []
    assert decoder.waiting
    assert decoder.give_up() == [GOOD.frame, OTHER.frame]
    assert decoder.buffered == 0
    assert decoder.stats.faults == {"gap": 1}
    assert decoder.stats.dropped_bytes == len(FALSE_HEAD)


@pytest.mark.parametrize("arrived", range(1, len(GOOD.wire)))
def test_giving_up_a_false_header_spares_the_frame_just_arriving(arrived: int) -> None:
    decoder = FrameDecoder()
    assert decoder.feed(FALSE_HEAD + GOOD.wire[:arrived]) == []
    assert decoder.give_up() + decoder.feed(GOOD.wire[arrived:]) == [GOOD.frame]


def test_giving_up_while_nothing_is_waited_for_does_nothing() -> None:
    decoder = FrameDecoder()
    decoder.feed(GOOD.wire)
    assert decoder.give_up() == []
    assert decoder.stats.faults == {}


@pytest.mark.parametrize(
    ("why", "wire"),
    [
        ("len", SYNC + b"\x00\x02\x00"),
        ("len", SYNC + b"\x10\x01\x00"),
        ("tail", GOOD.wire[:-2] + b"\x66\x88"),
        ("crc", GOOD.wire[:5] + b"\x00" + GOOD.wire[HEAD_SIZE:]),
        ("json", encode(Frame(0x22, b'{"a":'))),
        ("json", encode(Frame(0x22, b"[1]"))),
        ("json", encode(Frame(0x22, b'{"a":"\xff"}'))),
        ("json", encode(Frame(0x22, b'{"a":' + b"[" * 1500 + b"]" * 1500 + b"}"))),
        ("gap", GOOD.wire[:-1]),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_is_wrong_with_a_candidate_is_counted(why: str, wire: bytes) -> None:
    decoder = FrameDecoder()
    assert read_with(decoder, wire) == []
    assert decoder.stats.faults == {why: 1}
    assert decoder.stats.dropped_bytes == len(wire)
    assert read_with(decoder, GOOD.wire) == [GOOD.frame]
    assert decoder.stats.frames == 1


def test_no_command_byte_can_be_taken_for_part_of_the_framing() -> None:
    assert not set(machine.CODES) & {0x01, 0x55, *TAIL, 0x2A, 0xAA}


def _contains_in_order(found: list[Frame], wanted: list[Frame]) -> bool:
    rest = iter(found)
    return all(frame in rest for frame in wanted)
