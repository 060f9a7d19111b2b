"""Machines that must sign their codes: what opens an order there, and what is refused before anything else happens."""

import hashlib

import pytest
from flask.testing import FlaskClient
from sqlalchemy import select
from werkzeug.test import TestResponse

from cloud.buyer.services import Services
from cloud.database.database import Database
from cloud.database.transaction import Transaction
from cloud.fleet.models import Device, Drink
from cloud.fleet.qr_key import QrKeys
from cloud.orders.models import Order, OrderChange, Payment
from cloud.orders.qr_signature import sign, signed_text
from tests.cloud.buyer.orders import DEVICE, PRICE, RULES, START, Orders, TestClock
from tests.cloud.worlds import SECRET_KEY

KEYS = QrKeys(SECRET_KEY)
EXP = str(int(START.timestamp()) + 900)
OTHER = "m-other"
SCAN = {"deviceUuid": DEVICE, "drinkNo": "cappuccino", "size": "1", "uuid": "q-1"}


@pytest.fixture
def services(services: Services) -> Services:
    object.__setattr__(services, "qr_keys", KEYS)
    return services


@pytest.fixture
def signing(orders: Orders) -> Orders:
    orders.change_device(qr="signed")
    return orders


def signed(version: int = 1, exp: str = EXP, **changes: str) -> dict[str, str]:
    scan = SCAN | changes
    text = signed_text(scan["deviceUuid"], scan["drinkNo"], int(scan["size"]), scan["uuid"], exp)
    return scan | {"exp": exp, "sig": sign(KEYS.of(scan["deviceUuid"], version), text)}


def scan(client: FlaskClient, said: dict[str, str]) -> TestResponse:
    return client.get("/v1/pay", query_string=said)


def orders_there(database: Database) -> int:
    with database.read() as session:
        assert session.query(Payment).count() == 0
        return session.query(Order).count()


def evidence(database: Database) -> object:
    with database.read() as session:
        return session.scalars(select(OrderChange.evidence)).one()


def test_what_the_machine_signed_opens_an_order(client: FlaskClient, signing: Orders, database: Database) -> None:
    assert scan(client, signed()).status_code == 302
    assert evidence(database) == {"signature": "good", "salt": "none"}


def test_an_unsigned_code_is_refused(client: FlaskClient, signing: Orders, database: Database) -> None:
    response = scan(client, SCAN)
    assert response.status_code == 403
    assert "только по коду со своего экрана" in response.text
    assert orders_there(database) == 0


@pytest.mark.parametrize(
    "changes",
    [
        {"drinkNo": "latte"},
        {"size": "2"},
        {"uuid": "q-2"},
        {"exp": str(int(EXP) + 1)},
        {"exp": ""},
        {"sig": "0" * 64},
        {"sig": "'; --"},
    ],
)
def test_an_altered_code_is_refused(
    client: FlaskClient, signing: Orders, database: Database, changes: dict[str, str]
) -> None:
    response = scan(client, signed() | changes)
    assert response.status_code == 403
    assert "Этот код сделал не автомат" in response.text
    assert orders_there(database) == 0


def test_a_stale_code_opens_nothing(client: FlaskClient, signing: Orders, database: Database, clock: TestClock) -> None:
    clock.forward(901)
    response = scan(client, signed())
    assert response.status_code == 410
    assert "Код устарел" in response.text
    assert orders_there(database) == 0


def test_an_order_opened_in_time_is_shown_by_its_code_ever_after(
    client: FlaskClient, signing: Orders, clock: TestClock
) -> None:
    scan(client, signed())
    signing.pay_again("q-1")
    clock.forward(RULES.order_expiration_s + 1)
    assert scan(client, signed()).status_code == 302


def test_a_number_used_for_another_drink_is_refused_however_well_signed(
    client: FlaskClient, signing: Orders, database: Database
) -> None:
    scan(client, signed())
    assert scan(client, signed(size="2")).status_code == 409
    assert orders_there(database) == 1
    assert signing.order("q-1").size == 1


