"""The document's worked example to the byte, by our side and by the merchant's, which was written separately."""

import hashlib
import hmac
import json
import re
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloud.payments.custom import calls as custom_calls
from cloud.payments.custom.objects import Told, payment_facts, told_of
from cloud.payments.custom.signature import (
    MAX_PAYLOAD,
    NotSigned,
    Purpose,
    WronglySigned,
    check,
    envelope,
    opened,
    payload_of,
    query_of,
    sign,
    signed_query,
)
from cloud.payments.facts import ProviderStatus
from cloud.payments.provider import NewPayment, Shop
from simulator.custom import signing as theirs

DOCUMENT = (Path(__file__).parents[4] / "docs" / "custom-payments.md").read_text(encoding="utf-8")
SECRET = "an-agreed-secret-of-forty-two-characters!!"
ORDER = "заказ 7/1"


def example(name: str) -> str:
    found = re.search(rf"<!-- example {name} -->\n```\n(.*?)\n```", DOCUMENT, re.S)
    assert found is not None
    return found[1]


def test_the_link_of_the_document_is_ours_byte_for_byte() -> None:
    payment = NewPayment(
        order_id=ORDER, device_uuid="m-001", payment="9f86d081884c7d659a2feaa0c55ad015", amount=17900,
        description=f"Латте, {ORDER}",
        return_url="https://coffee.example.org/v1/order-status-page?order_id=%D0%B7%D0%B0%D0%BA%D0%B0%D0%B7%207%2F1",
    )  # fmt: skip
    shop = Shop("north-coffee", SECRET)
    call = custom_calls.prepare_create(shop, payment, "k", 1772447400, "https://coffee.example.org/v1/custom-callback")
    link = "https://pay.north.example/coffee?" + signed_query(SECRET, Purpose.PAGE, call.body.decode())
    assert link == example("page")
    assert theirs.open_query(SECRET, "page", urlsplit(link).query)["order"] == ORDER


def test_a_signature_is_what_the_document_says_in_plain_words() -> None:
    query, _, signature = urlsplit(example("page")).query.rpartition("&signature=")
    signed = bytes.fromhex("636f666665652d637573746f6d2d3120706167650a") + query.encode()
    assert hmac.new(SECRET.encode(), signed, hashlib.sha256).hexdigest() == signature


def test_the_question_of_the_document_is_ours_byte_for_byte() -> None:
    path, _, query = example("status").partition("?")
    told = {name: values[0] for name, values in parse_qs(query).items()}
    parameters = [(name, told[name]) for name in ("account", "payment", "time", "nonce")]
    assert path == "GET /coffee/status"
    assert query == signed_query(SECRET, Purpose.STATUS, query_of(parameters))
    assert theirs.open_query(SECRET, "status", query)["nonce"] == "5d41402abc4b2a76b9719d911017c592"


def test_the_order_of_the_document_is_ours_byte_for_byte() -> None:
    name = "9f86d081884c7d659a2feaa0c55ad015.1772447400"
    shop = Shop("north-coffee", SECRET)
    key = "ref-9f86d081884c7d659a2feaa0c55ad015-1"
    call = custom_calls.prepare_refund(shop, name, 17900, key, "Возврат по заказу 7/1")
    body = envelope(SECRET, Purpose.ACTION, call.body.decode())
    assert json.loads(body) == json.loads(example("action"))
    assert theirs.open_envelope(SECRET, "action", body)["key"] == key


@pytest.mark.parametrize("name", ["answer", "callback"])
def test_what_the_merchant_says_in_the_document_is_understood(name: str) -> None:
    told = told_of(opened(SECRET, Purpose(name), example(name).encode()))
    facts = payment_facts(told)
    assert (facts.status, facts.amount, facts.captured, facts.account_id) == (
        ProviderStatus.SUCCEEDED, 17900, 17900, "north-coffee",
    )  # fmt: skip
    assert facts.metadata == {"order_id": ORDER, "payment": "9f86d081884c7d659a2feaa0c55ad015"}
    assert facts.refunded == (17900 if name == "callback" else 0)


@given(st.text(max_size=300))
def test_whatever_we_sign_the_other_side_opens(text: str) -> None:
    told = json.dumps({"text": text})
    assert theirs.open_envelope(SECRET, "action", envelope(SECRET, Purpose.ACTION, told)) == {"text": text}
    query = query_of([("text", text)])
    assert theirs.open_query(SECRET, "page", signed_query(SECRET, Purpose.PAGE, query)) == {"text": text}


@given(st.sampled_from(Purpose), st.sampled_from(Purpose), st.text(max_size=30), st.text(max_size=30))
def test_a_signature_is_good_for_one_text_and_one_purpose(
    one: Purpose, other: Purpose, text: str, another: str
) -> None:
    signature = sign(SECRET, one, text)
    if (one, text) == (other, another):
        check(SECRET, other, another, signature)
    else:
        with pytest.raises(WronglySigned):
            check(SECRET, other, another, signature)


@pytest.mark.parametrize(
    "body",
    [
        None,
        b"",
        b"\xff",
        b"[]",
        b"{}",
        b"[" * 100_000,
        b'{"payload": {}, "signature": "00"}',
        b'{"payload": "x", "signature": 5}',
        b'{"payload": "x", "signature": "' + b"F" * 64 + b'"}',
        b'{"payload": "' + b"x" * (MAX_PAYLOAD + 1) + b'", "signature": "' + b"f" * 64 + b'"}',
    ],
)
def test_what_is_no_envelope_is_said_to_be_none(body: bytes | None) -> None:
    with pytest.raises(NotSigned):
        payload_of(body)


def test_half_a_character_is_signed_by_nobody() -> None:
    body = b'{"payload": "\\ud800", "signature": "' + b"f" * 64 + b'"}'
    with pytest.raises(WronglySigned):
        opened(SECRET, Purpose.CALLBACK, body)


def test_a_told_payment_shows_what_it_is_and_no_more() -> None:
    told = told_of('{"account":"a","payment":"p.1","order":"o","status":"pending","amount":1,"card":"4111"}')
    assert told == Told("a", "p.1", "o", "pending", 1)
    assert "4111" not in payment_facts(told).raw
