"""Bytes of serial lines, good and bad, for the decoder's tests: strategies, and reading a line to its end."""

from collections.abc import Iterable
from itertools import pairwise

import msgspec
from hypothesis import strategies as st

from protocol import machine
from protocol.frames import Frame
from simulator.machine.framing import MAX_BODY, SYNC, FrameDecoder, encode

_json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**40), 2**40) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=8,
)
json_objects = st.dictionaries(st.text(max_size=10), _json_values, max_size=5).map(msgspec.json.encode)
"""Bodies with raw UTF-8 in them: harder on the decoder than the ASCII we send."""
frames = st.builds(Frame, st.sampled_from(sorted(machine.CODES)), json_objects)

_false_heads = st.builds(
    lambda length, rest: SYNC + length.to_bytes(2, "big") + rest,
    st.one_of(st.integers(0, 300), st.just(MAX_BODY), st.integers(0, 0xFFFF)),
    st.binary(max_size=8),
)
_half_frames = st.builds(lambda frame, cut: encode(frame)[: cut % len(encode(frame))], frames, st.integers(0, 500))
garbage = st.lists(
    st.binary(max_size=40) | _false_heads | _half_frames | st.sampled_from([b"\xaa", b"\xaa\x55", SYNC, b"\x88\x66"]),
    max_size=5,
).map(b"".join)
"""Noise of the nasty kind: false headers of every claimed length, halves of frames, pieces of sync and tail."""


def pieces(data: bytes, cuts: Iterable[int]) -> list[bytes]:
    """The data cut at these places."""
    places = sorted({0, len(data), *(cut % (len(data) + 1) for cut in cuts)})
    return [data[start:end] for start, end in pairwise(places)]


def read(*arrivals: bytes) -> list[Frame]:
    """Everything a decoder makes of these bytes, until the line is silent and nothing is waited for."""
    return [*read_with(FrameDecoder(), *arrivals)]


def read_with(decoder: FrameDecoder, *arrivals: bytes) -> list[Frame]:
    """The same, with a decoder that may have read before."""
    found: list[Frame] = []
    for arrival in arrivals:
        found += decoder.feed(arrival)
    while decoder.waiting:
        found += decoder.give_up()
    return found
