"""The control API: the books, the clock, and what it refuses."""

from typing import Any

import pytest
import requests

from tests.simulator.yookassa.shop import TestShop


def test_the_books_hold_all_money_with_its_history(shop: TestShop) -> None:
    payment_id = shop.paid()["id"]
    shop.post(f"/payments/{payment_id}/capture", {"amount": {"value": "120.00", "currency": "RUB"}})
    refund_id = shop.refund(payment_id, "20.00").json()["id"]
    books = shop.sim("GET", "/books").json()
    (payment,) = books["payments"]
    assert payment["kopecks"] == {
        "authorized": 15_000,
        "held": 0,
        "captured": 12_000,
        "released": 3_000,
        "refunding": 0,
        "refunded": 2_000,
    }
    assert payment["object"] == shop.payment(payment_id)
    assert [line["what"] for line in payment["history"]] == [
        "created for 150.00",
        "paid by bank_card, 150.00 held",
        "captured 120.00, released 30.00",
        f"refund {refund_id} of 20.00 asked",
        f"refund {refund_id} succeeded",
    ]
    assert [refund["id"] for refund in books["refunds"]] == [refund_id]
    assert books["forgotten"] == 0


def test_of_long_books_the_newest_can_be_asked_for(shop: TestShop) -> None:
    made = [shop.create()["id"] for _ in range(3)]
    assert [payment["id"] for payment in shop.sim("GET", "/books?newest=2").json()["payments"]] == made[1:]


def test_the_clock_goes_forward_only(shop: TestShop) -> None:
    before = shop.sim("GET", "/clock").json()["now"]
    after = shop.sim("POST", "/clock", {"advance": 86_400}).json()["now"]
    assert after[:10] > before[:10]
    assert shop.create()["created_at"] >= after
    for step in (-1, 1e30):
        assert shop.sim("POST", "/clock", {"advance": step}).status_code == 400


def test_behaviour_is_set_and_shown(shop: TestShop) -> None:
    shop.sim("PUT", "/behaviour", {"declined_keeps_pending": True, "receipt_outcome": "canceled"})
    shown = shop.sim("GET", "/behaviour").json()
    assert (shown["declined_keeps_pending"], shown["receipt_outcome"]) == (True, "canceled")
    assert shown["unknown_id_as_404"] is False


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("POST", "/pay/nobody", {}, 400),
        ("POST", "/decline/nobody", {"reason": "bad_mood"}, 400),
        ("PUT", "/behaviour", {"refund_failure": "bad_mood"}, 400),
        ("PUT", "/behaviour", {"colour": "red"}, 400),
        ("POST", "/refund", {"payment_id": "nobody"}, 400),
        ("POST", "/refund", {"payment_id": "nobody", "amount": "x"}, 400),
        ("PUT", "/webhooks", {"lose": 2}, 400),
        ("PUT", "/webhooks", {"forwarded_for": "адрес"}, 400),
        ("PUT", "/webhooks", {"forwarded_for": "1.2.3.4\r\nX-Other: 5"}, 400),
        ("PUT", "/webhooks", {"forwarded_for": " 1.2.3.4"}, 400),
        ("PUT", "/webhooks/target", {"url": "http://a..b/"}, 400),
        ("PUT", "/webhooks/target", {"url": "http:///hook"}, 400),
        ("PUT", "/webhooks/target", {"url": "http://[::1/"}, 400),
        ("PUT", "/webhooks/target", {"url": "http://shop:x/"}, 400),
        ("PUT", "/webhooks/target", {"url": "http://shop/a b"}, 400),
        ("PUT", "/webhooks/target", {"url": "ftp://shop/"}, 400),
        ("PUT", "/webhooks/target", {"url": ""}, 400),
        ("POST", "/webhooks/forge", {"payment_id": "nobody"}, 400),
        ("POST", "/clock", {"advance": "soon"}, 400),
        ("GET", "/nothing", None, 404),
    ],
)
def test_nonsense_is_refused_in_words(shop: TestShop, method: str, path: str, body: Any, status: int) -> None:
    answer = shop.sim(method, path, body)
    assert answer.status_code == status
    assert answer.json()


def test_a_form_from_a_web_page_moves_nothing(shop: TestShop) -> None:
    payment_id = shop.create()["id"]
    url = f"{shop.simulator.address}/sim/pay/{payment_id}"
    assert requests.post(url, data={"method": "bank_card"}, timeout=10).status_code == 400
    assert requests.post(url, data='{"method":"bank_card"}', timeout=10).status_code == 400
    assert shop.payment(payment_id)["status"] == "pending"


def test_a_person_refunds_all_that_is_left(shop: TestShop) -> None:
    payment_id = shop.captured()["id"]
    shop.refund(payment_id, "50.00")
    assert shop.sim("POST", "/refund", {"payment_id": payment_id}).json()["amount"]["value"] == "100.00"
    assert shop.booked(payment_id)["refunded"] == 15_000
    assert shop.sim("POST", "/refund", {"payment_id": payment_id}).status_code == 400
