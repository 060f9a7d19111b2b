"""Fiscal receipts (54-FZ): what a shop that sends them may and may not say, and how their registration goes on."""

from collections.abc import Iterator
from copy import deepcopy
from typing import Any

import pytest

from simulator.yookassa import YooKassaSimulator
from simulator.yookassa.shops import Shop
from simulator.yookassa.state import Status
from tests.simulator.yookassa.conftest import FISCAL_SHOP
from tests.simulator.yookassa.shop import START, TestShop, error_of, sample, sample_error, walk

COFFEE: dict[str, Any] = sample("requests/create-payment-coffee-two-stage-receipt")
ROUBLE = COFFEE["receipt"]["items"][0] | {"amount": {"value": "1.00", "currency": "RUB"}}
PARTNER = Shop(id="100700", secret="partner_secret", fiscalization=True, fiscal_provider="atol")


@pytest.fixture
def partner_shop() -> Iterator[TestShop]:
    """A shop whose receipts a partner's online register prints."""
    with YooKassaSimulator(shops=[PARTNER], clock=lambda: START, seed="partner") as simulator:
        shop = TestShop(simulator, PARTNER.id, PARTNER.secret)
        yield shop
        shop.session.close()


def coffee(**receipt: Any) -> dict[str, Any]:
    body = deepcopy(COFFEE)
    body["receipt"] |= receipt
    return body


def coffee_with(**item: Any) -> dict[str, Any]:
    return coffee(items=[COFFEE["receipt"]["items"][0] | item])


def captured(shop: TestShop, **changes: Any) -> str:
    """A coffee with its receipt, paid and taken; its id."""
    created = shop.post("/payments", COFFEE | {"capture": True} | changes).json()
    shop.simulator.pay(created["id"])
    return str(created["id"])


@pytest.mark.parametrize(
    ("body", "parameter"),
    [
        (coffee(customer={}), "receipt"),
        (coffee(customer={"phone": "79000000000"}), "receipt"),
        (coffee(customer={"email": "nobody"}), "receipt.customer.email"),
        (coffee(customer={"email": "b@example.com", "phone": "+7 (900) 000"}), "receipt.customer.phone"),
        (coffee(customer={"email": "b@example.com", "full_name": "x" * 257}), "receipt.customer.full_name"),
        (coffee(customer={"email": "b@example.com", "inn": "123"}), "receipt.customer.inn"),
        (coffee(items=[]), "receipt"),
        (coffee(items=[ROUBLE] * 81) | {"amount": {"value": "81.00", "currency": "RUB"}}, "receipt"),
        (coffee(internet="no"), "receipt.internet"),
        (coffee(timezone=12), "receipt.timezone"),
        (coffee(tax_system_code=7), "receipt.tax_system_code"),
        (coffee_with(vat_code=0), "receipt.items.vat_code"),
        (coffee_with(vat_code=13), "receipt.items.vat_code"),
        (coffee_with(measure=None), "receipt.items.measure"),
        (coffee_with(measure="cup"), "receipt.items.measure"),
        (coffee_with(payment_mode="later"), "receipt.items.payment_mode"),
        (coffee_with(payment_subject="coffee"), "receipt.items.payment_subject"),
        (coffee_with(description="x" * 129), "receipt.items.description"),
        (coffee_with(quantity=0), "receipt.items.quantity"),
        (coffee_with(quantity=1.00001), "receipt.items.quantity"),
        (coffee_with(amount={"value": "150.01", "currency": "RUB"}), "receipt"),
        (coffee_with(amount=150), "receipt.items.amount"),
    ],
)  # fmt: skip
def test_a_receipt_that_could_not_be_registered_is_refused(
    fiscal_shop: TestShop, body: dict[str, Any], parameter: str
) -> None:
    answer = fiscal_shop.post("/payments", body)
    assert (answer.status_code, answer.json()["parameter"]) == (400, parameter)
    assert fiscal_shop.get("/payments").json()["items"] == []


@pytest.mark.parametrize(
    "body",
    [
        COFFEE,
        coffee(items=[ROUBLE] * 80) | {"amount": {"value": "80.00", "currency": "RUB"}},
        coffee(internet=True, timezone=11, tax_system_code=6),
        coffee(customer={"email": "b@example.com", "phone": "79000000000", "full_name": "Иванов", "inn": "6321000014"}),
        coffee_with(vat_code=12, measure="milliliter", quantity="1.00"),
        coffee_with(quantity=0.5, amount={"value": "300.00", "currency": "RUB"}),
    ],
)
def test_a_receipt_that_is_whole_is_taken(fiscal_shop: TestShop, body: dict[str, Any]) -> None:
    answer = fiscal_shop.post("/payments", body)
    assert answer.status_code == 200, answer.text


