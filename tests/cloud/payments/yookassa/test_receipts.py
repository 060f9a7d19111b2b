"""The receipt itself: complete as the provider's contract asks, and refused here when it would be refused there."""

from typing import Any

import pytest

from cloud.fleet.receipt_email import is_email
from cloud.fleet.receipt_terms import terms_of
from cloud.payments.provider import InvalidRequest
from cloud.payments.yookassa.receipts import receipt_object, setup_problem
from simulator.yookassa.receipt import MEASURES, PAYMENT_MODES, PAYMENT_SUBJECTS, checked_receipt
from simulator.yookassa.shops import YOO_RECEIPT
from tests.simulator.yookassa.shop import sample

CAPPUCCINO: dict[str, Any] = {"description": "Капучино 200 мл"}
MERCHANT: dict[str, Any] = {"vat_code": 1, "email": "required"}


def receipt(drink: dict[str, Any] | None = None, amount: int = 15000, **merchant: Any) -> dict[str, object]:
    return receipt_object(terms_of(MERCHANT | merchant, drink) | CAPPUCCINO, amount, "buyer@example.com")


def test_it_is_what_the_sample_shows() -> None:
    assert receipt(internet=False) == sample("requests/create-payment-coffee-two-stage-receipt")["receipt"]


@pytest.mark.parametrize("vat_code", range(1, 13))
def test_every_rate_there_is_can_be_said(vat_code: int) -> None:
    checked_receipt(receipt({"vat_code": vat_code}), 15000, YOO_RECEIPT)


@pytest.mark.parametrize(
    ("name", "words"),
    [("payment_subject", PAYMENT_SUBJECTS), ("payment_mode", PAYMENT_MODES), ("measure", MEASURES)],
)
def test_every_word_the_provider_knows_can_be_said(name: str, words: frozenset[str]) -> None:
    for word in words:
        checked_receipt(receipt({name: word}), 15000, YOO_RECEIPT)


@pytest.mark.parametrize(
    ("change", "parameter"),
    [
        ({"vat_code": 0}, "receipt.items.vat_code"),
        ({"vat_code": 13}, "receipt.items.vat_code"),
        ({"vat_code": "1"}, "receipt.items.vat_code"),
        ({"vat_code": True}, "receipt.items.vat_code"),
        ({"vat_code": None}, "receipt.items.vat_code"),
        ({"payment_subject": "coffee"}, "receipt.items.payment_subject"),
        ({"payment_mode": ["full_payment"]}, "receipt.items.payment_mode"),
        ({"measure": ""}, "receipt.items.measure"),
        ({"tax_system_code": 7}, "receipt.tax_system_code"),
        ({"internet": 0}, "receipt.internet"),
        ({"timezone": 0}, "receipt.timezone"),
        ({"timezone": 12}, "receipt.timezone"),
    ],
)
def test_what_the_provider_would_refuse_is_refused_here(change: dict[str, Any], parameter: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        receipt(change)
    assert refused.value.parameter == parameter


def test_the_drink_speaks_before_its_merchant_and_the_merchant_before_the_default() -> None:
    merchant = {"vat_code": 4, "payment_subject": "service", "tax_system_code": 2}
    terms = terms_of(merchant | {"email": "optional"}, {"vat_code": 11})
    assert terms == {
        "vat_code": 11, "payment_subject": "service", "tax_system_code": 2, "payment_mode": "full_payment",
        "measure": "piece",
    }  # fmt: skip
    assert "vat_code" not in terms_of(None, None), "nobody may guess a tax rate"


def test_a_name_too_long_for_a_receipt_is_cut_and_none_is_refused() -> None:
    terms = terms_of(MERCHANT, None)
    made = receipt_object(terms | {"description": "л" * 255}, 100, "b@example.com")
    checked_receipt(made, 100, YOO_RECEIPT)
    for name in ("", "  ", None):
        with pytest.raises(InvalidRequest, match="description"):
            receipt_object(terms | {"description": name}, 100, "b@example.com")
    with pytest.raises(InvalidRequest, match="amount"):
        receipt(amount=0)


@pytest.mark.parametrize(
    "good",
    ["b@example.com", "first.last+coffee@mail.example.org", "o'neil@x-y.io", "b@xn--e1afmkfd.xn--p1ai", "1@2.ru"],
)
def test_addresses_people_have_are_taken(good: str) -> None:
    assert is_email(good)


@pytest.mark.parametrize(
    "bad",
    [
        "", "b", "b@", "@example.com", "b@example", "b@-x.ru", "b@x..ru", "a b@x.ru", "b@x.ru\n", "b@x.r u", "<b@x.ru>",
        "почта@пример.рф", "b@x.ru,c@x.ru", "x" * 65 + "@x.ru", "b@" + "x" * 64 + ".ru", "b@" + "x." * 130 + "ru",
        "b@x.ru\0",
    ],
)  # fmt: skip
def test_what_no_receipt_can_be_sent_to_is_not(bad: str) -> None:
    assert not is_email(bad)
    with pytest.raises(InvalidRequest, match="address"):
        receipt_object(terms_of(MERCHANT, None) | CAPPUCCINO, 100, bad)


@pytest.mark.parametrize(
    ("scenario", "terms", "fiscalization", "says"),
    [
        ("Yookassa", None, False, ""),
        ("Yookassa", None, None, ""),
        ("Yookassa", None, True, "use YookassaReceipt"),
        ("YookassaReceipt", MERCHANT, True, ""),
        ("YookassaReceipt", MERCHANT, None, ""),
        ("YookassaReceipt", MERCHANT, False, "registers none"),
        ("YookassaReceipt", None, True, "vat_code"),
        ("YookassaReceipt", {"vat_code": 99}, True, "vat_code"),
    ],
)
def test_an_account_whose_receipts_do_not_fit_its_shop_is_told_of(
    scenario: str, terms: dict[str, Any] | None, fiscalization: bool | None, says: str
) -> None:
    said = setup_problem(scenario, terms, fiscalization)
    assert says in said
    assert bool(said) == bool(says)
