"""POST /v1/orders/<order_id>/make: the buyer at the machine, in `manual_make` and nowhere else."""

import pytest
from flask.testing import FlaskClient
from sqlalchemy import delete, func, select

from cloud.fleet.models import Drink
from cloud.orders.models import MakeCommand
from cloud.orders.states import Status
from tests.cloud.buyer.orders import Orders
from tests.cloud.buyer.states import STATES

BROWSER = {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"}


def test_the_drink_is_ordered_once(client: FlaskClient, orders: Orders) -> None:
    orders.manual_make()

    first = client.post("/v1/orders/o-1/make")
    second = client.post("/v1/orders/o-1/make")

    assert first.status_code == 200
    assert first.get_json()["status"] == Status.PAID
    assert second.status_code == 409
    with orders.database.read() as session:
        assert session.scalar(select(func.count()).select_from(MakeCommand)) == 1


@pytest.mark.parametrize("state", [state for state in STATES if not state.startswith("manual_make")])
def test_no_other_order_is_poured(client: FlaskClient, orders: Orders, state: str) -> None:
    order_id = STATES[state](orders)
    orders.machine_says()
    before = orders.order(order_id)

    response = client.post(f"/v1/orders/{order_id}/make")

    assert response.status_code == 409
    assert response.get_json()["error"]["code"] == "wrong_state"
    assert orders.order(order_id).version == before.version


def test_a_plain_form_is_led_back_to_the_page(client: FlaskClient, orders: Orders) -> None:
    orders.manual_make("a/b")

    response = client.post("/v1/orders/a%2Fb/make?lang=en", headers=BROWSER, data={})

    assert response.status_code == 303
    assert response.location == "/v1/order-status-page?order_id=a/b&lang=en"


def test_a_plain_form_is_refused_in_words(client: FlaskClient, orders: Orders) -> None:
    orders.paid()

    response = client.post("/v1/orders/o-1/make", headers=BROWSER, data={"x": "1"})

    assert response.status_code == 409
    assert "<h1>" in response.text
    assert "o-1" in response.text


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({"Sec-Fetch-Site": "same-site"}, 403),
        ({"Origin": "https://evil.example.org"}, 403),
        ({"Origin": "null"}, 403),
        ({"Sec-Fetch-Site": "same-origin", "Origin": "http://localhost"}, 200),
        ({"Origin": "http://localhost"}, 200),
        ({}, 200),
    ],
)
def test_no_other_site_pours_for_the_buyer(
    client: FlaskClient, orders: Orders, headers: dict[str, str], status: int
) -> None:
    orders.manual_make()

    assert client.post("/v1/orders/o-1/make", headers=headers).status_code == status
    assert orders.order("o-1").status == (Status.PAID if status == 200 else Status.MANUAL_MAKE)


def test_an_order_is_kept_while_the_machine_cannot_make_it(client: FlaskClient, orders: Orders) -> None:
    orders.manual_make()
    orders.machine_says(online=False)

    response = client.post("/v1/orders/o-1/make")

    assert response.status_code == 503
    assert response.get_json()["error"]["code"] == "not_ready"
    assert orders.order("o-1").status == Status.MANUAL_MAKE


def test_a_drink_that_has_left_the_menu_since_it_was_paid_is_poured(client: FlaskClient, orders: Orders) -> None:
    orders.manual_make()
    orders.database.transact(lambda tx: tx.session.execute(delete(Drink)))

    assert client.post("/v1/orders/o-1/make").status_code == 200
    assert orders.order("o-1").status == Status.PAID


def test_an_unknown_order_is_not_poured(client: FlaskClient, orders: Orders) -> None:
    assert client.post("/v1/orders/nobody/make").status_code == 404


def test_looking_does_not_pour(client: FlaskClient, orders: Orders) -> None:
    orders.manual_make()

    response = client.get("/v1/orders/o-1/make")

    assert response.status_code == 405
    assert "POST" in response.headers["Allow"]
    assert orders.order("o-1").status == Status.MANUAL_MAKE