def test_a_partners_register_also_takes_a_phone_and_needs_no_measure(partner_shop: TestShop) -> None:
    assert partner_shop.get("/me").json()["fiscalization"] == {"enabled": True, "provider": "atol"}
    body = coffee(customer={"phone": "79000000000"}, items=[COFFEE["receipt"]["items"][0] | {"measure": None}])
    assert partner_shop.post("/payments", body).status_code == 200


def test_the_published_part_refund_with_its_receipt_is_taken(partner_shop: TestShop) -> None:
    whole = {"amount": {"value": "900.00", "currency": "RUB"}}
    items = [COFFEE["receipt"]["items"][0] | whole]
    payment_id = captured(partner_shop, **whole, receipt=COFFEE["receipt"] | {"items": items})
    refund = partner_shop.post("/refunds", sample("requests/refund-partial-with-receipt") | {"payment_id": payment_id})
    assert (refund.status_code, refund.json()["status"]) == (200, "succeeded"), refund.text


def test_a_part_is_captured_or_returned_with_a_receipt_of_that_part_only(
    fiscal_shop: TestShop, simulator: YooKassaSimulator
) -> None:
    payment_id = captured(fiscal_shop)
    part = {"value": "50.00", "currency": "RUB"}
    whole_receipt = fiscal_shop.refund(payment_id, "50.00", receipt=COFFEE["receipt"])
    assert error_of(whole_receipt) == sample_error("400-receipt-missing"), "it says 150 and returns 50"
    refund = fiscal_shop.refund(payment_id, "50.00", receipt=coffee_with(amount=part)["receipt"])
    assert refund.json()["receipt_registration"] == "pending"
    simulator.advance(60)
    refund_id = refund.json()["id"]
    assert fiscal_shop.get(f"/refunds/{refund_id}").json()["receipt_registration"] == "succeeded"
    [listed] = fiscal_shop.get("/receipts", refund_id=refund_id).json()["items"]
    assert (listed["status"], listed["items"][0]["amount"]) == ("succeeded", part)
    assert listed["registered_at"].endswith("+03:00")


def test_the_receipt_of_a_captured_part_is_the_one_that_is_registered(
    fiscal_shop: TestShop, simulator: YooKassaSimulator
) -> None:
    payment_id = fiscal_shop.post("/payments", COFFEE).json()["id"]
    simulator.pay(payment_id)
    part = {"value": "50.00", "currency": "RUB"}
    receipt = coffee_with(amount=part)["receipt"]
    taken = fiscal_shop.post(f"/payments/{payment_id}/capture", {"amount": part, "receipt": receipt})
    assert (taken.status_code, taken.json()["receipt_registration"]) == (200, "pending"), taken.text
    [listed] = fiscal_shop.get("/receipts", payment_id=payment_id).json()["items"]
    assert listed["items"] == receipt["items"]
    [entry] = fiscal_shop.sim("GET", "/books").json()["payments"]
    assert entry["receipt"] == receipt
    refund_id = fiscal_shop.refund(payment_id, "50.00").json()["id"]
    [returned] = fiscal_shop.get("/receipts", refund_id=refund_id).json()["items"]
    assert returned["items"] == receipt["items"], "a whole refund takes its receipt from the payment"


def test_a_whole_refund_takes_its_receipt_from_the_payment(fiscal_shop: TestShop) -> None:
    refund = fiscal_shop.refund(captured(fiscal_shop)).json()
    assert (refund["status"], refund["receipt_registration"]) == ("succeeded", "pending")


@pytest.mark.parametrize("outcome", [Status.CANCELED, Status.PENDING])
def test_registration_may_fail_or_never_end(
    fiscal_shop: TestShop, simulator: YooKassaSimulator, outcome: Status
) -> None:
    fiscal_shop.sim("PUT", "/behaviour", {"receipt_outcome": outcome})
    payment_id = captured(fiscal_shop)
    simulator.advance(3600)
    assert fiscal_shop.payment(payment_id)["receipt_registration"] == outcome
    assert fiscal_shop.get("/receipts", payment_id=payment_id, status="succeeded").json()["items"] == []


def test_the_books_show_what_was_sent_to_be_registered(fiscal_shop: TestShop) -> None:
    captured(fiscal_shop)
    [entry] = fiscal_shop.sim("GET", "/books").json()["payments"]
    assert entry["receipt"] == COFFEE["receipt"]
    assert FISCAL_SHOP.register == "yoo_receipt"


