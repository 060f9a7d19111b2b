"""Which filter matches which topic, and what is no filter or topic at all."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from paho.mqtt.client import topic_matches_sub

from simulator.broker import topics

_LEVELS = st.sampled_from(["a", "b", "", "$c"])
_NAMES = st.lists(_LEVELS, min_size=1, max_size=5).map("/".join).filter(topics.is_name)
_FILTERS = (
    st.lists(_LEVELS | st.just("+"), min_size=1, max_size=5)
    .flatmap(lambda levels: st.sampled_from([levels, [*levels, "#"], ["#"]]))
    .map("/".join)
    .filter(topics.is_filter)
)


@given(_FILTERS, _NAMES)
def test_matching_agrees_with_an_independent_judge(wanted: str, name: str) -> None:
    assert topics.matches(wanted, name) == topic_matches_sub(wanted, name)


@pytest.mark.parametrize(
    ("wanted", "name"), [("a/#", "a"), ("+", "a"), ("+/b", "/b"), ("#", "a/b"), ("$SYS/#", "$SYS/up"), ("a/+", "a/")]
)
def test_these_match(wanted: str, name: str) -> None:
    assert topics.matches(wanted, name)


@pytest.mark.parametrize(
    ("wanted", "name"), [("+", "a/b"), ("#", "$SYS/up"), ("+/up", "$SYS/up"), ("a/+", "a"), ("a", "A"), ("a", "a/")]
)
def test_these_do_not_match(wanted: str, name: str) -> None:
    assert not topics.matches(wanted, name)


@pytest.mark.parametrize("wanted", ["", "a#", "#/a", "a/+b", "a\0b", "++"])
def test_these_are_no_filters(wanted: str) -> None:
    assert not topics.is_filter(wanted)


@pytest.mark.parametrize(
    ("wanted", "parts"),
    [
        ("a/b", (None, "a/b")),
        ("$share/g/a/+", ("g", "a/+")),
        ("$share/g", ("g", "")),
        ("$share//a", ("", "")),
        ("$share/g+/a", ("g+", "")),
    ],
)
def test_the_group_is_taken_off_a_shared_filter(wanted: str, parts: tuple[str | None, str]) -> None:
    assert topics.split_share(wanted) == parts
