"""Pressing "pay": our own page asks, the machine is ready, one buyer at a time."""

import re
from datetime import timedelta

import pytest
from flask import Request
from flask.testing import FlaskClient
from werkzeug.test import EnvironBuilder

from cloud.background import heartbeat
from cloud.buyer import services as buyer_services
from cloud.buyer.headers import is_own
from cloud.buyer.services import Services
from cloud.settings import Settings
from tests.cloud.buyer.conftest import Counter
from tests.cloud.buyer.orders import DEVICE, Orders, TestClock

PAY = "/v1/initiate-payment"


def press(client: FlaskClient, order_id: str, **headers: str) -> dict[str, object]:
    """As the page's script does."""
    response = client.post(PAY, json={"order_id": order_id, "slot": "1"}, headers=headers)
    return {"status": response.status_code, "headers": response.headers, **(response.get_json() or {})}


def test_a_machine_that_is_ready_and_free_is_paid_for(client: FlaskClient, orders: Orders) -> None:
    told = press(client, orders.created())

    assert told["status"] == 200
    assert str(told["redirect_url"]).endswith("/provider")


def test_the_second_buyer_is_told_to_wait_in_words_and_seconds(
    client: FlaskClient, stranger: FlaskClient, orders: Orders, counter: Counter
) -> None:
    press(client, orders.created("o-1"))
    orders.pay_again("o-1")

    told = press(stranger, orders.created("o-2"), **{"Accept-Language": "en"})

    assert told["status"] == 409
    assert told["error"] == {
        "code": "reserved",
        "message": "Someone else is paying for a drink right now.",
        "says": "Someone else is paying for a drink right now.",
    }
    assert told["headers"]["Retry-After"] == "60"  # type: ignore[index]  # headers
    assert [got["order_id"] for got in counter.checkout_got] == ["o-1"]


def test_the_first_buyer_may_press_again(client: FlaskClient, orders: Orders) -> None:
    press(client, orders.created("o-1"))
    orders.pay_again("o-1")

    assert press(client, "o-1")["status"] == 200


def test_who_goes_back_from_the_payment_may_pay_for_another_drink(
    stranger: FlaskClient, client: FlaskClient, orders: Orders, clock: TestClock
) -> None:
    """Regression: they were told that somebody else was paying, and got no button: it was themselves."""
    buyer, drink = stranger, {"drink_no": "cappuccino", "size": "1"}
    buyer.post(f"/m/{DEVICE}", data=drink)
    assert press(buyer, "menu-0")["status"] == 200
    orders.pay_again("menu-0")
    clock.forward(20)

    second = buyer.post(f"/m/{DEVICE}", data=drink | {"drink_no": "latte"})
    assert 'name="slot"' in buyer.get(second.location).text
    assert press(buyer, "menu-1")["status"] == 200

    orders.pay_again("menu-1")
    told = press(client, orders.created("o-1"))
    assert (told["status"], told["headers"]["Retry-After"]) == (409, "40"), "the reservation moves, and grows no longer"  # type: ignore[index]  # headers
    assert "Сейчас платит другой покупатель" in client.get("/v1/order-status-page?order_id=o-1").text


def test_a_page_that_was_opened_when_all_was_well_sells_nothing(
    client: FlaskClient, orders: Orders, counter: Counter
) -> None:
    orders.created()
    orders.machine_says(faults=[{"code": "no_water", "level": "block", "drinks": []}])

    told = press(client, "o-1")

    assert told["status"] == 503
    assert told["error"]["says"] == "В автомате закончилась вода."  # type: ignore[index]  # a JSON object
    assert counter.checkout_got == []


def test_without_scripts_the_page_tells_it(client: FlaskClient, orders: Orders, counter: Counter) -> None:
    orders.created()
    orders.machine_says(online=False)

    response = client.post(PAY, data={"order_id": "o-1", "slot": "1"}, headers={"Accept": "text/html"})

    assert response.status_code == 303
    assert "Автомат сейчас не на связи." in client.get(response.location).text
    assert counter.checkout_got == []


def test_who_pays_keeps_the_language_they_chose(client: FlaskClient, orders: Orders, counter: Counter) -> None:
    german = {"Accept-Language": "de-DE", "Accept": "text/html"}
    html = client.get(f"/v1/order-status-page?order_id={orders.created()}&lang=en", headers=german).text
    [there] = re.findall('action="([^"]+)"', html)
    orders.machine_says(online=False)
    led = client.post(there, data={"order_id": "o-1", "slot": "1"}, headers=german)
    assert led.location.endswith("?order_id=o-1&lang=en")

    refused = client.post(there, data={"order_id": "o-1"}, headers=german | {"Sec-Fetch-Site": "cross-site"})

    assert 'href="/v1/order-status-page?order_id=o-1&amp;lang=en"' in refused.text


def test_a_program_does_not_wait_for_other_buyers(client: FlaskClient, orders: Orders) -> None:
    press(client, orders.created("o-1"))
    orders.pay_again("o-1")

    response = client.post(PAY, json={"order_id": orders.created("o-2")})

    assert response.status_code == 200


