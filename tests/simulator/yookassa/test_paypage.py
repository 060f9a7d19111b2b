"""A buyer at the payment page, through its own forms."""

import re
from html.parser import HTMLParser
from typing import Any

import pytest
import requests

from simulator.yookassa import YooKassaSimulator
from simulator.yookassa.behaviour import Behaviour
from simulator.yookassa.paypage import PAGE_CARDS
from tests.simulator.yookassa.shop import COFFEE, SBP, TestShop


class Buttons(HTMLParser):
    """Every button, radio and hidden field of a page, as (name, value)."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.fields: list[tuple[str, str]] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if tag in ("button", "input") and given.get("name"):
            self.fields.append((given["name"] or "", given.get("value") or ""))


class Buyer:
    """Opens the address the shop was given; never follows the way back."""

    def __init__(self, created: dict[str, Any]) -> None:
        self.url = created["confirmation"]["confirmation_url"]
        self.page = self.look()

    def look(self) -> str:
        return requests.get(self.url, timeout=10).text

    def offers(self, name: str) -> list[str]:
        return [value for field, value in Buttons(self.page).fields if field == name]

    def press(self, **form: str) -> requests.Response:
        offered = Buttons(self.page).fields
        assert all(field in offered for field in form.items()), form
        return requests.post(self.url, data=form, allow_redirects=False, timeout=10)


RETURN_URL = COFFEE["confirmation"]["return_url"]


def test_a_buyer_pays_by_card_and_returns_to_the_shop(shop: TestShop) -> None:
    created = shop.create(capture=True)
    back = Buyer(created).press(method="bank_card", card="5555555555554477", act="pay")
    assert (back.status_code, back.headers["Location"]) == (303, RETURN_URL)
    paid = shop.payment(created["id"])
    assert (paid["status"], paid["payment_method"]["card"]["last4"]) == ("succeeded", "4477")


def test_every_reason_on_the_page_declines_for_that_reason(shop: TestShop) -> None:
    declining = set(Buyer(shop.create()).offers("card")) - set(PAGE_CARDS)
    reasons = set()
    for pan in declining:
        created = shop.create()
        back = Buyer(created).press(method="bank_card", card=pan)
        assert back.headers["Location"] == RETURN_URL
        reasons.add(tuple(shop.payment(created["id"])["cancellation_details"].values()))
    assert len(reasons) == 13


def test_a_declined_buyer_may_try_again_when_the_provider_lets_them(
    shop: TestShop, simulator: YooKassaSimulator
) -> None:
    simulator.behaviour = Behaviour(declined_keeps_pending=True)
    created = shop.create(capture=True)
    buyer = Buyer(created)
    again = buyer.press(method="bank_card", card="5555555555554600")
    assert again.status_code == 200
    assert "Банк отклонил оплату" in again.text
    buyer.press(method="yoo_money", act="pay")
    assert shop.payment(created["id"])["payment_method"]["type"] == "yoo_money"


def test_a_buyer_who_leaves_returns_with_nothing_paid(shop: TestShop) -> None:
    created = shop.create()
    back = Buyer(created).press(act="leave")
    assert back.headers["Location"] == RETURN_URL
    assert shop.payment(created["id"])["status"] == "pending"


def test_sbp_is_offered_only_where_the_money_is_taken_at_once(shop: TestShop) -> None:
    assert Buyer(shop.create(capture=True)).offers("method")[:3] == ["bank_card", "yoo_money", "sbp"]
    hold = Buyer(shop.create())
    assert "sbp" not in hold.offers("method")
    assert "удерживается" in hold.page
    only_sbp = Buyer(shop.create(capture=True, **SBP))
    assert set(only_sbp.offers("method")) == {"sbp"}
    only_sbp.press(method="sbp", act="pay")


def test_a_form_that_asks_for_more_than_was_offered_gets_the_page_again(shop: TestShop) -> None:
    created = shop.create()
    for form in ({"method": "sbp"}, {"method": "bank_card", "card": "4242424242424242"}, {"method": "x"}, {}):
        answer = requests.post(created["confirmation"]["confirmation_url"], data=form, timeout=10)
        assert "так оплатить нельзя" in answer.text
    assert shop.payment(created["id"])["status"] == "pending"


def test_a_finished_payment_says_how_it_ended(shop: TestShop, simulator: YooKassaSimulator) -> None:
    paid, expired = shop.create(capture=True), shop.create()
    simulator.pay(paid["id"])
    assert "Оплачено" in Buyer(paid).page
    assert requests.post(Buyer(paid).url, data={"method": "bank_card"}, timeout=10).status_code == 200
    held = shop.create()
    simulator.pay(held["id"])
    assert "Сумма удержана" in Buyer(held).page
    simulator.advance(3600)
    assert "Время на оплату вышло" in Buyer(expired).page


def test_an_unknown_payment_is_not_found(simulator: YooKassaSimulator) -> None:
    for order in ("", "?orderId=x", "?orderId=<script>"):
        answer = requests.get(f"{simulator.address}/checkout/payments/v2/contract{order}", timeout=10)
        assert answer.status_code == 404
        assert "Платёж не найден" in answer.text
        assert "<script" not in answer.text


def test_what_a_shop_writes_is_shown_as_text(shop: TestShop) -> None:
    created = shop.create(description='<script>alert(1)</script>"&')
    page = Buyer(created).page
    assert "<script" not in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt;&#34;&amp;" in page


def test_the_page_says_it_is_a_simulation_and_asks_nothing_of_other_hosts(shop: TestShop) -> None:
    created = shop.create(capture=True)
    answer = requests.get(created["confirmation"]["confirmation_url"], timeout=10)
    assert "Симулятор ЮKassa" in answer.text
    assert "деньги не списываются" in answer.text
    assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
    assert re.findall(r'(?:src|href)="([^"]+)"', answer.text) == ["data:,", "/checkout/static/pay.css"]
    css = requests.get(f"{shop.simulator.address}/checkout/static/pay.css", timeout=10)
    assert css.headers["Content-Type"].startswith("text/css")
    assert "url(" not in css.text
    assert "@import" not in css.text


@pytest.mark.parametrize("kind", ["qr", "external", "embedded", "mobile_application"])
def test_other_confirmations_carry_what_they_should(shop: TestShop, kind: str) -> None:
    confirmation = shop.create(confirmation={"type": kind, "return_url": "https://pay.example.com/"})["confirmation"]
    expected = {
        "qr": "confirmation_data",
        "embedded": "confirmation_token",
        "mobile_application": "confirmation_url",
        "external": "type",
    }
    assert confirmation[expected[kind]]


def test_buyers_are_sent_to_the_public_address() -> None:
    with YooKassaSimulator(public_url="https://pay.example.org/") as simulator:
        shop = TestShop(simulator)
        created = shop.create()
        shop.session.close()
    expected = f"https://pay.example.org/checkout/payments/v2/contract?orderId={created['id']}"
    assert created["confirmation"]["confirmation_url"] == expected
