"""Errors: a page for people, JSON for programs, the right status for both."""

import base64
import hashlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from flask import Flask, abort
from flask.testing import FlaskClient

from cloud.buyer import render_error
from cloud.buyer.errors import KNOWN
from cloud.database.database import Database
from cloud.processes.app import create_app
from cloud.settings import Settings
from cloud.wiring import build
from tests.cloud.buyer.orders import DEVICE, Orders
from tests.cloud.buyer.test_status_page import STYLE
from tests.cloud.worlds import SECRET_KEY

BROWSER = {"Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"}
FORM = {"Content-Type": "application/x-www-form-urlencoded"}
PAY = "/v1/initiate-payment"


@pytest.fixture
def failing(app: Flask) -> FlaskClient:
    """The application with addresses that always fail, in and outside of the API."""
    app.add_url_rule("/v1/broken/<int:code>", "broken_api", lambda code: render_error(code), methods=["GET", "POST"])
    app.add_url_rule("/broken/<int:code>", "broken", lambda code: render_error(code))
    app.add_url_rule("/abort/<int:code>", "abort", lambda code: abort(code))
    return app.test_client()


@pytest.fixture
def whole(tmp_path: Path, orders: Orders) -> Iterator[FlaskClient]:
    """The cloud's whole HTTP side, whose headers forbid any style that is not named."""
    cloud = build(Settings(SECRET_KEY, database_url=f"sqlite:///{tmp_path}/coffee.db"), orders.clock)
    yield create_app(cloud).test_client()
    cloud.close()


@pytest.mark.parametrize("code", sorted(KNOWN))
@pytest.mark.parametrize("language", ["ru", "en"])
def test_every_error_has_a_page_in_both_languages(failing: FlaskClient, code: int, language: str) -> None:
    response = failing.get(f"/broken/{code}?lang={language}", headers=BROWSER)

    assert response.status_code == code
    assert f'<html lang="{language}">' in response.text
    assert response.text.count("<h1>") == 1


@pytest.mark.parametrize("code", sorted(KNOWN))
def test_every_error_of_the_api_is_json(failing: FlaskClient, code: int) -> None:
    for headers in ({}, BROWSER, {"Accept": "application/json"}):
        response = failing.get(f"/v1/broken/{code}", headers=headers)
        assert response.status_code == code
        error = response.get_json()["error"]
        assert set(error) == {"code", "message"}
        assert error["message"]


def test_a_program_gets_json_anywhere_it_asks_for_it(failing: FlaskClient) -> None:
    response = failing.get("/broken/404", headers={"Accept": "application/json"})

    assert response.get_json()["error"]["code"] == "not_found"


def test_a_browsers_plain_form_gets_a_page(failing: FlaskClient) -> None:
    response = failing.post("/v1/broken/410", headers=BROWSER, data={"order_id": "o-1"})

    assert response.status_code == 410
    assert "<h1>" in response.text


@pytest.mark.parametrize("code", [414, 418, 501])
def test_a_rare_error_borrows_the_words_of_its_family(failing: FlaskClient, code: int) -> None:
    assert failing.get(f"/abort/{code}", headers=BROWSER).status_code == code


@pytest.mark.parametrize("code", [429, 503])
def test_who_should_come_back_is_told_when(failing: FlaskClient, code: int) -> None:
    assert int(failing.get(f"/broken/{code}").headers["Retry-After"]) > 0


@pytest.mark.parametrize(
    ("method", "address", "form", "status"),
    [
        ("GET", "/nowhere", {}, 404),
        ("POST", "/v1/pay", {}, 405),
        ("GET", "/v1/order-status-page?order_id=nobody", {}, 404),
        ("POST", PAY, {}, 400),
        ("POST", PAY, {"order_id": "nobody"}, 404),
        ("POST", PAY, {"order_id": "o-1"}, 503),
    ],
)
def test_a_page_about_an_error_has_its_style_wherever_the_error_is_made(
    whole: FlaskClient, orders: Orders, method: str, address: str, form: dict[str, str], status: int
) -> None:
    """Regression: outside of the buyer's own addresses the page's content policy forbade the style it brings along."""
    orders.successful("o-1")

    response = whole.open(address, method=method, data=form or None, headers=BROWSER | FORM)

    assert response.status_code == status
    [its_style] = STYLE.findall(response.text)
    known = base64.b64encode(hashlib.sha256(its_style.encode()).digest()).decode()
    assert f"style-src 'sha256-{known}'" in response.headers["Content-Security-Policy"]