@pytest.mark.parametrize("way", ["the page", "the API"])
@pytest.mark.parametrize(
    ("is_alive", "has_broker", "control", "code"),
    [
        (False, False, "agent", "not_sent"),
        (True, False, "agent", "not_sent"),
        (True, True, "agent", ""),
        (True, False, "tmetr-api", ""),
        (False, False, "tmetr-api", "not_sent"),
    ],
)
def test_nobody_is_sold_what_nobody_could_send(
    client: FlaskClient, services: Services, orders: Orders, counter: Counter, way: str, is_alive: bool,
    has_broker: bool, control: str, code: str,
) -> None:  # fmt: skip
    orders.change_device(control=control)
    orders.machine_says()
    if is_alive:
        orders.database.transact(heartbeat.beat, "worker", has_broker, orders.clock())
    watch_carriers(services)
    body = {"order_id": orders.created()} | ({"slot": "1"} if way == "the page" else {})

    answer = client.post(PAY, json=body)

    if code:
        assert (answer.status_code, answer.get_json()["error"]["code"]) == (503, code)
    else:
        assert answer.status_code == 200
    assert len(counter.checkout_got) == (0 if code else 1)


@pytest.mark.parametrize(
    "lacks", [{"hears_devices": False}, {"lag_s": heartbeat.FAR_BEHIND_S + 1}], ids=["deaf", "far behind"]
)
def test_nobody_is_sold_what_no_worker_would_hear_of(
    client: FlaskClient, services: Services, orders: Orders, counter: Counter, lacks: dict[str, float]
) -> None:
    orders.machine_says()
    now = orders.clock()
    orders.database.transact(lambda tx: heartbeat.beat(tx, "worker", True, now, **lacks))  # type: ignore[arg-type]
    watch_carriers(services)

    answer = client.post(PAY, json={"order_id": orders.created()})

    assert (answer.status_code, answer.get_json()["error"]["code"]) == (503, "not_sent")
    assert counter.checkout_got == []


@pytest.mark.parametrize("way", ["the page", "the API"])
@pytest.mark.parametrize("ahead_s", [-8, 25, 3 * 3600], ids=["lately", "the clock set back", "by hours"])
def test_a_worker_that_died_since_its_last_beat_is_missed_by_who_presses(
    client: FlaskClient, services: Services, orders: Orders, counter: Counter, way: str, ahead_s: int
) -> None:
    """SQLite's workers beat each 30 s."""
    orders.machine_says()
    orders.database.transact(heartbeat.beat, "worker", True, orders.clock() + timedelta(seconds=ahead_s))
    object.__setattr__(services, "asks_machines", True)
    watch_carriers(services)
    body = {"order_id": orders.created()} | ({"slot": "1"} if way == "the page" else {})

    answer = client.post(PAY, json=body)

    assert (answer.status_code, answer.get_json()["error"]["code"]) == (503, "not_sent")
    assert counter.checkout_got == []


def watch_carriers(services: Services) -> None:
    object.__setattr__(
        services, "carrier_seen",
        lambda device: heartbeat.carrier_seen(services.database, services.clock(), by_broker=device.control == "agent"),
    )  # fmt: skip


def test_a_test_machine_is_sold_whatever_is_away(client: FlaskClient, services: Services, orders: Orders) -> None:
    object.__setattr__(services, "carrier_seen", lambda _: None)
    orders.change_device(status="test")

    assert client.post(PAY, json={"order_id": orders.created()}).status_code == 200


@pytest.mark.parametrize("headers", [{"Origin": "https://evil.example.org"}, {"Sec-Fetch-Site": "cross-site"}])
def test_no_other_site_pays_for_the_buyer(
    client: FlaskClient, orders: Orders, counter: Counter, headers: dict[str, str]
) -> None:
    orders.created()

    assert client.post(PAY, data={"order_id": "o-1"}, headers=headers).status_code == 403
    assert counter.checkout_got == []


@pytest.mark.parametrize(
    "written", ["https://Pay.Example.org", "https://pay.example.org:443/", "https://pay.example.org"]
)
def test_a_browser_that_tells_only_its_origin_is_known_behind_a_proxy(written: str) -> None:
    """An old Safari's; the proxy asks us by plain HTTP."""
    told = {"Origin": "https://pay.example.org"}
    asked = Request(EnvironBuilder(base_url="http://pay.example.org/", headers=list(told.items())).get_environ())
    settings = Settings.from_env({"COFFEE_SECRET_KEY": "x" * 32, "COFFEE_PUBLIC_URL": written})
    assert is_own(asked, settings.public_url)


def test_one_order_is_not_pressed_without_end(client: FlaskClient, orders: Orders) -> None:
    orders.created("o-1")
    orders.created("o-2")
    statuses = [client.post(PAY, json={"order_id": "o-1"}).status_code for _ in range(buyer_services.ACTS_BURST + 1)]

    assert statuses == [200] * buyer_services.ACTS_BURST + [429]
    assert client.post(PAY, json={"order_id": "o-2"}).status_code == 200


@pytest.mark.parametrize("body", [None, [], {"order_id": 5}, {"order_id": ""}, {"order_id": "a\x00b"}])
def test_nonsense_is_left_to_the_checkout(client: FlaskClient, counter: Counter, body: object) -> None:
    counter.checkout_status = 400

    client.post(PAY, json=body)

    assert len(counter.paths) == 1
