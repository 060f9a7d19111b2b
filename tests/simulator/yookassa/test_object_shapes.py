"""Our objects have exactly the fields and kinds of values of the published samples."""

import re
from collections.abc import Callable
from typing import Any

import pytest

from simulator.yookassa import YooKassaSimulator
from simulator.yookassa.behaviour import Behaviour
from tests.simulator.yookassa.shop import SBP, TestShop, sample

ID = re.compile(r"[0-9a-f]{8}-00(0f|15)-5000-[89ab]000-[0-9a-f]{12}")
MOMENT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")
VALUE = re.compile(r"\d+\.\d\d")
Make = Callable[[TestShop, YooKassaSimulator], dict[str, Any]]


def shape(value: Any) -> Any:
    """Names and kinds of values, all the way down."""
    if isinstance(value, dict):
        return {name: shape(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [shape(inner) for inner in value]
    for kind, pattern in (("id", ID), ("moment", MOMENT), ("money", VALUE)):
        if isinstance(value, str) and pattern.fullmatch(value):
            return kind
    return type(value).__name__


def declined(shop: TestShop, _simulator: YooKassaSimulator) -> dict[str, Any]:
    payment_id = shop.create()["id"]
    shop.sim("POST", f"/decline/{payment_id}", {"reason": "insufficient_funds"})
    return shop.payment(payment_id)


def canceled(shop: TestShop, _simulator: YooKassaSimulator) -> dict[str, Any]:
    payment_id = shop.paid()["id"]
    shop.post(f"/payments/{payment_id}/cancel")
    return shop.payment(payment_id)


def hold_expired(shop: TestShop, simulator: YooKassaSimulator) -> dict[str, Any]:
    payment_id = shop.paid()["id"]
    simulator.advance(7 * 86_400)
    return shop.payment(payment_id)


def never_paid(shop: TestShop, simulator: YooKassaSimulator) -> dict[str, Any]:
    payment_id = shop.create()["id"]
    simulator.advance(3600)
    return shop.payment(payment_id)


def partly_captured(shop: TestShop, _simulator: YooKassaSimulator) -> dict[str, Any]:
    payment_id = shop.paid()["id"]
    shop.post(f"/payments/{payment_id}/capture", {"amount": {"value": "120.00", "currency": "RUB"}})
    return shop.payment(payment_id)


def refunded(value: str) -> Make:
    def make(shop: TestShop, _simulator: YooKassaSimulator) -> dict[str, Any]:
        payment_id = shop.captured()["id"]
        assert shop.refund(payment_id, value).status_code == 200
        return shop.payment(payment_id)

    return make


def with_receipt(seconds: float) -> Make:
    def make(shop: TestShop, simulator: YooKassaSimulator) -> dict[str, Any]:
        payment = shop.captured(receipt=sample("requests/create-payment-coffee-two-stage-receipt")["receipt"])
        simulator.advance(seconds)
        return shop.payment(payment["id"])

    return make


@pytest.mark.parametrize(
    ("name", "make"),
    [
        ("pending-redirect", lambda shop, _: shop.payment(shop.create()["id"])),
        ("waiting-for-capture", lambda shop, _: shop.paid()),
        ("succeeded-bank-card", lambda shop, _: shop.captured()),
        ("succeeded-sbp", lambda shop, _: shop.captured(**SBP)),
        ("succeeded-partially-captured", partly_captured),
        ("succeeded-partially-refunded", refunded("50.00")),
        ("succeeded-fully-refunded", refunded("150.00")),
        ("succeeded-receipt-pending", with_receipt(0)),
        ("succeeded-receipt-succeeded", with_receipt(60)),
        ("canceled-insufficient-funds", declined),
        ("canceled-by-merchant", canceled),
        ("canceled-expired-on-capture", hold_expired),
        ("canceled-expired-never-opened", never_paid),
    ],
)
def test_a_payment_looks_like_its_sample(shop: TestShop, simulator: YooKassaSimulator, name: str, make: Make) -> None:
    ours, published = make(shop, simulator), sample(f"payments/{name}")
    assert shape(ours) == shape(published)
    same = ("status", "amount", "paid", "refundable", "metadata", "description", "recipient", "cancellation_details")
    for field in (*same, "refunded_amount", "receipt_registration"):
        assert ours.get(field) == published.get(field), field
    assert ours["test"] is True


def refund(shop: TestShop, value: str = "150.00", **changes: Any) -> dict[str, Any]:
    made: dict[str, Any] = shop.refund(shop.captured(**changes)["id"], value, description="Напиток не выдан").json()
    return made


def settled_sbp(shop: TestShop, simulator: YooKassaSimulator) -> dict[str, Any]:
    refund_id = refund(shop, **SBP)["id"]
    simulator.advance(86_400)
    settled: dict[str, Any] = shop.get(f"/refunds/{refund_id}").json()
    return settled


def failed(shop: TestShop, simulator: YooKassaSimulator) -> dict[str, Any]:
    simulator.behaviour = Behaviour(refund_failure="insufficient_funds")
    return refund(shop)


@pytest.mark.parametrize(
    ("name", "make"),
    [
        ("succeeded-card-full", lambda shop, _: refund(shop)),
        ("succeeded-card-partial", lambda shop, _: refund(shop, "50.00")),
        ("pending-sbp", lambda shop, _: refund(shop, **SBP)),
        ("succeeded-sbp", settled_sbp),
        ("canceled-insufficient-funds", failed),
    ],
)
def test_a_refund_looks_like_its_sample(shop: TestShop, simulator: YooKassaSimulator, name: str, make: Make) -> None:
    ours, published = make(shop, simulator), sample(f"refunds/{name}")
    assert shape(ours) == shape(published)
    for field in ("status", "amount", "description", "cancellation_details"):
        assert ours.get(field) == published.get(field), field


def test_an_id_starts_with_its_second_as_in_the_samples(shop: TestShop) -> None:
    ours, published = shop.create(), sample("payments/pending-redirect")
    assert ours["created_at"] == published["created_at"]
    assert ours["id"][:18] == published["id"][:18] == "31374cc8-000f-5000"


def test_the_shop_gets_the_amount_less_the_fee_and_its_vat(shop: TestShop) -> None:
    assert shop.captured()["income_amount"]["value"] == "143.59"
    assert shop.captured(**SBP)["income_amount"]["value"] == "149.27"
