"""What each call may do to a payment in each status, and which callers are let in."""

import pytest
import requests

from simulator.yookassa import Shop, YooKassaSimulator
from simulator.yookassa.behaviour import Behaviour
from tests.simulator.yookassa.shop import COFFEE, SBP, START, TestShop, error_of, sample, sample_error
from tests.waiting import wait_until

RUBLES = {"value": "150.00", "currency": "RUB"}


def in_status(shop: TestShop, status: str, capture: bool) -> str:
    if status == "pending":
        return str(shop.create(capture=capture)["id"])
    if status == "canceled":
        payment_id = str(shop.create(capture=capture)["id"])
        shop.sim("POST", f"/decline/{payment_id}", {})
    else:
        payment_id = str(shop.paid(capture=capture)["id"])
        if status == "succeeded" and not capture:
            shop.post(f"/payments/{payment_id}/capture")
    assert shop.payment(payment_id)["status"] == status
    return payment_id


@pytest.mark.parametrize(
    ("status", "capture", "act", "answer"),
    [
        ("pending", False, "capture", "400-cannot-capture"),
        ("pending", True, "capture", "400-cannot-capture-autocapture"),
        ("pending", False, "cancel", "400-cannot-cancel"),
        ("pending", True, "cancel", "400-cannot-cancel-autocapture"),
        ("pending", False, "refund", "400-refund-wrong-status"),
        ("waiting_for_capture", False, "capture", "succeeded"),
        ("waiting_for_capture", False, "cancel", "canceled"),
        ("waiting_for_capture", False, "refund", "400-refund-wrong-status"),
        ("succeeded", False, "capture", "400-cannot-capture"),
        ("succeeded", True, "capture", "400-cannot-capture-autocapture"),
        ("succeeded", False, "cancel", "400-cannot-cancel"),
        ("succeeded", True, "cancel", "400-cannot-cancel-autocapture"),
        ("succeeded", False, "refund", "succeeded"),
        ("succeeded", True, "refund", "succeeded"),
        ("canceled", False, "capture", "400-cannot-capture"),
        ("canceled", False, "cancel", "400-cannot-cancel"),
        ("canceled", False, "refund", "400-refund-wrong-status"),
    ],
)
def test_each_act_is_allowed_only_in_its_status(
    shop: TestShop, status: str, capture: bool, act: str, answer: str
) -> None:
    payment_id = in_status(shop, status, capture)
    got = shop.refund(payment_id) if act == "refund" else shop.post(f"/payments/{payment_id}/{act}")
    if answer.startswith("400"):
        assert error_of(got) == sample_error(answer)
        assert shop.payment(payment_id)["status"] == status
    else:
        assert (got.status_code, got.json()["status"]) == (200, answer)


def test_a_partial_capture_takes_its_part_and_releases_the_rest(shop: TestShop) -> None:
    held = shop.paid()
    captured = shop.post(f"/payments/{held['id']}/capture", {"amount": {"value": "120.00", "currency": "RUB"}})
    assert captured.json()["amount"]["value"] == "120.00"
    money = shop.booked(held["id"])
    assert (money["captured"], money["released"], money["held"]) == (12_000, 3_000, 0)


def test_more_than_the_hold_cannot_be_captured(shop: TestShop) -> None:
    held = shop.paid()
    answer = shop.post(f"/payments/{held['id']}/capture", {"amount": {"value": "150.01", "currency": "RUB"}})
    assert error_of(answer) == sample_error("400-illegal-amount-for-capture")


def test_refunds_stop_at_what_was_captured(shop: TestShop) -> None:
    payment_id = shop.captured()["id"]
    assert shop.refund(payment_id, "50.00").status_code == 200
    assert shop.payment(payment_id)["refunded_amount"]["value"] == "50.00"
    assert error_of(shop.refund(payment_id, "100.01")) == sample_error("400-refund-sum-exceeded")
    assert error_of(shop.refund(payment_id, "99.00")) == sample_error("400-refund-remainder-too-small")
    assert shop.refund(payment_id, "100.00").status_code == 200
    assert error_of(shop.refund(payment_id, "1.00")) == sample_error("400-already-fully-refunded")
    assert shop.booked(payment_id)["refunded"] == 15_000


