"""Who sent a notification, and what it speaks of."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloud.http.addresses import MAX_HOPS, client_address, parse_networks, parse_senders
from cloud.payments.notification import MAX_NOTIFICATION_BYTES, NotANotification, Notification
from cloud.payments.yookassa.notification import is_from_provider, parse_notification
from cloud.settings import YOOKASSA_SENDERS
from tests.cloud.payments.samples_on_disk import SAMPLES, names, sample

SENDERS = parse_senders(YOOKASSA_SENDERS)
PROXY = parse_networks("10.0.0.0/8, 127.0.0.1")
THEIRS = "185.71.76.5"
STRANGER = "203.0.113.9"
GOOD = [name for name in names("webhooks") if "bad-" not in name]


def caller(remote: str | None, forwarded: str | None) -> str:
    return str(client_address(remote, forwarded, PROXY))


@pytest.mark.parametrize(
    "address",
    [THEIRS, "185.71.77.31", "77.75.153.127", "77.75.154.200", "77.75.156.11", "77.75.156.35", "2a02:5180::1"],
)
def test_published_addresses_are_the_provider(address: str) -> None:
    assert is_from_provider(address, None, (), SENDERS)


@pytest.mark.parametrize(
    "address", [STRANGER, "185.71.76.32", "77.75.154.127", "77.75.156.12", "2a02:5181::1", "", "x", None]
)
def test_others_are_not(address: str | None) -> None:
    assert not is_from_provider(address, None, (), SENDERS)


def test_an_ipv4_address_inside_ipv6_is_unwrapped() -> None:
    assert is_from_provider(f"::ffff:{THEIRS}", None, (), SENDERS)
    assert is_from_provider("::ffff:10.1.2.3", f"::ffff:{THEIRS}", PROXY, SENDERS)


def test_forwarded_for_counts_only_from_a_trusted_proxy() -> None:
    assert is_from_provider("10.1.2.3", THEIRS, PROXY, SENDERS)
    assert not is_from_provider(STRANGER, THEIRS, PROXY, SENDERS)
    assert not is_from_provider("10.1.2.3", THEIRS, (), SENDERS)


def test_the_rightmost_hop_that_is_not_ours_is_the_caller() -> None:
    assert caller("10.1.2.3", f"{THEIRS}, {STRANGER}") == STRANGER
    assert caller("10.1.2.3", f"{STRANGER}, {THEIRS}, 10.9.9.9") == THEIRS
    assert not is_from_provider("10.1.2.3", f"{THEIRS}, {STRANGER}, 10.9.9.9", PROXY, SENDERS)


def test_a_hop_nobody_can_read_ends_the_search_with_nobody() -> None:
    assert caller("10.1.2.3", f"{THEIRS}, unknown") == "None"
    assert caller("10.1.2.3", f"{THEIRS}, 10.1.1.1, ") == "None"


def test_when_every_hop_is_ours_the_first_of_them_called() -> None:
    assert caller("10.1.2.3", "10.7.7.7, 10.8.8.8") == "10.7.7.7"
    assert caller("10.1.2.3", None) == caller("10.1.2.3", "") == "10.1.2.3"


def test_ports_and_brackets_are_taken_off() -> None:
    assert caller("10.1.2.3", f"{THEIRS}:51234") == THEIRS
    assert caller("10.1.2.3", "[2a02:5180::1]:443") == "2a02:5180::1"


def test_an_endless_header_is_read_only_at_its_right_end() -> None:
    hops = ", ".join([THEIRS] + ["10.1.1.1"] * (MAX_HOPS + 5))
    assert caller("10.1.2.3", hops) == "10.1.1.1"
    assert caller("10.1.2.3", ", ".join([THEIRS] + ["10.1.1.1"] * (MAX_HOPS - 1))) == THEIRS


def test_a_star_switches_the_check_off() -> None:
    assert parse_senders(" * ") is None
    assert is_from_provider(None, None, (), None)


def test_no_networks_means_nobody_and_a_wrong_one_is_named() -> None:
    assert not is_from_provider(THEIRS, None, (), parse_senders(""))
    with pytest.raises(ValueError, match=r"300\.1"):
        parse_networks("10.0.0.0/8, 300.1.1.1")


@given(st.text(max_size=80), st.text(alphabet="0123456789abcdef:.,[]% ", max_size=80))
def test_no_text_upsets_the_address_check(remote: str, forwarded: str) -> None:
    client_address(remote, forwarded, PROXY)
    client_address("127.0.0.1", forwarded, PROXY)


@pytest.mark.parametrize("name", GOOD)
def test_every_notification_sample_is_read(name: str) -> None:
    told: Any = sample(name)
    notification = parse_notification((SAMPLES / f"{name}.json").read_bytes())
    assert notification.event == told["event"]
    assert notification.dedupe_key == f"{told['event']}|{told['object']['id']}|{told['object']['status']}"
    assert json.loads(notification.body) == told
    assert notification.account_id == told["object"].get("recipient", {}).get("account_id", "")


def test_a_refund_names_its_payment_and_a_stranger_names_none() -> None:
    def notification(name: str) -> Notification:
        return parse_notification((SAMPLES / "webhooks" / f"{name}.json").read_bytes())

    assert notification("refund.succeeded").provider_payment_id == "31374cc8-000f-5000-8000-1a2b3c4d5e6f"
    payment = notification("payment.succeeded-sbp")
    assert payment.provider_payment_id == payment.dedupe_key.split("|")[1]
    assert notification("payment_method.active").provider_payment_id == ""
    assert notification("unknown-event").provider_payment_id


def envelope(**changes: object) -> bytes:
    told: dict[str, object] = {"event": "payment.succeeded", "object": {"id": "p-1", "status": "succeeded"}}
    return json.dumps(told | changes).encode()


def test_a_notification_without_a_status_is_still_one() -> None:
    assert parse_notification(envelope(object={"id": "p-1"})).dedupe_key == "payment.succeeded|p-1|"
    assert parse_notification(envelope(object={"id": "p-1", "status": "a|b"})).dedupe_key == "payment.succeeded|p-1|"


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"null",
        b"[]",
        b"{",
        b"\xff\xfe",
        b"[" * 60_000,
        b'{"event":"payment.succeeded"}',
        b"1" * 6000,
        envelope(event=None),
        envelope(event="payment"),
        envelope(event="payment.a|b"),
        envelope(event="payment." + "x" * 33),
        envelope(object=[]),
        envelope(object={}),
        envelope(object={"id": 7}),
        envelope(object={"id": "../refunds"}),
        envelope(object={"id": "x" * 65}),
        envelope(object={"id": "a\0"}),
        envelope(object={"id": "a\n"}),
        envelope() + b" " * MAX_NOTIFICATION_BYTES,
        (SAMPLES / "webhooks" / "bad-missing-object.json").read_bytes(),
    ],
)
def test_what_is_no_notification_is_called_that(body: bytes) -> None:
    with pytest.raises(NotANotification):
        parse_notification(body)


def parsed(body: bytes) -> Notification | None:
    try:
        return parse_notification(body)
    except NotANotification:
        return None


@given(st.binary(max_size=400))
def test_arbitrary_bytes_raise_nothing_else(body: bytes) -> None:
    assert parsed(body) is None


@given(st.text(max_size=80), st.text(max_size=80), st.text(max_size=80) | st.integers() | st.none())
def test_arbitrary_fields_give_a_bounded_key_or_nothing(event: str, object_id: str, status: object) -> None:
    notification = parsed(envelope(event=event, object={"id": object_id, "status": status}))
    assert notification is None or (len(notification.dedupe_key) <= 200 and notification.dedupe_key.count("|") == 2)


@given(st.from_regex(r"[a-z_]{1,20}\.[a-z_]{1,20}", fullmatch=True), st.from_regex(r"[0-9a-f-]{1,64}", fullmatch=True))
def test_well_formed_news_is_always_read(event: str, object_id: str) -> None:
    notification = parsed(envelope(event=event, object={"id": object_id}))
    assert notification is not None or event.startswith("_") or "._" in event
