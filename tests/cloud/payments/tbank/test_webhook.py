"""T-Bank's door: what is signed is kept and answered `OK`; what is not changes nothing."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from flask.testing import FlaskClient
from pytest_mock import MockerFixture
from werkzeug.test import TestResponse

from cloud.fleet.models import Credential, Merchant
from cloud.payments import inbox
from cloud.payments.provider_clients import ProviderClients
from cloud.payments.tbank.signature import token
from cloud.processes.app import create_app
from cloud.settings import Settings
from cloud.wiring import Cloud, connector
from tests.cloud.payments.contract.tbank_rig import TBankRig
from tests.cloud.payments.contract.till import ContractTill
from tests.cloud.worlds import ACCOUNT, SECRET_KEY, SHOP_SECRET, World

pytestmark = pytest.mark.any_database

DOOR = "/v1/tbank-webhook"


@pytest.fixture
def till(world: World) -> Iterator[ContractTill]:
    rig = TBankRig(world.clock, world)
    desk = ContractTill(world, rig)
    yield desk
    desk.close()
    rig.close()


def told(till: ContractTill, **fields: Any) -> dict[str, Any]:
    """A notification of this terminal, signed."""
    message = {
        "TerminalKey": till.rig.shop.account_id, "OrderId": "pay-1", "Success": True, "Status": "CONFIRMED",
        "PaymentId": "700", "ErrorCode": "0", "Amount": 15000, "Pan": "430000******0777", "ExpDate": "0931",
        "CardId": "10452089",
    } | fields  # fmt: skip
    return message | {"Token": token(message, till.rig.shop.secret_key)}


def send(client: FlaskClient, body: dict[str, Any]) -> TestResponse:
    return client.post(DOOR, data=json.dumps(body), content_type="application/json")


def test_the_answer_is_ok_and_nothing_else(till: ContractTill) -> None:
    answer = send(till.client(), told(till))
    assert (answer.status_code, answer.data) == (200, b"OK")
    [notification] = till.notifications()
    assert (notification.provider, notification.provider_payment_id, notification.times) == ("tbank", "700", 1)


@pytest.mark.both_databases
def test_a_known_payment_is_asked_about_at_once(till: ContractTill) -> None:
    order_id = till.open()
    till.work()
    till.tell(order_id)
    assert till.world.payment(order_id).next_check_at == till.world.now
    assert till.notifications()[0].verdict == "asked"


def test_no_card_and_no_token_is_stored(till: ContractTill) -> None:
    message = told(till)
    send(till.client(), message)
    [notification] = till.notifications()
    for name in ("Pan", "ExpDate", "CardId", "Token"):
        assert name not in notification.body
        assert str(message[name]) not in notification.body


@pytest.mark.parametrize("name", ["Status", "Amount", "PaymentId", "OrderId", "Success", "TerminalKey", "Token"])
def test_an_altered_notification_changes_nothing(till: ContractTill, name: str) -> None:
    answer = send(till.client(), told(till) | {name: "7"})
    assert answer.status_code == 403
    assert till.notifications() == []


def test_a_notification_without_a_token_changes_nothing(till: ContractTill) -> None:
    message = told(till)
    del message["Token"]
    assert send(till.client(), message).status_code == 403
    assert till.notifications() == []


@pytest.mark.both_databases
def test_another_merchants_password_signs_nothing_here(till: ContractTill) -> None:
    message = told(till)
    forged = message | {"Token": token(message, till.rig.other_shop.secret_key)}
    assert send(till.client(), forged).status_code == 403
    unknown = told(till, TerminalKey=till.rig.other_shop.account_id)
    assert send(till.client(), unknown).status_code == 403
    assert till.notifications() == []


def test_a_shop_of_another_provider_is_no_terminal(till: ContractTill) -> None:
    """YooKassa's key of a shop is known to YooKassa: it must not be able to speak as the bank."""
    settings = Settings(SECRET_KEY)
    database = till.world.database
    shops = ProviderClients(database, till.world.vault, connector(settings, database), lambda: till.world.now)
    app = create_app(Cloud(settings, database, till.world.rules, shops, "web", till.world.clock))
    message = {"TerminalKey": ACCOUNT, "PaymentId": "700", "Status": "CONFIRMED"}
    try:
        answer = send(app.test_client(), message | {"Token": token(message, SHOP_SECRET)})
        mine = send(app.test_client(), told(till))
    finally:
        shops.close()
    assert (answer.status_code, mine.status_code) == (403, 200)


