"""GET /v1/order-status/<order_id>: the keys others hold on to, and those added since."""

from collections.abc import Callable
from contextlib import closing
from urllib.parse import quote

import pytest
from flask import Flask
from flask.testing import FlaskClient

from cloud.buyer.blueprint import create_blueprint
from cloud.buyer.services import Services
from cloud.database.database import Database
from cloud.orders.states import Status
from protocol.reasons import Stage
from tests.cloud.buyer.orders import Orders
from tests.cloud.buyer.states import STATES

KEPT = {
    *("order_id", "status", "drink_name", "drink_size", "price", "expires_at", "payment_scenario"),
    *("is_receipt_mandatory", "device"),
}
ADDED = {"version", "stage", "reason", "return", "progress", "receipt"}
OF_DEVICE = {
    *("location", "logo_url", "client_info", "client_info_pending", "client_info_paid", "client_info_not_paid"),
    *("client_info_make_pending", "client_info_manual_make", "client_info_successful", "client_info_make_failed"),
}


def status_of(client: FlaskClient, order_id: str, language: str = "") -> dict[str, object]:
    headers = {"Accept-Language": language} if language else {}
    response = client.get(f"/v1/order-status/{quote(order_id, safe='')}", headers=headers)
    assert response.status_code == 200, response.text
    told: dict[str, object] = response.get_json()
    return told


@pytest.mark.parametrize("state", STATES)
def test_every_state_is_told_with_the_same_keys(client: FlaskClient, orders: Orders, state: str) -> None:
    order_id = STATES[state](orders)

    told = status_of(client, order_id)

    assert told.keys() == KEPT | ADDED
    assert isinstance(told["device"], dict)
    assert told["device"].keys() == OF_DEVICE
    assert told["status"] == orders.order(order_id).status


def test_make_failed_is_one_of_the_statuses_an_order_can_have(orders: Orders) -> None:
    assert "make_failed" in set(Status)
    assert orders.order(orders.make_failed()).status == "make_failed"


def test_money_is_in_roubles_and_time_has_its_zone(client: FlaskClient, orders: Orders) -> None:
    told = status_of(client, orders.created(size=2))

    assert told["price"] == 209.5
    assert told["expires_at"] == "2026-03-02T09:15:00+00:00"
    assert told["drink_name"] == "Капучино"


@pytest.mark.parametrize(
    ("size", "ru", "en"), [(0, "маленький", "small"), (1, "средний", "medium"), (2, "большой", "large")]
)
def test_the_size_is_a_word_of_the_reader(client: FlaskClient, orders: Orders, size: int, ru: str, en: str) -> None:
    orders.created(size=size)

    assert status_of(client, "o-1")["drink_size"] == ru
    assert status_of(client, "o-1", "ru,en;q=0.5")["drink_size"] == ru
    assert status_of(client, "o-1", "en-US,en;q=0.9")["drink_size"] == en


def test_a_receipt_is_mandatory_where_the_merchant_owes_one(client: FlaskClient, orders: Orders) -> None:
    assert status_of(client, orders.created("plain"))["is_receipt_mandatory"] is False
    orders.change_device(payment_scenario="YookassaReceipt")

    told = status_of(client, orders.created("fiscal"))

    assert told["is_receipt_mandatory"] is True
    assert told["payment_scenario"] == "YookassaReceipt"


def test_real_stages_are_told(client: FlaskClient, orders: Orders) -> None:
    assert status_of(client, orders.created())["stage"] is None
    assert status_of(client, orders.sent("s"))["stage"] == "sent"
    assert status_of(client, orders.accepted("a"))["stage"] == "accepted"
    milk = status_of(client, orders.making("m", Stage.MILK, 70))
    assert (milk["stage"], milk["progress"]) == ("milk", 70)


def test_a_failure_tells_its_reason_and_the_return(client: FlaskClient, orders: Orders) -> None:
    told = status_of(client, orders.make_failed(method="sbp"))

    assert told["status"] == "make_failed"
    assert told["reason"] == "rejected:no_milk"
    assert told["return"] == {"status": "in_progress", "amount": 179.0, "expected_by": "2026-03-03T09:00:00+00:00"}


def test_of_what_was_returned_in_the_cabinet_the_buyer_is_told_by_when_it_arrives(
    client: FlaskClient, orders: Orders
) -> None:
    told = status_of(client, orders.returned_before())

    assert (told["status"], told["reason"]) == ("failed", "returned")
    assert told["return"] == {"status": "done", "amount": 179.0, "expected_by": "2026-03-05T09:00:00+00:00"}


def test_the_note_of_a_failure_is_in_the_answer_and_harmless(client: FlaskClient, orders: Orders) -> None:
    orders.change_device(client_info_make_failed='<b>812</b><img src=x onerror="alert(1)">')

    device = status_of(client, orders.make_failed())["device"]

    assert isinstance(device, dict)
    assert device["client_info_make_failed"] == "<b>812</b>"
    assert device["client_info_pending"] == ""