def separate(payment_id: str) -> dict[str, Any]:
    body = {"type": "payment", "payment_id": payment_id, "send": True, **deepcopy(COFFEE["receipt"])}
    body["settlements"] = [{"type": "cashless", "amount": {"value": "150.00", "currency": "RUB"}}]
    return body


def test_a_separate_receipt_is_taken_once_per_key(shop: TestShop) -> None:
    payment_id = shop.captured()["id"]
    first, again = (shop.post("/receipts", separate(payment_id), key="receipt").json() for _ in range(2))
    assert first == again
    assert first["status"] == "succeeded"
    assert shop.get("/receipts", payment_id=payment_id).json()["items"] == [first]


@pytest.mark.parametrize(
    ("change", "parameter"),
    [
        ({"type": "gift"}, "type"),
        ({"payment_id": "unknown"}, "payment_id"),
        ({"send": False}, "send"),
        ({"customer": None}, "receipt"),
        ({"items": []}, "receipt"),
        ({"settlements": []}, "settlements"),
        ({"settlements": [{"type": "barter", "amount": {"value": "150.00", "currency": "RUB"}}]}, "settlements"),
        ({"settlements": [{"type": "cashless", "amount": {"value": "1.00", "currency": "RUB"}}]}, "settlements"),
    ],
)
def test_a_separate_receipt_must_be_whole_too(shop: TestShop, change: dict[str, Any], parameter: str) -> None:
    answer = shop.post("/receipts", separate(shop.captured()["id"]) | change)
    assert (answer.status_code, answer.json()["parameter"]) == (400, parameter)


def test_fifty_separate_receipts_are_enough_for_one_payment(shop: TestShop) -> None:
    payment_id = shop.captured()["id"]
    statuses = [shop.post("/receipts", separate(payment_id)).status_code for _ in range(51)]
    assert statuses == [200] * 50 + [400]


def test_a_separate_receipts_key_is_bound_as_every_other(shop: TestShop, simulator: YooKassaSimulator) -> None:
    body = separate(shop.captured()["id"])
    first = shop.post("/receipts", body, key="k").json()
    changed = shop.post("/receipts", body | {"tax_system_code": 1}, key="k")
    assert error_of(changed) == sample_error("400-idempotence-key-duplicated")
    assert error_of(shop.post("/receipts", body, key="")) == sample_error("400-idempotence-key-empty")
    assert error_of(shop.post("/receipts", body, key="k" * 65)) == sample_error("400-idempotence-key-too-long")
    simulator.advance(86_400)
    assert shop.post("/receipts", body, key="k").json()["id"] != first["id"], "a key is forgotten after a day"


def test_all_receipts_of_a_shop_are_listed_newest_first(
    shop: TestShop, fiscal_shop: TestShop, simulator: YooKassaSimulator
) -> None:
    payment_id = captured(fiscal_shop)
    simulator.advance(60)
    refund_id = fiscal_shop.refund(payment_id).json()["id"]
    simulator.advance(30)
    late = fiscal_shop.post("/receipts", separate(payment_id)).json()["id"]
    assert shop.get("/receipts").json()["items"] == []
    pages = walk(fiscal_shop, "/receipts", limit="2")
    assert pages == [[late, f"rt-{refund_id}"], [f"rt-{payment_id}"]]
    assert walk(fiscal_shop, "/receipts", refund_id=refund_id) == [[f"rt-{refund_id}"]]
    assert walk(fiscal_shop, "/receipts", payment_id=payment_id) == [[late, f"rt-{payment_id}"]]
    assert walk(fiscal_shop, "/receipts", status="pending") == [[f"rt-{refund_id}"]]
    since = fiscal_shop.get(f"/refunds/{refund_id}").json()["created_at"]
    assert walk(fiscal_shop, "/receipts", **{"created_at.gte": since}) == [[late, f"rt-{refund_id}"]]


@pytest.mark.parametrize(
    ("query", "parameter"),
    [
        ({"limit": "0"}, "limit"),
        ({"cursor": "x"}, "cursor"),
        ({"status": "x"}, "status"),
        ({"created_at.gte": "x"}, "created_at.gte"),
        ({"payment_id": "x", "refund_id": "y"}, "refund_id"),
    ],
)
def test_a_senseless_question_for_receipts_is_refused_by_name(
    fiscal_shop: TestShop, query: dict[str, str], parameter: str
) -> None:
    captured(fiscal_shop)
    answer = fiscal_shop.get("/receipts", **query)
    assert (answer.status_code, answer.json()["parameter"]) == (400, parameter)
