"""The menu behind the QR printed on a machine."""

from datetime import timedelta
from urllib.parse import parse_qs, urlsplit

import pytest
from flask.testing import FlaskClient
from sqlalchemy import func, select

from cloud.buyer.capability import COOKIE
from cloud.database.transaction import Transaction
from cloud.fleet.models import Merchant
from cloud.orders.models import Order
from tests.cloud.buyer.orders import DEVICE, START, Orders

MENU = f"/m/{DEVICE}"


def count_orders(orders: Orders) -> int:
    with orders.database.read() as session:
        return int(session.scalar(select(func.count()).select_from(Order)) or 0)


def test_every_drink_is_there_with_the_sizes_it_is_sold_in(client: FlaskClient, orders: Orders) -> None:
    html = client.get(MENU).text

    for words in ("Капучино", "Эспрессо", "Латте с карамелью", "149\u00a0₽", "209,50\u00a0₽", "99\u00a0₽"):
        assert words in html
    assert html.count("<button") == 7
    assert html.index("Капучино") < html.index("Эспрессо")


def test_looking_at_the_menu_orders_nothing(client: FlaskClient, orders: Orders) -> None:
    client.get(MENU)

    assert count_orders(orders) == 0


def test_choosing_a_drink_makes_an_order_and_shows_it(client: FlaskClient, orders: Orders) -> None:
    response = client.post(MENU, data={"drink_no": "cappuccino", "size": "2"})

    assert response.status_code == 303
    order_id = parse_qs(urlsplit(response.location).query)["order_id"][0]
    order = orders.order(order_id)
    assert (order.drink_no, order.size, order.price) == ("cappuccino", 2, 20950)
    assert client.get(response.location).status_code == 200


def test_a_drink_that_cannot_be_made_is_greyed_with_the_reason(client: FlaskClient, orders: Orders) -> None:
    orders.machine_says(faults=[{"code": "no_milk", "level": "block", "drinks": ["cappuccino", "latte"]}])

    html = client.get(MENU).text

    assert html.count("<button") == 1
    assert html.count("В автомате закончилось молоко.") == 2
    assert "149\u00a0₽" in html


def test_a_machine_that_makes_nothing_says_so_once(client: FlaskClient, orders: Orders) -> None:
    orders.machine_says(online=False)

    html = client.get(MENU).text

    assert "<button" not in html
    assert html.count("Автомат сейчас не на связи.") == 1


def test_the_menu_speaks_english(client: FlaskClient, orders: Orders) -> None:
    html = client.get(MENU, headers={"Accept-Language": "en"}).text

    assert "What would you like?" in html
    assert "small" in html


def test_an_unknown_machine_has_no_menu(client: FlaskClient, orders: Orders) -> None:
    for name in ("nobody", "x" * 100, "a%00b"):
        response = client.get(f"/m/{name}")
        assert response.status_code == 404
        assert "Мы не знаем этот автомат" in response.text


def test_a_closed_machine_has_no_menu(client: FlaskClient, orders: Orders) -> None:
    orders.change_device(status="closed", client_error_info="Звоните <b>812</b>")

    response = client.get(MENU)

    assert response.status_code == 503
    assert "Звоните <b>812</b>" in response.text


def test_where_the_contract_is_over_nothing_is_offered(client: FlaskClient, orders: Orders) -> None:
    """Regression: each drink could be chosen, and each choice was refused."""

    def end_contract(tx: Transaction) -> None:
        tx.session.get_one(Merchant, "north").valid_until = START.date() - timedelta(days=1)

    orders.database.transact(end_contract)
    response = client.get(MENU)
    assert response.status_code == 403
    assert "больше не принимает оплату телефоном" in response.text
    assert "<button" not in response.text
    assert MENU not in response.text  # it led to itself


@pytest.mark.parametrize("changed", [{"closed_since": START}, {"status": "closed"}, {"qr": "signed"}])
def test_where_there_is_no_menu_who_has_paid_is_led_to_the_drink_that_waits(
    client: FlaskClient, orders: Orders, changed: dict[str, object]
) -> None:
    """Regression: who stood at a closed machine with a paid drink read that nothing was charged."""
    orders.manual_make()
    orders.change_device(**changed)

    response = client.get(MENU)

    assert response.status_code == 302
    assert parse_qs(urlsplit(response.location).query)["order_id"] == ["o-1"]
    assert COOKIE in response.headers["Set-Cookie"]


@pytest.mark.parametrize(
    ("choice", "status"),
    [
        ({"drink_no": "tea", "size": "0"}, 404),
        ({"drink_no": "espresso", "size": "2"}, 404),
        ({"drink_no": "espresso", "size": "x"}, 400),
        ({"drink_no": "espresso"}, 400),
        ({}, 400),
    ],
)
def test_what_is_not_on_the_menu_is_not_ordered(
    client: FlaskClient, orders: Orders, choice: dict[str, str], status: int
) -> None:
    assert client.post(MENU, data=choice).status_code == status
    assert count_orders(orders) == 0


def test_no_other_site_orders_for_the_buyer(client: FlaskClient, orders: Orders) -> None:
    choice = {"drink_no": "espresso", "size": "0"}

    response = client.post(MENU, data=choice, headers={"Origin": "https://evil.example.org"})

    assert response.status_code == 403
    assert count_orders(orders) == 0


def test_a_machines_owner_may_add_a_note(client: FlaskClient, orders: Orders) -> None:
    orders.change_device(client_info="<b>Сегодня скидки</b><script>alert(1)</script>")

    html = client.get(MENU).text

    assert "<b>Сегодня скидки</b>" in html
    assert "alert(1)" not in html
