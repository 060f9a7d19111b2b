"""Topic names: built and taken apart the same way; a name that MQTT would read as something else is refused."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.errors import Malformed
from protocol.topics import (
    FROM_CLOUD,
    FROM_DEVICE,
    MAX_DEVICE_UUID,
    Address,
    Channel,
    check_device_uuid,
    every,
    parse,
    topic,
)

BAD_NAMES = [
    *("", " ", "m 1", "m/1", "/", "+", "m+1", "#", "m#", "$SYS", "$m"),
    *("m\x00", "m\n", "m\t1", "\x7f", "m\u00a01", "m\u20281", "m\u200b1", "m\ud800", "m" * (MAX_DEVICE_UUID + 1)),
]

device_uuids = st.text(
    st.characters(exclude_categories=["C", "Z"], exclude_characters="/+#"), min_size=1, max_size=MAX_DEVICE_UUID
).filter(lambda text: text.isprintable() and not text.startswith("$"))
channels = st.sampled_from(Channel)


@given(device_uuid=device_uuids, channel=channels)
def test_a_topic_taken_apart_is_what_it_was_built_from(device_uuid: str, channel: Channel) -> None:
    assert parse(topic(device_uuid, channel)) == Address(device_uuid, channel)


@given(device_uuid=device_uuids, channel=channels)
def test_the_subscription_for_all_devices_matches_each_device(device_uuid: str, channel: Channel) -> None:
    assert every(channel).replace("+", device_uuid) == topic(device_uuid, channel)


@pytest.mark.parametrize("name", ["m-001", "m$1", "M.1:2_3", "кофе-1", "d" * MAX_DEVICE_UUID])
def test_a_makers_name_is_taken_as_it_is(name: str) -> None:
    assert check_device_uuid(name) == name
    assert parse(f"coffee/v1/{name}/command") == Address(name, Channel.COMMAND)


@pytest.mark.parametrize("name", BAD_NAMES)
def test_a_name_with_a_meaning_to_mqtt_is_refused_both_ways(name: str) -> None:
    with pytest.raises(Malformed):
        topic(name, Channel.STATE)
    with pytest.raises(Malformed):
        parse(f"coffee/v1/{name}/state")


@pytest.mark.parametrize(
    "text",
    [
        *("", "coffee", "coffee/v1", "coffee/v1/", "coffee/v1/m", "coffee/v1/m/", "coffee/v1//state"),
        *("coffee/v2/m/state", "Coffee/v1/m/state", "/coffee/v1/m/state", "x/coffee/v1/m/state", "tea/v1/m/state"),
        *("coffee/v1/m/State", "coffee/v1/m/states", "coffee/v1/m/state/", "coffee/v1/m/x/state", "coffee/v1/+/state"),
        "coffee/v1/coffee/v1/m/state",
    ],
)
def test_a_topic_that_is_none_of_ours_is_refused(text: str) -> None:
    with pytest.raises(Malformed):
        parse(text)


@given(
    text=st.text()
    | st.builds("coffee/v1/{}".format, st.text())
    | st.builds("coffee/v1/{}/{}".format, st.text(st.characters()), st.sampled_from(Channel))
)
def test_any_text_is_an_address_of_ours_or_malformed(text: str) -> None:
    try:
        address = parse(text)
    except Malformed:
        return
    assert topic(*address) == text


def test_every_channel_has_one_direction() -> None:
    assert sorted(FROM_CLOUD + FROM_DEVICE) == sorted(Channel)
