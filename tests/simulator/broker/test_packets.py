"""Bytes and packets: whatever is fed, the answer is a packet or a `Violation`; what is written reads back."""

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulator.broker import packets, properties, wire
from simulator.broker.packets import Publish, Splitter
from simulator.broker.properties import Place, Properties
from simulator.broker.reasons import Reason, Violation

_TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=40)
_MESSAGE_PROPERTIES = st.builds(
    Properties,
    payload_format=st.none() | st.integers(0, 1),
    message_expiry=st.none() | st.integers(0, 2**32 - 1),
    content_type=st.none() | _TEXTS,
    response_topic=st.none() | _TEXTS,
    correlation_data=st.none() | st.binary(max_size=40),
    topic_alias=st.none() | st.integers(1, 65_535),
    user=st.lists(st.tuples(_TEXTS, _TEXTS), max_size=3).map(tuple),
)
_PUBLISHES = st.builds(
    Publish,
    topic=st.sampled_from(["a", "a/b", "кофе"]),
    payload=st.binary(max_size=200),
    qos=st.just(1),
    retain=st.booleans(),
    dup=st.booleans(),
    packet_id=st.integers(1, 65_535),
    properties=_MESSAGE_PROPERTIES,
)
_CONNECT = bytes.fromhex("100d00044d5154540502003c000000")


@given(st.integers(0, 255), st.binary(max_size=80), st.sampled_from([4, 5]))
def test_any_body_is_a_packet_or_a_violation(first: int, body: bytes, version: int) -> None:
    with suppress(Violation):
        packets.parse(first, body, version)


@given(st.binary(max_size=200))
def test_any_stream_is_split_or_refused(data: bytes) -> None:
    splitter = Splitter(100)
    with suppress(Violation):
        for _, body in splitter.feed(_CONNECT + data):
            assert len(body) <= 100


@given(st.lists(_PUBLISHES, max_size=4), st.data())
def test_a_stream_gives_the_same_packets_however_it_is_cut(sent: list[Publish], data: st.DataObject) -> None:
    stream = _CONNECT + b"".join(packets.publish(5, packet) for packet in sent)
    splitter, found, rest = Splitter(1 << 20), [], stream
    while rest:
        size = data.draw(st.integers(1, len(rest)))
        found += list(splitter.feed(rest[:size]))
        rest = rest[size:]
    assert [packets.parse(first, body, 5) for first, body in found[1:]] == sent


@given(_MESSAGE_PROPERTIES)
def test_properties_are_read_as_they_were_written(made: Properties) -> None:
    cursor = wire.Cursor(properties.write(made))
    assert properties.read(cursor, Place.PUBLISH) == made
    assert not cursor.left


@given(st.integers(0, wire.LARGEST_VARINT))
def test_variable_integers_are_read_as_they_were_written(value: int) -> None:
    assert wire.Cursor(wire.varint(value)).varint() == value


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"\x05\x02\0\0\0\1", None),
        (b"\x0a\x02\0\0\0\1\x02\0\0\0\1", Reason.PROTOCOL_ERROR),
        (b"\3\x23\0\0", Reason.PROTOCOL_ERROR),
        (b"\2\1\2", Reason.PROTOCOL_ERROR),
        (b"\2\x7f\1", Reason.PROTOCOL_ERROR),
        (b"\2\3\0", Reason.MALFORMED),
    ],
    ids=["good", "twice", "alias zero", "flag of two", "unknown", "too short"],
)
def test_properties_are_judged(data: bytes, reason: Reason | None) -> None:
    if reason is None:
        properties.read(wire.Cursor(data), Place.PUBLISH)
        return
    with pytest.raises(Violation) as raised:
        properties.read(wire.Cursor(data), Place.PUBLISH)
    assert raised.value.reason is reason
