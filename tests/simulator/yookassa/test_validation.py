"""Bodies the provider refuses, with the answers it refuses them with."""

from typing import Any

import pytest

from tests.simulator.yookassa.shop import COFFEE, SBP, TestShop, error_of, sample, sample_error


def receipt(**item: Any) -> dict[str, Any]:
    whole: dict[str, Any] = sample("requests/create-payment-coffee-two-stage-receipt")["receipt"]
    return whole | {"items": [whole["items"][0] | item]}


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"description": "x" * 129}, "400-description-too-long"),
        ({"metadata": {str(n): "x" for n in range(17)}}, "400-metadata-too-many-keys"),
        ({"confirmation": {"type": "redirect"}}, "400-return-url-missing"),
        ({"amount": {"value": "150.00", "currency": "USD"}}, "400-currencies-do-not-match"),
        ({"save_payment_method": True}, "403-forbidden-recurring"),
        ({"receipt": {}}, "400-receipt-missing"),
        ({"receipt": receipt(amount={"value": "149.00", "currency": "RUB"})}, "400-receipt-missing"),
        ({"receipt": receipt(payment_subject="coffee")}, "400-invalid-payment-subject"),
    ],
)
def test_documented_errors_are_worded_as_documented(shop: TestShop, change: dict[str, Any], error: str) -> None:
    assert error_of(shop.post("/payments", COFFEE | change)) == sample_error(error)
    assert shop.get("/payments").json()["items"] == []


@pytest.mark.parametrize(
    ("change", "parameter"),
    [
        ({"amount": None}, "amount"),
        ({"amount": {"value": 150.0, "currency": "RUB"}}, "amount.value"),
        ({"amount": {"value": "0.99", "currency": "RUB"}}, "amount.value"),
        ({"amount": {"value": "1.001", "currency": "RUB"}}, "amount.value"),
        ({"amount": {"value": "-5.00", "currency": "RUB"}}, "amount.value"),
        ({"amount": {"value": "١٥٠", "currency": "RUB"}}, "amount.value"),
        ({"amount": {"value": "700000.01", "currency": "RUB"}}, "amount.value"),
        ({"amount": {"value": "150.00"}}, "amount.currency"),
        ({"capture": "true"}, "capture"),
        ({"description": 7}, "description"),
        ({"metadata": ["x"]}, "metadata"),
        ({"metadata": {"k" * 33: "x"}}, "metadata"),
        ({"metadata": {"k": "x" * 513}}, "metadata.k"),
        ({"metadata": {"k": 1}}, "metadata.k"),
        ({"client_ip": "999.1.1.1"}, "client_ip"),
        ({"merchant_customer_id": "x" * 201}, "merchant_customer_id"),
        ({"confirmation": {"type": "smoke"}}, "confirmation.type"),
        ({"confirmation": "redirect"}, "confirmation.type"),
        ({"confirmation": {"type": "redirect", "return_url": "javascript:alert(1)"}}, "confirmation.return_url"),
        ({"confirmation": {"type": "redirect", "return_url": "https://x/" + "y" * 2048}}, "confirmation.return_url"),
        ({"confirmation": {"type": "redirect", "return_url": "http://[bad"}}, "confirmation.return_url"),
        ({"confirmation": {"type": "redirect", "return_url": "x:y", "locale": "fr_FR"}}, "confirmation.locale"),
        ({"payment_method_data": {"type": "carrier_pigeon"}}, "payment_method_data.type"),
        ({"payment_method_data": {"type": "sbp"}}, "capture"),
        ({"payment_token": "x", "payment_method_data": {"type": "bank_card"}}, "payment_token"),
        ({"payment_method_id": "x"}, "payment_method_id"),
        ({"receipt": receipt(quantity="NaN")}, "receipt.items.quantity"),
        ({"receipt": receipt(vat_code=13)}, "receipt.items.vat_code"),
        ({"receipt": receipt(description="")}, "receipt.items.description"),
    ],
)
def test_an_illegal_value_is_refused_naming_its_parameter(
    shop: TestShop, change: dict[str, Any], parameter: str
) -> None:
    answer = shop.post("/payments", COFFEE | change)
    assert (answer.status_code, answer.json()["parameter"]) == (400, parameter)
    assert answer.json()["code"] == "invalid_request"


@pytest.mark.parametrize("body", [b"{", b"[]", b'"x"', b"\xff\xfe", b"null"])
def test_what_is_not_a_json_object_is_refused(shop: TestShop, body: bytes) -> None:
    assert error_of(shop.post("/payments", body)) == sample_error("400-bad-json")


@pytest.mark.parametrize(
    "change",
    [
        {"amount": {"value": "1.00", "currency": "RUB"}},
        {"amount": {"value": "350000", "currency": "RUB"}},
        {"description": "ж" * 128},
        {"metadata": {"k" * 32: "x" * 512, "nothing": None}},
        {"metadata": None, "description": None},
        {"client_ip": "2001:db8::1"},
        {"confirmation": None},
        {"confirmation": {"type": "mobile_application", "return_url": "coffee://back"}},
        {"confirmation": {"type": "embedded"}},
        {"receipt": receipt(quantity="1.00", vat_code="2")},
        {"some_future_field": {"x": 1}},
    ],
)
def test_the_edges_of_what_is_allowed_are_allowed(shop: TestShop, change: dict[str, Any]) -> None:
    assert shop.create(**change)["status"] == "pending"


@pytest.mark.parametrize(
    "name",
    ["create-payment-coffee-one-stage", "create-payment-quickstart", "create-payment-sbp", "create-payment-sbp-qr"],
)
def test_the_published_requests_are_accepted(shop: TestShop, name: str) -> None:
    answer = shop.post("/payments", sample(f"requests/{name}"))
    assert answer.status_code == 200, answer.text


def test_a_refund_needs_a_payment_and_a_fitting_description(shop: TestShop) -> None:
    assert shop.post("/refunds", {"amount": COFFEE["amount"]}).json()["parameter"] == "payment_id"
    payment_id = shop.captured(**SBP)["id"]
    assert shop.refund(payment_id, description="x" * 251).json()["parameter"] == "description"
    assert shop.refund(payment_id, "0.50").json()["parameter"] == "amount.value"
    assert shop.refund(payment_id, description="x" * 250).status_code == 200