@pytest.mark.both_databases
def test_a_password_that_was_changed_is_believed_at_once_and_the_old_one_no_more(till: ContractTill) -> None:
    before = told(till)
    assert send(till.client(), before).status_code == 200

    def change(tx: Any) -> None:
        credential = tx.session.get_one(Credential, ("north", "TBank"))
        credential.secret, credential.version = till.world.vault.lock("a new password"), 9

    till.world.database.transact(change)
    assert send(till.client(), before).status_code == 403
    after = told(till)
    assert send(till.client(), after | {"Token": token(after, "a new password")}).status_code == 200


@pytest.mark.both_databases
def test_who_says_that_a_terminal_is_his_too_keeps_nothing_from_its_merchant(till: ContractTill) -> None:
    """Regression: whichever merchant's row came first decided by whose password it was judged."""
    terminal = till.rig.shop.account_id

    def others(tx: Any) -> None:
        for name, secret in (
            ("a-south", till.world.vault.lock("a password of theirs")),
            ("b-south", "no longer readable"),
            ("z-south", till.world.vault.lock("another of theirs")),
        ):
            tx.session.add(Merchant(id=name, name=name))
            tx.session.flush()
            tx.session.add(Credential(merchant_id=name, scenario="TBank", account_id=terminal, secret=secret))
        tx.session.flush()
        tx.session.get_one(Credential, ("north", "TBank")).version = 9

    till.world.database.transact(others)
    assert send(till.client(), told(till)).status_code == 200
    message = told(till)
    assert send(till.client(), message | {"Token": token(message, "nobody's password")}).status_code == 403


@pytest.mark.both_databases
@pytest.mark.parametrize(
    "fields",
    [{"PaymentId": 700}, {"Amount": "15000"}, {"Success": "true"}, {"New": 1.5, "Nested": {"a": 1}}, {"Data": None}],
    ids=str,
)
def test_numbers_texts_and_new_fields_are_all_the_same(till: ContractTill, fields: dict[str, Any]) -> None:
    assert send(till.client(), told(till, **fields)).data == b"OK"
    assert till.notifications()[0].provider_payment_id == "700"


@pytest.mark.parametrize("fields", [{"PaymentId": None}, {"PaymentId": ""}, {"PaymentId": "../7"}, {"PaymentId": True}])
def test_signed_news_of_no_payment_is_kept_and_asks_nothing(till: ContractTill, fields: dict[str, Any]) -> None:
    assert send(till.client(), told(till, Status="COMPLETED", **fields)).data == b"OK"
    [notification] = till.notifications()
    assert notification.provider_payment_id == ""
    assert notification.handled_at is not None


@pytest.mark.both_databases
def test_repeats_are_counted_and_other_news_is_other_news(till: ContractTill) -> None:
    client = till.client()
    for _ in range(3):
        send(client, told(till))
    send(client, told(till, Status="REFUNDED"))
    send(client, told(till, Status="REFUNDED", Amount=5000))
    assert [(notification.times, notification.dedupe_key.split("|")[2]) for notification in till.notifications()] == [
        (3, "CONFIRMED"),
        (1, "REFUNDED"),
        (1, "REFUNDED"),
    ]


def test_news_that_was_set_aside_is_looked_at_again_when_it_is_repeated(till: ContractTill) -> None:
    client = till.client()
    send(client, told(till))
    till.poller.step(till.world.now)
    assert till.notifications()[0].handled_at is not None
    send(client, told(till))
    assert till.notifications()[0].handled_at is None


def test_too_much_news_of_unknown_payments_is_refused_and_comes_again(
    till: ContractTill, mocker: MockerFixture
) -> None:
    mocker.patch.object(inbox, "MAX_UNPLACED", 2)
    client = till.client()
    answers = [send(client, told(till, PaymentId=str(number))) for number in (1, 2, 3)]
    assert [answer.status_code for answer in answers] == [200, 200, 503]
    assert send(client, told(till, PaymentId="1")).status_code == 200, "a repeat takes no room"
    assert [notification.provider_payment_id for notification in till.notifications()] == ["1", "2"]


def test_a_question_at_the_door_is_no_notification(till: ContractTill) -> None:
    assert till.client().get(DOOR).status_code == 405


def test_a_secret_nobody_can_read_any_more_lets_nothing_in(till: ContractTill) -> None:
    def spoil(tx: Any) -> None:
        credential = tx.session.get_one(Credential, ("north", "TBank"))
        credential.secret, credential.version = "no longer readable", 9

    till.world.database.transact(spoil)
    assert send(till.client(), told(till)).status_code == 403
