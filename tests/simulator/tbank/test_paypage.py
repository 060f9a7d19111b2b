"""The payment page, as a buyer's browser sees it."""

import pytest
import requests

from simulator.tbank import TBankSimulator
from tests.simulator.tbank.merchant import ORDER, Merchant

BACK = {"SuccessURL": "https://coffee.example.org/paid", "FailURL": "https://coffee.example.org/not-paid"}


def page_of(merchant: Merchant, **more: object) -> tuple[str, str]:
    told = merchant.call("Init", **(ORDER | BACK | more))
    return told["PaymentId"], told["PaymentURL"]


def post(url: str, **form: str) -> requests.Response:
    return requests.post(url, data=form, allow_redirects=False, timeout=10)


def test_the_page_says_what_is_paid_and_that_no_money_moves(merchant: Merchant) -> None:
    payment_id, url = page_of(merchant, PayType="O")
    page = requests.get(url, timeout=10)
    assert page.status_code == 200
    for words in ("150,00", "Капучино 200 мл, автомат 17", "Симулятор Т-Банка", "СБП"):
        assert words in page.text
    assert "script" not in page.headers["Content-Security-Policy"]
    assert merchant.status(payment_id) == "FORM_SHOWED"


def test_a_buyer_pays_and_goes_back_to_the_shop(merchant: Merchant) -> None:
    payment_id, url = page_of(merchant, PayType="T")
    answer = post(url, method="card")
    assert (answer.status_code, answer.headers["Location"]) == (303, BACK["SuccessURL"])
    assert merchant.status(payment_id) == "AUTHORIZED"
    assert "Сумма удержана" in requests.get(url, timeout=10).text


def test_a_declined_buyer_goes_back_as_well(merchant: Merchant) -> None:
    payment_id, url = page_of(merchant)
    answer = post(url, decline="insufficient_funds")
    assert answer.headers["Location"] == BACK["FailURL"]
    assert merchant.status(payment_id) == "REJECTED"


def test_whoever_leaves_pays_nothing(merchant: Merchant) -> None:
    payment_id, url = page_of(merchant)
    assert post(url, act="leave").headers["Location"] == BACK["FailURL"]
    assert merchant.status(payment_id) == "NEW"


def test_sbp_is_offered_only_where_it_works(merchant: Merchant) -> None:
    _, two_stage = page_of(merchant, PayType="T")
    _, cheap = page_of(merchant, PayType="O", Amount=999, OrderId="2")
    for url in (two_stage, cheap):
        assert 'value="sbp"' not in requests.get(url, timeout=10).text
        assert "так оплатить нельзя" in post(url, method="sbp").text


@pytest.mark.parametrize("form", [{}, {"method": "gold"}, {"decline": "no reason"}], ids=str)
def test_a_choice_the_page_never_offered_changes_nothing(merchant: Merchant, form: dict[str, str]) -> None:
    payment_id, url = page_of(merchant)
    assert "так оплатить нельзя" in post(url, **form).text
    assert merchant.status(payment_id) == "NEW"


def test_an_unknown_page_is_not_found(bank: TBankSimulator) -> None:
    assert requests.get(f"{bank.address}/new/unknown", timeout=10).status_code == 404
    assert post(f"{bank.address}/new/unknown").status_code == 404
