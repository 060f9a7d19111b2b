"""Prepared calls: what is sent, and what is refused before it is sent."""

import json
from dataclasses import replace
from typing import Any

import pytest

from cloud.fleet.receipt_terms import terms_of
from cloud.payments.provider import (
    CaptureMode,
    FiscalReceipt,
    InvalidRequest,
    NewPayment,
    Operation,
    PreparedCall,
    Shop,
)
from cloud.payments.yookassa.calls import (
    check_metadata,
    prepare_cancel,
    prepare_capture,
    prepare_create,
    prepare_refund,
)
from cloud.payments.yookassa.receipts import receipt_object

SHOP = Shop("100500", "test_secret")
COFFEE = NewPayment(
    order_id="ord-1",
    device_uuid="m-001",
    payment="pay-1",
    amount=15050,
    description="Капучино 200 мл",
    return_url="https://pay.example.com/v1/order-status-page?order_id=ord-1",
)
ID = "31374cc8-000f-5000-8000-1a2b3c4d5e6f"


def body_of(call: PreparedCall) -> Any:
    return json.loads(call.body)


def test_a_payment_is_created_with_everything_said() -> None:
    call = prepare_create(SHOP, COFFEE, "pay-1.1")
    assert (call.operation, call.path, call.key) == (Operation.CREATE, "/payments", "pay-1.1")
    assert body_of(call) == {
        "amount": {"value": "150.50", "currency": "RUB"},
        "capture": False,
        "confirmation": {"type": "redirect", "return_url": COFFEE.return_url},
        "description": "Капучино 200 мл",
        "metadata": {"order_id": "ord-1", "device_uuid": "m-001", "payment": "pay-1"},
    }


def test_capture_is_said_for_both_modes() -> None:
    at_once = replace(SHOP, capture=CaptureMode.IMMEDIATE)
    assert body_of(prepare_create(SHOP, COFFEE, "k"))["capture"] is False
    assert body_of(prepare_create(at_once, COFFEE, "k"))["capture"] is True


def test_a_receipt_travels_along() -> None:
    receipt = FiscalReceipt(terms_of({"vat_code": 1}, None) | {"description": "Кофе"}, 15050, "buyer@example.com")
    said = receipt_object(receipt.terms, receipt.amount, receipt.email)
    call = prepare_create(SHOP, replace(COFFEE, receipt=receipt), "k")
    assert body_of(call)["receipt"] == said
    assert "buyer@example.com" not in repr(call)
    assert body_of(prepare_refund(ID, 100, "k", receipt=receipt))["receipt"] == receipt_object(
        receipt.terms, 15050, receipt.email
    )


def test_the_same_payment_prepares_the_same_bytes() -> None:
    assert prepare_create(SHOP, COFFEE, "k") == prepare_create(SHOP, COFFEE, "k")


def test_a_hold_is_captured_whole() -> None:
    assert body_of(prepare_capture(ID, "k")) == {}
    assert prepare_capture(ID, "k").path == f"/payments/{ID}/capture"


def test_a_hold_is_cancelled_and_a_taken_payment_refunded() -> None:
    cancel, refund = prepare_cancel(ID, "k"), prepare_refund(ID, 15050, "k", "Напиток не выдан")
    assert (cancel.operation, cancel.path, body_of(cancel)) == (Operation.CANCEL, f"/payments/{ID}/cancel", {})
    assert (refund.operation, refund.path) == (Operation.REFUND, "/refunds")
    assert body_of(refund) == {
        "payment_id": ID,
        "amount": {"value": "150.50", "currency": "RUB"},
        "description": "Напиток не выдан",
    }


@pytest.mark.parametrize(
    ("parameter", "payment"),
    [
        ("amount", replace(COFFEE, amount=99)),
        ("amount", replace(COFFEE, amount=-15050)),
        ("description", replace(COFFEE, description="я" * 129)),
        ("metadata.order_id", replace(COFFEE, order_id="o" * 513)),
        ("return_url", replace(COFFEE, return_url="https://e.org/" + "a" * 2035)),
        ("return_url", replace(COFFEE, return_url="javascript:alert(1)")),
        ("return_url", replace(COFFEE, return_url="https:///nohost")),
        ("return_url", replace(COFFEE, return_url="https://e.org/я")),
        ("return_url", replace(COFFEE, return_url="https://[broken/")),
        ("body", replace(COFFEE, description="\ud800")),
        ("receipt.items.description", replace(COFFEE, receipt=FiscalReceipt({}, 100, "buyer@example.com"))),
    ],
)
def test_what_would_be_refused_is_refused_before_it_is_sent(parameter: str, payment: NewPayment) -> None:
    with pytest.raises(InvalidRequest) as refused:
        prepare_create(SHOP, payment, "k")
    assert refused.value.parameter == parameter


def test_the_limits_themselves_are_allowed() -> None:
    prepare_create(SHOP, replace(COFFEE, amount=100, description="я" * 128, order_id="o" * 512), "k" * 64)
    check_metadata({f"{n:032d}": "v" * 512 for n in range(16)})


def test_metadata_has_its_limits() -> None:
    for metadata in ({str(n): "" for n in range(17)}, {"k" * 33: ""}, {"": ""}, {"k": "v" * 513}):
        with pytest.raises(InvalidRequest):
            check_metadata(metadata)


@pytest.mark.parametrize("key", ["", "k" * 65, "a b", "a\r\nX: y", "ключ"])
def test_a_key_the_provider_would_not_take_is_refused(key: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        prepare_cancel(ID, key)
    assert refused.value.parameter == "Idempotence-Key"


@pytest.mark.parametrize("provider_payment_id", ["", "..", "a/b", "a?b", "a\n", "x" * 65])
def test_an_id_cannot_leave_its_place_in_the_path(provider_payment_id: str) -> None:
    for prepare in (prepare_cancel, prepare_capture):
        with pytest.raises(InvalidRequest):
            prepare(provider_payment_id, "k")
    with pytest.raises(InvalidRequest):
        prepare_refund(provider_payment_id, 100, "k")


def test_a_shop_never_shows_its_secret() -> None:
    assert "test_secret" not in repr(SHOP)
    assert "test_secret" not in str(SHOP)