@pytest.mark.parametrize(("method", "years"), [("bank_card", 3), ("sberbank", 1)])
def test_a_refund_can_be_asked_for_so_many_years(method: str, years: int) -> None:
    every = Shop(id="100500", secret="test_secret", methods=("bank_card", "sberbank"))
    with YooKassaSimulator(shops=[every], clock=lambda: START, seed="years") as simulator:
        shop = TestShop(simulator)
        payment_id = shop.captured(payment_method_data={"type": method})["id"]
        simulator.advance(years * 365 * 86_400)
        assert shop.refund(payment_id, "50.00").status_code == 200
        simulator.advance(1)
        assert error_of(shop.refund(payment_id)) == sample_error("400-refund-wrong-status")
        shop.session.close()


def test_an_sbp_refund_waits_until_the_next_day(shop: TestShop, simulator: YooKassaSimulator) -> None:
    payment_id = shop.captured(**SBP)["id"]
    refund = shop.refund(payment_id).json()
    assert refund["status"] == "pending"
    assert shop.payment(payment_id)["refunded_amount"]["value"] == "0.00"
    simulator.advance(86_399)
    assert shop.get(f"/refunds/{refund['id']}").json()["status"] == "pending"
    simulator.advance(1)
    assert shop.get(f"/refunds/{refund['id']}").json()["status"] == "succeeded"
    assert shop.payment(payment_id)["refunded_amount"]["value"] == "150.00"


def test_a_refund_without_money_fails_and_can_be_asked_for_again(shop: TestShop, simulator: YooKassaSimulator) -> None:
    payment_id = shop.captured()["id"]
    simulator.behaviour = Behaviour(refund_failure="insufficient_funds", refund_delay=60)
    refund = shop.refund(payment_id).json()
    assert refund["status"] == "pending"
    simulator.advance(60)
    failed = shop.get(f"/refunds/{refund['id']}").json()
    assert failed["cancellation_details"] == {"party": "yoo_money", "reason": "insufficient_funds"}
    simulator.behaviour = Behaviour()
    assert shop.refund(payment_id).json()["status"] == "succeeded"


def test_sbp_cannot_be_held(shop: TestShop) -> None:
    refused = shop.post("/payments", COFFEE | {"payment_method_data": {"type": "sbp"}})
    assert (refused.status_code, refused.json()["parameter"]) == (400, "capture")
    pending = shop.create()["id"]
    assert shop.sim("POST", f"/pay/{pending}", {"method": "sbp"}).status_code == 400
    assert shop.payment(pending)["status"] == "pending"


def test_an_unpaid_payment_expires_by_itself_and_a_late_buyer_is_refused(
    shop: TestShop, simulator: YooKassaSimulator
) -> None:
    payment_id = shop.create(capture=True)["id"]
    simulator.advance(3_599)
    assert shop.payment(payment_id)["status"] == "pending"
    simulator.advance(1)
    assert shop.payment(payment_id)["cancellation_details"]["reason"] == "expired_on_confirmation"
    assert shop.sim("POST", f"/pay/{payment_id}", {}).status_code == 400


def test_a_hold_is_released_after_seven_days(shop: TestShop, simulator: YooKassaSimulator) -> None:
    payment_id = shop.paid()["id"]
    simulator.advance(7 * 86_400)
    assert shop.payment(payment_id)["cancellation_details"]["reason"] == "expired_on_capture"
    assert shop.booked(payment_id)["released"] == 15_000


def test_a_declined_card_cancels_at_once_or_leaves_another_try(shop: TestShop, simulator: YooKassaSimulator) -> None:
    first = shop.create(capture=True)["id"]
    shop.sim("POST", f"/pay/{first}", {"card": "4562265587712390"})
    assert shop.payment(first)["cancellation_details"] == {"party": "payment_network", "reason": "insufficient_funds"}
    simulator.behaviour = Behaviour(declined_keeps_pending=True)
    second = shop.create(capture=True)["id"]
    shop.sim("POST", f"/decline/{second}", {"reason": "call_issuer"})
    assert shop.payment(second)["status"] == "pending"
    shop.sim("POST", f"/pay/{second}", {})
    assert shop.payment(second)["status"] == "succeeded"


@pytest.mark.parametrize(
    ("shop_id", "secret"), [("100500", "wrong"), ("999", "test_secret"), ("", ""), ("100600", "test_secret")]
)
def test_wrong_credentials_are_refused(simulator: YooKassaSimulator, shop_id: str, secret: str) -> None:
    stranger = TestShop(simulator, shop_id, secret)
    for answer in (stranger.get("/me"), stranger.post("/payments", COFFEE)):
        assert error_of(answer) == sample_error("401-invalid-credentials")
    stranger.session.close()