def other_machine(orders: Orders) -> None:
    def build(tx: Transaction) -> None:
        tx.session.add(Device(device_uuid=OTHER, merchant_id="north", location="", payment_scenario="Yookassa"))
        tx.session.flush()
        tx.session.add(Drink(device_uuid=OTHER, drink_no="cappuccino", name="Капучино", price_medium=PRICE))

    orders.database.transact(build)


def test_another_machines_signature_takes_no_number(client: FlaskClient, orders: Orders, database: Database) -> None:
    """Regression: whoever had the key of one machine took over, or blocked, the numbers of all others."""
    other_machine(orders)
    theirs = client.application.test_client()
    assert scan(client, SCAN).status_code == 302
    assert scan(theirs, signed(deviceUuid=OTHER)).status_code == 302
    assert orders.order("q-1").device_uuid == DEVICE
    assert scan(theirs, signed(deviceUuid=OTHER, uuid="q-2")).status_code == 302
    assert scan(client, signed(uuid="q-2")).status_code == 302
    assert orders_there(database) == 4


def test_a_stale_code_opens_nothing_where_another_machine_has_its_number(
    client: FlaskClient, signing: Orders, database: Database, clock: TestClock
) -> None:
    """Regression: any order of that number, wherever it was made, let the stale code open one of its own."""
    other_machine(signing)
    clock.forward(901)
    assert scan(client.application.test_client(), SCAN | {"deviceUuid": OTHER}).status_code == 302
    assert scan(client, signed()).status_code == 410
    assert orders_there(database) == 1


def test_a_stale_code_takes_nothing_over(client: FlaskClient, orders: Orders, clock: TestClock) -> None:
    assert scan(client, SCAN | {"size": "2"}).status_code == 302
    orders.change_device(qr="signed")
    clock.forward(901)
    assert scan(client, signed()).status_code == 410
    assert orders.order("q-1").size == 2


def test_a_new_key_ends_the_old_one(client: FlaskClient, signing: Orders, database: Database) -> None:
    signing.change_device(qr_key_version=2)
    assert scan(client, signed(version=1)).status_code == 403
    assert orders_there(database) == 0
    assert scan(client, signed(version=2)).status_code == 302


def test_the_printed_menu_is_closed_where_the_machine_must_sign(
    client: FlaskClient, signing: Orders, database: Database
) -> None:
    assert client.get(f"/m/{DEVICE}").status_code == 403
    chosen = client.post(
        f"/m/{DEVICE}", data={"drink_no": "latte", "size": "1"}, headers={"Origin": "http://localhost"}
    )
    assert chosen.status_code == 403
    assert orders_there(database) == 0


def test_a_program_without_keys_sells_nothing_where_the_machine_must_sign(
    client: FlaskClient, signing: Orders, database: Database, services: Services
) -> None:
    object.__setattr__(services, "qr_keys", None)
    assert scan(client, signed()).status_code == 403
    assert orders_there(database) == 0


@pytest.mark.parametrize(
    ("said", "noted"),
    [
        (SCAN, {"signature": "none", "salt": "none"}),
        (signed(), {"signature": "good", "salt": "none"}),
        (signed() | {"sig": "0" * 64}, {"signature": "wrong", "salt": "none"}),
        (signed(exp=str(int(START.timestamp()) - 1)), {"signature": "stale", "salt": "none"}),
        (SCAN | {"salt": "0" * 32}, {"signature": "none", "salt": "differs"}),
        (SCAN | {"salt": hashlib.md5(b"cappuccino1q-1").hexdigest()}, {"signature": "none", "salt": "fits"}),
    ],
)
def test_elsewhere_every_code_is_accepted_and_what_it_is_worth_is_noted(
    client: FlaskClient, orders: Orders, database: Database, said: dict[str, str], noted: dict[str, str]
) -> None:
    assert scan(client, said).status_code == 302
    assert evidence(database) == noted
