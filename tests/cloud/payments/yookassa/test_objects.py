"""YooKassa's objects as facts: every sample, every kind of damage."""

import json
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloud.payments.bounded_text import EVIDENCE_LIMIT
from cloud.payments.facts import Cancellation, ProviderStatus, RefundStatus, Unread
from cloud.payments.yookassa.objects import (
    Unreadable,
    amount_text,
    kopecks,
    page_of,
    payment_facts,
    refund_facts,
    shop_facts,
)
from tests.cloud.payments.samples_on_disk import names, sample

ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


def changed(name: str, **fields: object) -> dict[str, object]:
    return sample(name) | fields


@pytest.mark.parametrize("name", names("payments"))
def test_every_payment_sample_is_read(name: str) -> None:
    told: Any = sample(name)
    facts = payment_facts(told)
    assert facts.provider_payment_id == told["id"]
    assert amount_text(facts.amount) == told["amount"]["value"]
    assert facts.currency == "RUB"
    assert facts.test is told["test"]
    assert facts.account_id == told.get("recipient", {}).get("account_id")
    assert facts.metadata == told.get("metadata", {})
    assert facts.created_at is not None
    assert facts.created_at.isoformat(timespec="milliseconds") == told["created_at"].replace("Z", "+00:00")
    expected = told["status"].replace("waiting_for_capture", "held")
    assert facts.status.value == expected
    assert (facts.cancellation is not None) == (told["status"] == "canceled")
    assert facts.captured == (facts.amount if told["status"] == "succeeded" else 0)


@pytest.mark.parametrize("name", names("refunds"))
def test_every_refund_sample_is_read(name: str) -> None:
    told: Any = sample(name)
    facts = refund_facts(told)
    assert (facts.provider_refund_id, facts.provider_payment_id) == (told["id"], told["payment_id"])
    assert amount_text(facts.amount) == told["amount"]["value"]
    assert facts.status.value == told["status"]
    assert (facts.cancellation is not None) == (told["status"] == "canceled")


def test_a_hold_says_until_when_it_lasts() -> None:
    facts = payment_facts(sample("payments/waiting-for-capture"))
    assert facts.status is ProviderStatus.HELD
    assert facts.hold_expires_at == datetime(2026, 3, 9, 7, 15, 49, 484000, tzinfo=UTC)
    assert facts.method == "bank_card"


def test_a_pending_payment_says_where_the_buyer_goes() -> None:
    facts = payment_facts(sample("payments/pending-redirect-no-method"))
    assert facts.confirmation_url is not None
    assert facts.confirmation_url.startswith("https://yoomoney.ru/")
    assert facts.method is None


def test_a_partly_refunded_payment_says_how_much_went_back() -> None:
    facts = payment_facts(sample("payments/succeeded-partially-refunded"))
    assert (facts.amount, facts.captured, facts.refunded) == (15000, 15000, 5000)


def test_a_cancelled_refund_says_who_and_why() -> None:
    facts = refund_facts(sample("refunds/canceled-insufficient-funds"))
    assert facts.status is RefundStatus.CANCELED
    assert facts.cancellation == Cancellation("yoo_money", "insufficient_funds")


@pytest.mark.parametrize("name", names("me"))
def test_both_shapes_of_me_are_read(name: str) -> None:
    told = sample(name)
    facts = shop_facts(told)
    assert facts.account_id == told["account_id"]
    assert facts.enabled
    assert facts.test is True
    assert facts.fiscalization is told["fiscalization_enabled"]
    assert set(facts.methods) == {"bank_card", "yoo_money"}


def test_what_tomorrow_brings_is_read_today() -> None:
    told = changed(
        "payments/succeeded-bank-card", status="frozen", surprise={"a": [1]}, payment_method={"type": "digital_rouble"}
    )
    facts = payment_facts(told)
    assert facts.status is ProviderStatus.UNKNOWN_STATUS
    assert facts.method == "digital_rouble"
    assert facts.captured == 0
    assert refund_facts(changed("refunds/pending-sbp", status="thinking")).status is RefundStatus.UNKNOWN_STATUS


