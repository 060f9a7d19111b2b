"""The machine's QR: what becomes of a scan."""

import hashlib
import logging
from datetime import timedelta
from urllib.parse import parse_qs, urlsplit

import pytest
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from cloud.buyer.limits import RateLimit
from cloud.buyer.services import Services
from cloud.database.database import Database
from cloud.database.transaction import Transaction
from cloud.fleet.models import Merchant
from cloud.orders.models import Order
from cloud.orders.states import Status
from tests.cloud.buyer.orders import DEVICE, PRICE, RULES, START, Orders, TestClock

SCAN = {"deviceUuid": DEVICE, "drinkNo": "cappuccino", "drinkName": "Cheap!", "size": "1", "uuid": "q-1"}


def scan(client: FlaskClient, path: str = "/v1/pay", **changes: str) -> TestResponse:
    return client.get(path, query_string={**SCAN, **changes})


def order_shown(response: TestResponse) -> str:
    assert response.status_code == 302, response.text
    where = urlsplit(response.location)
    assert where.path == "/v1/order-status-page"
    return parse_qs(where.query)["order_id"][0]


@pytest.mark.parametrize("path", ["/v1/pay", "/v1/yook-pay", "/v1/tbank-pay"])
def test_a_scan_becomes_an_order_and_leads_to_its_page(client: FlaskClient, orders: Orders, path: str) -> None:
    assert order_shown(scan(client, path)) == "q-1"

    order = orders.order("q-1")
    assert (order.status, order.drink_name, order.size, order.price) == (Status.CREATED, "Капучино", 1, PRICE)


def test_the_price_and_name_in_the_code_are_not_believed(client: FlaskClient, orders: Orders) -> None:
    scan(client, drinkName="Free coffee", price="1")

    assert orders.order("q-1").drink_name == "Капучино"
    assert orders.order("q-1").price == PRICE


def test_scanning_again_shows_the_same_order(client: FlaskClient, orders: Orders) -> None:
    orders.paid("q-1")

    assert order_shown(scan(client)) == "q-1"
    assert orders.order("q-1").status == Status.PAID


@pytest.mark.parametrize("order_id", ["a&b=c", "a/b//c", "заказ 7", "a?x#y", "a%2Fb", "..x", 'q"><b>', "ж" * 255])
def test_any_text_may_name_an_order(client: FlaskClient, orders: Orders, order_id: str) -> None:
    response = scan(client, uuid=order_id)

    assert order_shown(response) == order_id
    assert client.get(response.location).status_code == 200
    assert orders.order(order_id).status == Status.CREATED


@pytest.mark.parametrize(
    ("changes", "status", "says"),
    [
        ({"deviceUuid": "nobody"}, 404, "Мы не знаем этот автомат"),
        ({"drinkNo": "tea"}, 404, "Этого напитка у автомата больше нет"),
        ({"drinkNo": "espresso", "size": "2"}, 404, "Этот размер сейчас не продаётся"),
        ({"size": "3"}, 400, "В коде не хватает данных"),
        ({"size": "-1"}, 400, "В коде не хватает данных"),
        ({"size": ""}, 400, "В коде не хватает данных"),
        ({"uuid": ""}, 400, "В коде не хватает данных"),
        ({"uuid": "x" * 256}, 400, "В коде не хватает данных"),
        ({"uuid": "💧" * 255}, 400, "В коде не хватает данных"),
        ({"uuid": "a\x00b"}, 400, "В коде не хватает данных"),
        ({"uuid": ".."}, 400, "В коде не хватает данных"),
        ({"drinkNo": ""}, 400, "В коде не хватает данных"),
        ({"deviceUuid": "d" * 65}, 400, "В коде не хватает данных"),
    ],
)
def test_a_scan_that_makes_no_sense_is_refused_in_words(
    client: FlaskClient, orders: Orders, changes: dict[str, str], status: int, says: str
) -> None:
    response = scan(client, **changes)

    assert response.status_code == status
    assert says in response.text
    with orders.database.read() as session:
        assert session.query(Order).count() == 0


def test_a_closed_machine_says_so_and_whom_to_call(client: FlaskClient, orders: Orders) -> None:
    orders.change_device(status="closed", client_error_info='<b>812</b><script src="x"></script>')

    response = scan(client)

    assert response.status_code == 503
    assert "Автомат временно закрыт" in response.text
    assert "<b>812</b>" in response.text
    assert 'src="x"' not in response.text


def test_a_merchant_whose_contract_is_over_sells_nothing(client: FlaskClient, orders: Orders) -> None:
    def end_contract(tx: Transaction) -> None:
        tx.session.get_one(Merchant, "north").valid_until = START.date() - timedelta(days=1)

    orders.database.transact(end_contract)

    assert scan(client).status_code == 403


