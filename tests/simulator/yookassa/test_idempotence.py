"""What repeating a call does, by key, body, shop and age."""

from typing import Any

import pytest

from simulator.yookassa import YooKassaSimulator
from tests.simulator.yookassa.shop import COFFEE, TestShop, error_of, sample_error


def test_the_same_call_twice_is_one_payment_in_its_present_state(shop: TestShop, simulator: YooKassaSimulator) -> None:
    first = shop.post("/payments", COFFEE, key="k").json()
    simulator.pay(first["id"])
    again = shop.post("/payments", COFFEE, key="k").json()
    assert (again["id"], again["status"]) == (first["id"], "waiting_for_capture")
    assert len(shop.get("/payments").json()["items"]) == 1


def test_another_key_is_another_payment(shop: TestShop) -> None:
    assert shop.create()["id"] != shop.create()["id"]


@pytest.mark.parametrize("changed", [COFFEE | {"description": "другое"}, {}])
def test_a_used_key_with_another_body_is_refused(shop: TestShop, changed: dict[str, Any]) -> None:
    shop.post("/payments", COFFEE, key="k")
    assert error_of(shop.post("/payments", changed, key="k")) == sample_error("400-idempotence-key-duplicated")


def test_a_used_key_on_another_address_is_refused(shop: TestShop) -> None:
    payment_id = shop.paid()["id"]
    assert shop.post(f"/payments/{payment_id}/capture", key="k").status_code == 200
    answer = shop.post(f"/payments/{payment_id}/cancel", key="k")
    assert error_of(answer) == sample_error("400-idempotence-key-duplicated")


def test_keys_of_two_shops_do_not_meet(shop: TestShop, fiscal_shop: TestShop) -> None:
    shop.post("/payments", COFFEE, key="k")
    other = fiscal_shop.post("/payments", COFFEE, key="k")
    assert error_of(other) == sample_error("400-receipt-missing")


@pytest.mark.parametrize("path", ["/payments", "/refunds", "/payments/x/capture", "/payments/x/cancel"])
def test_every_post_needs_a_key_of_a_sane_length(shop: TestShop, path: str) -> None:
    assert error_of(shop.post(path, COFFEE, key="")) == sample_error("400-idempotence-key-empty")
    assert error_of(shop.post(path, COFFEE, key="k" * 65)) == sample_error("400-idempotence-key-too-long")


def test_a_key_of_64_characters_is_good(shop: TestShop) -> None:
    assert shop.post("/payments", COFFEE, key="k" * 64).status_code == 200


def test_a_key_is_forgotten_after_a_day(shop: TestShop, simulator: YooKassaSimulator) -> None:
    first = shop.post("/payments", COFFEE, key="k").json()
    simulator.advance(86_399)
    assert shop.post("/payments", COFFEE, key="k").json()["id"] == first["id"]
    simulator.advance(1)
    assert shop.post("/payments", COFFEE, key="k").json()["id"] != first["id"]


def test_capture_and_refund_repeated_happen_once(shop: TestShop) -> None:
    payment_id = shop.paid()["id"]
    for _ in range(2):
        assert shop.post(f"/payments/{payment_id}/capture", key="c").json()["status"] == "succeeded"
    body = {"payment_id": payment_id, "amount": {"value": "50.00", "currency": "RUB"}}
    refunds = {shop.post("/refunds", body, key="r").json()["id"] for _ in range(3)}
    assert len(refunds) == 1
    assert shop.booked(payment_id)["refunded"] == 5_000


def test_a_refused_call_may_be_repeated_but_not_changed_under_its_key(
    shop: TestShop, simulator: YooKassaSimulator
) -> None:
    payment_id = shop.create()["id"]
    assert shop.post(f"/payments/{payment_id}/cancel", key="k").status_code == 400
    simulator.pay(payment_id)
    assert shop.post(f"/payments/{payment_id}/cancel", key="k").json()["status"] == "canceled"
    shop.post("/payments", {"amount": None}, key="bad")
    assert error_of(shop.post("/payments", COFFEE, key="bad")) == sample_error("400-idempotence-key-duplicated")