def test_the_barest_payment_is_enough() -> None:
    facts = payment_facts({"id": "p1", "status": "pending", "amount": {"value": "1.00", "currency": "RUB"}})
    assert (facts.test, facts.account_id, facts.created_at, facts.metadata) == (None, None, None, {})


@pytest.mark.parametrize("broken", [None, 1, "x", [], {}, {"currency": "RUB"}, {"value": "1.005", "currency": "RUB"}])
def test_a_payment_without_readable_money_is_unreadable(broken: object) -> None:
    with pytest.raises(Unreadable):
        payment_facts(changed("payments/succeeded-bank-card", amount=broken))


def test_a_refunded_amount_that_cannot_be_read_is_never_taken_for_zero() -> None:
    with pytest.raises(Unreadable):
        payment_facts(changed("payments/succeeded-bank-card", refunded_amount={"value": "many"}))


def test_times_without_a_zone_or_sense_are_not_said() -> None:
    for time in ("2026-03-02T07:15:20", "yesterday", 7, "0001-01-01T00:00:00+14:00"):
        assert payment_facts(changed("payments/pending-redirect", created_at=time)).created_at is None


def test_text_no_database_can_hold_is_replaced() -> None:
    facts = payment_facts(changed("payments/pending-redirect", metadata={"order_id": "a\0b\ud800c", "n": None}))
    assert facts.metadata == {"order_id": "a\ufffdb?c"}
    facts.raw.encode()


def test_the_evidence_holds_no_card_and_is_bounded() -> None:
    facts = payment_facts(sample("payments/succeeded-bank-card"))
    assert json.loads(facts.raw)["payment_method"]["type"] == "bank_card"
    assert "555555" not in facts.raw
    assert "4477" not in facts.raw
    assert facts.raw not in repr(facts)
    assert len(payment_facts(changed("payments/pending-redirect", noise="x" * 99_999)).raw) == EVIDENCE_LIMIT


def test_a_page_gives_its_items_and_its_cursor() -> None:
    first = page_of(payment_facts)(sample("lists/list-two-pages-1"))
    last = page_of(payment_facts)(sample("lists/list-two-pages-2"))
    assert first.next_cursor is not None
    assert last.next_cursor is None
    assert len(first.items) > 1
    assert first.unreadable == last.unreadable == ()


def test_a_broken_item_is_named_and_hides_no_other() -> None:
    page = page_of(payment_facts)({"type": "list", "items": [{"id": "p1"}, sample("payments/pending-sbp"), 7]})
    assert len(page.items) == 1
    assert page.unreadable == (Unread("no readable amount", "p1"), Unread("payment: not an object"))


@given(st.integers(min_value=0, max_value=999_999_999_999))
def test_kopecks_survive_the_trip_through_text(amount: int) -> None:
    text = amount_text(amount)
    assert kopecks(text) == amount
    assert text[-3] == "."


@pytest.mark.parametrize(
    ("told", "amount"), [("150", 15000), ("150.5", 15050), ("150.500", 15050), (150, 15000), (150.5, 15050)]
)
def test_other_spellings_of_an_amount_are_understood(told: object, amount: int) -> None:
    assert kopecks(told) == amount


@pytest.mark.parametrize(
    "told",
    ["", "1.001", "-1.00", "1e3", "1,00", " 1.00", "NaN", "٣.00", "1" * 11, 1e300, float("nan"), True, None, [], {}],
)
def test_what_is_not_whole_kopecks_is_no_amount(told: object) -> None:
    assert kopecks(told) is None


@given(st.sampled_from([payment_facts, refund_facts, shop_facts, page_of(payment_facts)]), ANY_JSON)
def test_reading_anything_gives_facts_or_unreadable(read: Any, told: object) -> None:
    with suppress(Unreadable):
        assert read(told) is not None


@given(st.sampled_from(sorted(sample("payments/succeeded-receipt-pending"))), ANY_JSON)
def test_any_one_field_may_hold_anything(field: str, value: object) -> None:
    try:
        facts = payment_facts(changed("payments/succeeded-receipt-pending", **{field: value}))
    except Unreadable:
        assert field in {"id", "amount", "refunded_amount"}
    else:
        facts.raw.encode()