def test_a_machine_without_payment_says_so(client: FlaskClient, orders: Orders) -> None:
    orders.change_device(payment_scenario="TBank")

    assert scan(client).status_code == 503


def test_one_number_never_names_two_drinks(client: FlaskClient, orders: Orders) -> None:
    scan(client)

    response = scan(client, size="2")

    assert response.status_code == 409
    assert "q-1" in response.text


def test_an_expired_scan_is_told_so(client: FlaskClient, orders: Orders) -> None:
    orders.expired("q-1")

    response = scan(client)

    assert response.status_code == 410
    assert "Время заказа вышло" in response.text
    assert "q-1" in response.text


def test_a_scan_expires_before_anybody_has_noticed(client: FlaskClient, orders: Orders, clock: TestClock) -> None:
    orders.created("q-1")
    clock.forward(RULES.order_expiration_s + 1)

    assert scan(client).status_code == 410


def test_an_order_paid_late_is_shown_however_often_it_is_scanned(
    client: FlaskClient, orders: Orders, clock: TestClock
) -> None:
    orders.manual_make("q-1")
    clock.forward(RULES.order_expiration_s)

    assert order_shown(scan(client)) == "q-1"


def test_a_wrong_checksum_is_noted_and_blocks_nothing(
    client: FlaskClient, orders: Orders, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        assert order_shown(scan(client, random="abcdef", ts="1742198482", salt="0" * 32)) == "q-1"

    assert "checksum is wrong" in caplog.text


def test_a_right_checksum_is_not_noted(client: FlaskClient, orders: Orders, caplog: pytest.LogCaptureFixture) -> None:
    salt = hashlib.md5(b"cappuccino" + b"waxoqk" + b"1742198482" + b"1" + b"q-1").hexdigest()
    with caplog.at_level(logging.WARNING):
        scan(client, random="waxoqk", ts="1742198482", salt=salt)

    assert not caplog.text


def test_whoever_invents_orders_is_stopped_and_old_ones_still_open(
    client: FlaskClient, orders: Orders, clock: TestClock
) -> None:
    statuses = [scan(client, uuid=f"invented-{n}").status_code for n in range(7)]

    assert statuses == [302] * 5 + [429] * 2
    assert scan(client, uuid="invented-0").status_code == 302
    clock.forward(1)
    assert scan(client, uuid="one more").status_code == 302


@pytest.mark.parametrize(
    ("method", "headers"),
    [
        ("HEAD", {}),
        ("GET", {"Sec-Purpose": "prefetch;prerender"}),
        ("GET", {"Purpose": "prefetch"}),
        ("GET", {"X-Moz": "prefetch"}),
    ],
)
def test_only_a_person_makes_an_order(
    client: FlaskClient, orders: Orders, database: Database, method: str, headers: dict[str, str]
) -> None:
    look = {"method": method, "query_string": SCAN, "headers": headers}
    assert client.open("/v1/pay", **look).status_code == 204  # type: ignore[arg-type]
    with database.read() as session:
        assert session.get(Order, "q-1") is None
    scan(client)
    assert client.open("/v1/pay", **look).status_code == 302  # type: ignore[arg-type]


def test_one_machine_is_not_given_orders_without_end_from_many_networks(
    app: Flask, services: Services, orders: Orders, clock: TestClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(services.__dict__, "of_device", RateLimit(burst=3, per_s=1))
    monkeypatch.setitem(services.__dict__, "of_network", RateLimit(burst=2, per_s=1))

    def status(number: int, address: str) -> int:
        monkeypatch.setitem(services.__dict__, "visitor", lambda: address)
        return scan(app.test_client(), uuid=f"far-{number}").status_code

    assert [status(n, f"2001:db8:1:{n}::1") for n in range(3)] == [302, 302, 429], "one network"
    assert [status(9 + n, f"2001:db8:{9 + n}::1") for n in range(2)] == [302, 429], "one machine"
    clock.forward(1)
    assert status(99, "192.0.2.1") == 302


def test_a_page_in_english_was_asked_for_in_english(client: FlaskClient, orders: Orders, services: Services) -> None:
    response = client.get("/v1/pay", query_string={**SCAN, "size": "9"}, headers={"Accept-Language": "en-GB"})

    assert "This link is damaged" in response.text
    assert '<html lang="en">' in response.text


def test_the_order_remembers_the_language(client: FlaskClient, orders: Orders, database: Database) -> None:
    client.get("/v1/pay", query_string=SCAN, headers={"Accept-Language": "en"})

    assert orders.order("q-1").language == "en"