@pytest.mark.parametrize("order_id", ["a/b", "a//b", "/a", "a b&c?d#e", "заказ-7", "a%2Fb", "x/events", "y/make"])
def test_any_order_id_can_be_asked_for(client: FlaskClient, orders: Orders, order_id: str) -> None:
    assert status_of(client, orders.created(order_id))["order_id"] == order_id


@pytest.mark.parametrize("order_id", ["nobody", "x" * 300, "a%00b", "%FF", "a/b/c"])
def test_an_unknown_order_is_told_so_in_json(client: FlaskClient, orders: Orders, order_id: str) -> None:
    response = client.get(f"/v1/order-status/{order_id}", headers={"Accept": "text/html"})

    assert response.status_code == 404
    assert response.get_json()["error"]["code"] == "unknown_order"
    assert response.get_json()["error"]["message"]


def test_the_version_grows_with_each_change(client: FlaskClient, orders: Orders) -> None:
    versions = [status_of(client, orders.created())["version"]]
    orders.pay_again("o-1")
    versions.append(status_of(client, "o-1")["version"])

    assert versions == sorted(set(versions))  # type: ignore[type-var]  # they are numbers
    assert versions[-1] == orders.order("o-1").version


def test_nobody_keeps_a_copy(client: FlaskClient, orders: Orders) -> None:
    response = client.get(f"/v1/order-status/{orders.created()}")

    assert response.headers["Cache-Control"] == "no-store"


def test_who_has_the_answer_is_told_only_that(client: FlaskClient, orders: Orders) -> None:
    address = f"/v1/order-status/{orders.created()}"
    first = client.get(address)

    again = client.get(address, headers={"If-None-Match": f'"other", {first.headers["ETag"]}'})

    assert (again.status_code, again.data) == (304, b"")
    assert again.headers["ETag"] == first.headers["ETag"]
    assert client.get(address, headers={"If-None-Match": 'W/"1-other"'}).status_code == 200


CHANGES: dict[str, Callable[[Orders], object]] = {
    "the order": lambda orders: orders.pay_again("o-1"),
    "the machine's note": lambda orders: orders.change_device(client_info_paid="soon"),
    "the logo": lambda orders: orders.change_device(logo_url="https://example.org/new.svg"),
}


@pytest.mark.parametrize("what", CHANGES)
def test_whatever_changes_the_answer_changes_its_name(client: FlaskClient, orders: Orders, what: str) -> None:
    orders.created()
    known = client.get("/v1/order-status/o-1").headers["ETag"]

    CHANGES[what](orders)

    assert client.get("/v1/order-status/o-1", headers={"If-None-Match": known}).status_code == 200


def test_a_return_that_goes_on_changes_the_answers_name_though_not_the_orders_version(
    client: FlaskClient, orders: Orders
) -> None:
    order_id = orders.make_failed()
    first = client.get(f"/v1/order-status/{order_id}")

    orders.returned(order_id)

    told = client.get(f"/v1/order-status/{order_id}", headers={"If-None-Match": first.headers["ETag"]})
    assert told.status_code == 200
    assert told.get_json()["return"]["status"] == "done"


def test_another_language_is_another_answer(client: FlaskClient, orders: Orders) -> None:
    address = f"/v1/order-status/{orders.created()}"
    russian = client.get(address).headers["ETag"]
    for asked in ({"query_string": "lang=en"}, {"headers": {"Accept-Language": "en"}}):
        assert client.get(address, **asked).headers["ETag"] != russian


@pytest.mark.parametrize("note", ["", "<b>" + "кофе " * 500], ids=["short", "long"])
def test_in_front_of_flask_and_behind_it_the_answer_is_the_same(
    app: Flask, services: Services, orders: Orders, note: str
) -> None:
    """Long ones go on to Flask, which makes them smaller."""
    orders.change_device(client_info=note)
    address = f"/v1/order-status/{orders.created()}"
    alone = Flask("no-endpoint", static_folder=None)
    alone.register_blueprint(create_blueprint(services))
    headers = {"Accept-Encoding": "gzip"}

    answers = [asked.test_client().get(address, headers=headers) for asked in (app, alone)]

    assert answers[0].data == answers[1].data
    assert dict(answers[0].headers) == dict(answers[1].headers)
    assert ("Content-Encoding" in answers[0].headers) == bool(note)
    for asked in (app, alone):
        known = headers | {"If-None-Match": answers[0].headers["ETag"]}
        assert asked.test_client().get(address, headers=known).status_code == 304


def test_one_address_asks_no_more_often_than_it_may(client: FlaskClient, services: Services, orders: Orders) -> None:
    address = f"/v1/order-status/{orders.created()}"
    while services.looks.allows("127.0.0.1", services.clock()):
        pass

    assert client.get(address).status_code == 429


def test_an_order_is_read_by_one_statement(client: FlaskClient, database: Database, orders: Orders) -> None:
    address = f"/v1/order-status/{orders.make_failed()}"
    client.get(address)
    asked: list[str] = []
    with closing(database.engine.raw_connection()) as connection:
        driver = connection.driver_connection
        assert driver is not None
        driver.set_trace_callback(asked.append)
    client.get(address)
    assert len(asked) == 1