@pytest.mark.parametrize(
    ("address", "status"), [(PAY, 413), ("/v1/order-claim", 413), (f"/m/{DEVICE}", 413), ("/v1/orders/o-1/make", 404)]
)
@pytest.mark.parametrize("accept", ["text/html", "application/json"])
def test_a_form_of_too_many_parts_is_refused_and_breaks_nothing(
    whole: FlaskClient, address: str, status: int, accept: str
) -> None:
    """Regression: whoever answered that it is too large read it once more, and that was an error of ours."""
    part = '--b\r\nContent-Disposition: form-data; name="a"\r\n\r\n\r\n'

    response = whole.post(
        address, data=part * 2300 + "--b--\r\n", content_type="multipart/form-data; boundary=b",
        headers={"Accept": accept},
    )  # fmt: skip

    assert (response.status_code, response.mimetype) == (status, accept)


def test_an_address_nobody_knows_is_a_page(failing: FlaskClient) -> None:
    response = failing.get("/nowhere", headers=BROWSER)

    assert response.status_code == 404
    assert "Такой страницы нет" in response.text


def test_a_qr_error_is_a_page_for_whoever_scans(client: FlaskClient, orders: Orders) -> None:
    assert "<h1>" in client.get("/v1/pay").text
    assert client.get("/v1/pay", headers={"Accept": "application/json"}).get_json()["error"]["code"] == "bad_scan"


WITH_NOTE = "Звоните <b>812</b>"


ABOUT_A_MACHINE = pytest.mark.parametrize(
    ("address", "status"),
    [
        (f"/v1/pay?deviceUuid={DEVICE}&drinkNo=espresso&size=9&uuid=o-9", 400),
        (f"/v1/pay?deviceUuid={DEVICE}&drinkNo=tea&size=0&uuid=o-9", 404),
        (f"/v1/pay?deviceUuid={DEVICE}&drinkNo=espresso&size=0&uuid=o-1", 409),
        (f"/v1/pay?deviceUuid={DEVICE}&drinkNo=cappuccino&size=1&uuid=o-1", 410),
        ("/abort/403?order_id=o-1", 403),
        ("/abort/429?order_id=o-1", 429),
        (f"/broken/500?deviceUuid={DEVICE}", 500),
        ("/broken/503?order_id=o-1", 503),
    ],
)


@ABOUT_A_MACHINE
@pytest.mark.parametrize("language", ["ru", "en"])
def test_the_machines_owner_has_a_word_on_every_error_page(
    failing: FlaskClient, orders: Orders, address: str, status: int, language: str
) -> None:
    orders.change_device(client_error_info=WITH_NOTE + "<script>alert(1)</script>")
    orders.expired("o-1")

    response = failing.get(address, headers=BROWSER | {"Accept-Language": language})

    assert response.status_code == status
    assert WITH_NOTE in response.text
    assert "alert(1)" not in response.text
    assert f'<html lang="{language}">' in response.text
    assert (status in {429, 503}) == ("Retry-After" in response.headers)


@ABOUT_A_MACHINE
def test_without_a_word_of_his_his_address_is_on_every_error_page(
    failing: FlaskClient, orders: Orders, address: str, status: int
) -> None:
    """Regression: who had written no note for errors left his buyers with nobody to call."""
    orders.change_merchant(contact_email="help@north.example")
    orders.expired("o-1")

    page = failing.get(address, headers=BROWSER).text

    assert ">help@north.example</a>" in page
    assert ("mailto:help@north.example?subject=o-1" in page) == ('class="number">o-1<' in page)


@pytest.mark.parametrize(("changed", "status"), [({"status": "closed"}, 503), ({"qr": "signed"}, 403)])
def test_a_menu_that_is_not_open_says_whom_to_ask(
    client: FlaskClient, orders: Orders, changed: dict[str, str], status: int
) -> None:
    orders.change_merchant(contact_email="help@north.example")
    orders.change_device(**changed)

    response = client.get(f"/m/{DEVICE}")

    assert response.status_code == status
    assert '<a href="mailto:help@north.example">' in response.text


def test_of_an_unknown_machine_nobody_is_named(client: FlaskClient, orders: Orders) -> None:
    orders.change_merchant(contact_email="help@north.example")

    assert "mailto:" not in client.get("/m/nobody").text


def test_an_error_page_comes_also_when_the_database_does_not(failing: FlaskClient, database: Database) -> None:
    with database.engine.begin() as connection:
        connection.exec_driver_sql("DROP TABLE devices")

    response = failing.get(f"/broken/500?deviceUuid={DEVICE}", headers=BROWSER)

    assert response.status_code == 500
    assert "У нас что-то сломалось" in response.text


def test_an_expired_code_leads_back_to_the_menu(client: FlaskClient, orders: Orders) -> None:
    orders.expired("o-1")

    response = client.get(f"/v1/pay?deviceUuid={DEVICE}&drinkNo=cappuccino&size=1&uuid=o-1")

    assert response.status_code == 410
    assert f'href="/m/{DEVICE}?lang=ru"' in response.text