def test_no_credentials_at_all_are_refused(simulator: YooKassaSimulator) -> None:
    assert requests.get(f"{simulator.url}/me", timeout=10).status_code == 401


def test_one_shop_never_sees_anothers_objects(shop: TestShop, fiscal_shop: TestShop) -> None:
    payment_id = shop.captured()["id"]
    refund_id = shop.refund(payment_id, "50.00").json()["id"]
    assert fiscal_shop.get(f"/payments/{payment_id}").json()["parameter"] == "payment_id"
    assert fiscal_shop.get(f"/refunds/{refund_id}").status_code == 400
    assert fiscal_shop.post(f"/payments/{payment_id}/cancel").status_code == 400
    assert fiscal_shop.refund(payment_id, "50.00").status_code == 400
    assert fiscal_shop.get("/payments").json()["items"] == []
    assert fiscal_shop.get("/refunds").json()["items"] == []


def test_an_unknown_id_is_answered_as_observed_or_as_specified(shop: TestShop, simulator: YooKassaSimulator) -> None:
    observed = shop.get("/payments/nobody")
    assert observed.status_code == 400
    assert observed.json()["description"] == "Incorrect payment_id. Payment doesn't exist or access denied"
    simulator.behaviour = Behaviour(unknown_id_as_404=True)
    assert error_of(shop.get("/payments/nobody")) == sample_error("404-not-found")


def test_me_tells_the_shop_about_itself(shop: TestShop) -> None:
    me = shop.get("/me").json()
    expected = sample("me/me-test-shop-2026")
    assert me.keys() == expected.keys()
    assert (me["account_id"], me["test"], me["fiscalization"]["enabled"]) == ("100500", True, False)


def test_wrong_types_methods_and_paths_are_refused_in_json(shop: TestShop, simulator: YooKassaSimulator) -> None:
    form = shop.post("/payments", b"a=1", content_type="application/x-www-form-urlencoded")
    assert form.status_code == 415
    assert shop.session.delete(f"{simulator.url}/payments", timeout=10).status_code == 405
    assert error_of(shop.get("/nothing")) == sample_error("404-not-found")


def test_a_body_too_large_is_refused_and_the_server_lives(shop: TestShop) -> None:
    try:
        assert shop.post("/payments", b"[" * 300_000).status_code == 413
    except requests.ConnectionError:  # the refusal may close the connection while we still write
        shop.session.close()
    assert shop.get("/me").status_code == 200


def test_deeply_nested_json_is_only_a_bad_request(shop: TestShop) -> None:
    nested = b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}"
    assert error_of(shop.post("/payments", nested)) == sample_error("400-bad-json")


def test_a_shop_with_receipts_insists_on_them(fiscal_shop: TestShop, simulator: YooKassaSimulator) -> None:
    assert error_of(fiscal_shop.post("/payments", COFFEE)) == sample_error("400-receipt-missing")
    created = fiscal_shop.post("/payments", sample("requests/create-payment-coffee-two-stage-receipt")).json()
    simulator.pay(created["id"])
    part = {"amount": {"value": "100.00", "currency": "RUB"}}
    partial = fiscal_shop.post(f"/payments/{created['id']}/capture", part)
    assert error_of(partial) == sample_error("400-receipt-missing")
    captured = fiscal_shop.post(f"/payments/{created['id']}/capture").json()
    assert captured["receipt_registration"] == "pending"
    simulator.advance(60)
    assert fiscal_shop.payment(created["id"])["receipt_registration"] == "succeeded"
    assert error_of(fiscal_shop.refund(created["id"], "50.00")) == sample_error("400-receipt-missing")
    listed = fiscal_shop.get("/receipts", payment_id=created["id"]).json()
    assert [receipt["status"] for receipt in listed["items"]] == ["succeeded"]


def test_a_scaled_hour_passes_by_itself() -> None:
    with YooKassaSimulator(time_scale=0.0001) as simulator:
        shop = TestShop(simulator)
        payment_id = shop.create()["id"]
        wait_until(lambda: shop.payment(payment_id)["status"] == "canceled", what="the scaled hour")
        shop.session.close()
