"""Lists: newest first, filtered, page by page."""

from datetime import timedelta

import pytest

from simulator.yookassa import YooKassaSimulator
from simulator.yookassa.past import PastPayment
from simulator.yookassa.shops import DEFAULT_SHOP
from tests.simulator.yookassa.shop import SBP, START, TestShop, ids, sample, walk


def test_pages_follow_each_other_newest_first_without_gaps(shop: TestShop) -> None:
    made = [shop.create()["id"] for _ in range(7)]
    assert walk(shop, "/payments", limit="3") == [made[:3:-1], made[3:0:-1], made[:1]]


def test_a_payment_made_between_two_pages_shifts_nothing(shop: TestShop) -> None:
    made = [shop.create()["id"] for _ in range(4)]
    first = shop.get("/payments", limit="2").json()
    shop.create()
    second = shop.get("/payments", limit="2", cursor=first["next_cursor"]).json()
    assert ids(first["items"]) + ids(second["items"]) == made[::-1]


def test_a_list_looks_like_its_sample(shop: TestShop) -> None:
    for _ in range(11):
        shop.create()
    first = shop.get("/payments").json()
    assert first.keys() == sample("payments/list-two-pages-1").keys()
    assert len(first["items"]) == 10
    last = shop.get("/payments", cursor=first["next_cursor"]).json()
    assert last.keys() == sample("payments/list-two-pages-2").keys()


def test_payments_are_found_by_status_method_and_time(shop: TestShop, simulator: YooKassaSimulator) -> None:
    pending = shop.create()["id"]
    simulator.advance(60)
    card = shop.captured()
    simulator.advance(60)
    sbp = shop.captured(**SBP)
    assert walk(shop, "/payments", status="succeeded") == [[sbp["id"], card["id"]]]
    assert walk(shop, "/payments", payment_method="sbp") == [[sbp["id"]]]
    assert walk(shop, "/payments", **{"created_at.gte": card["created_at"]}) == [[sbp["id"], card["id"]]]
    assert walk(shop, "/payments", **{"created_at.gt": card["created_at"]}) == [[sbp["id"]]]
    assert walk(shop, "/payments", **{"created_at.lte": card["created_at"]}) == [[card["id"], pending]]
    assert walk(shop, "/payments", **{"created_at.lt": card["created_at"]}) == [[pending]]
    assert walk(shop, "/payments", **{"captured_at.lte": card["captured_at"]}) == [[card["id"]]]


def test_payments_of_before_it_was_started_are_listed_and_can_be_returned_and_nobody_is_told_of_them(
    shop: TestShop, simulator: YooKassaSimulator
) -> None:
    simulator.webhooks.aim("http://127.0.0.1:9/")
    minute = timedelta(minutes=1)
    began = START - timedelta(days=30)
    simulator.provider.remember(
        PastPayment(id=name, shop_id=DEFAULT_SHOP.id, amount=17900, metadata={"order_id": name}, started_at=began,
                    paid_at=began + minute if is_paid else None, ended_at=began + 2 * minute, is_captured=is_captured)
        for name, is_paid, is_captured in (("declined", False, False), ("let-go", True, False), ("taken", True, True))
    )  # fmt: skip
    assert simulator.webhooks.waiting() == 0
    there = shop.get("/payments").json()["items"]
    assert {one["id"]: one["status"] for one in there} == {
        "taken": "succeeded", "let-go": "canceled", "declined": "canceled"
    }  # fmt: skip
    assert shop.refund("taken").json()["status"] == "succeeded"


def test_refunds_are_found_by_payment_status_and_time(shop: TestShop, simulator: YooKassaSimulator) -> None:
    card, sbp = shop.captured()["id"], shop.captured(**SBP)["id"]
    first, second = shop.refund(card, "50.00").json(), shop.refund(card, "40.00").json()
    simulator.advance(60)
    waiting = shop.refund(sbp).json()
    assert walk(shop, "/refunds", payment_id=card, limit="1") == [[second["id"]], [first["id"]]]
    assert walk(shop, "/refunds", status="pending") == [[waiting["id"]]]
    assert walk(shop, "/refunds", **{"created_at.gte": waiting["created_at"]}) == [[waiting["id"]]]


def test_a_refund_made_by_hand_in_the_cabinet_is_listed(shop: TestShop) -> None:
    payment_id = shop.captured()["id"]
    shop.sim("POST", "/refund", {"payment_id": payment_id, "amount": "30.00"})
    (found,) = shop.get("/refunds", payment_id=payment_id).json()["items"]
    assert found["amount"]["value"] == "30.00"


@pytest.mark.parametrize(
    ("parameter", "value"),
    [("limit", "0"), ("limit", "101"), ("limit", "x"), ("cursor", "x"), ("status", "x"), ("created_at.gte", "x")],
)
def test_a_senseless_filter_is_refused_by_name(shop: TestShop, parameter: str, value: str) -> None:
    answer = shop.get("/payments", **{parameter: value})
    assert (answer.status_code, answer.json()["parameter"]) == (400, parameter)
