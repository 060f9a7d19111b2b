"""JSON of strangers: read as the usual parser reads it, but never deeper than a small stack holds."""

import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.errors import Malformed
from protocol.json_text import MAX_DEPTH, NotJson, decode, loads
from protocol.messages import decode_report

LEAVES = st.none() | st.booleans() | st.integers() | st.text(alphabet='[]{}"\\aё\n')
VALUES = st.recursive(LEAVES, lambda inner: st.lists(inner) | st.dictionaries(st.text('[]{}"\\'), inner), max_leaves=30)


def nested(depth: int, inside: str = "") -> str:
    return "[" * depth + inside + "]" * depth


def depth_of(value: object) -> int:
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else None
    return 0 if inner is None else 1 + max(map(depth_of, inner), default=0)


@given(VALUES, st.sampled_from(["utf-8", "utf-16", "utf-32-be"]), st.integers(0, MAX_DEPTH + 1))
def test_depth_alone_is_added_to_what_the_usual_parser_refuses(value: object, encoding: str, more: int) -> None:
    text = nested(more, json.dumps([value, *["[" * 40] * 2], ensure_ascii=False))  # brackets enough to be looked at
    body = text.encode(encoding)
    if depth_of(json.loads(text)) > MAX_DEPTH:
        for written in (body, text):
            with pytest.raises(NotJson):
                loads(written)
        with pytest.raises(NotJson):
            decode(text.encode(), object)
    else:
        assert loads(body) == loads(text) == decode(text.encode(), object) == json.loads(text)


@pytest.mark.parametrize(
    "text",
    [
        nested(MAX_DEPTH + 1), "[" * 100_000, '{"a":' * 5000, '["]",' * 5000, '["\\"]",' * 5000, '["\\\\",' * 5000,
        '"' + '\\"' * 60_000, '"' * 60_001, "[" * 40 + '"' + "\\", nested(40, '"\\'), "]" * 50 + "[" * 50,
    ],
)  # fmt: skip
def test_one_error_for_whatever_is_wrong(text: str) -> None:
    for body in (text, text.encode()):
        with pytest.raises(NotJson):
            loads(body)
        with pytest.raises(NotJson):
            decode(body, object)


@pytest.mark.parametrize("body", [b"", b"\xff", b'"\xed\xa0\x80"', b"9" * 5000 + b"x", "\ud800"])
def test_what_is_no_text_is_no_json_either(body: bytes | str) -> None:
    with pytest.raises(NotJson):
        loads(body)
    with pytest.raises(NotJson):
        decode(body, object)


def test_a_field_nobody_knows_is_no_way_around() -> None:
    """A typed parser skips it, level by level."""

    class Known(msgspec.Struct):
        a: int = 0

    assert decode(b'{"x": [[1]], "a": 2}', Known).a == 2
    with pytest.raises(NotJson):
        decode(b'{"a": 2, "x": ' + nested(MAX_DEPTH).encode() + b"}", Known)
    with pytest.raises(Malformed):
        decode_report(b'{"v": 1, "kind": "hello", "x": ' + b"[" * 4000)


def test_numbers_can_be_kept_as_they_were_written() -> None:
    assert loads(b'{"Amount": 1.10, "x": NaN}', number=str) == {"Amount": "1.10", "x": "NaN"}
