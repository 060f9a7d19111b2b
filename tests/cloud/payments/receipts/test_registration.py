"""A coffee with its fiscal receipt, from the buyer's e-mail to the tax authority's last word, over real parts."""

import logging
from collections.abc import Iterator
from typing import Any

import pytest

from cloud.database.transaction import Transaction
from cloud.fleet.models import Device
from cloud.operators import check
from cloud.orders import receipts
from cloud.orders.tasks import Task
from cloud.payments.receipts.carried import for_refund
from cloud.payments.yookassa.receipts import receipt_object
from cloud.settings import Settings
from simulator.yookassa.faults import Endpoint, FaultKind
from simulator.yookassa.state import Status
from tests.cloud.payments.fiscal_till import BUYER, CONTACT, FiscalTill, a_fiscal_till
from tests.cloud.payments.test_checkout import code_of
from tests.cloud.worlds import DEVICE, PRICE, SECRET_KEY, World
from tests.programs import free_port

pytestmark = pytest.mark.any_database

DAY_S = 24 * 3600.0
BROWSER = "text/html,application/xhtml+xml,*/*;q=0.8"


@pytest.fixture
def sqlite_fiscal(sqlite_world: World) -> Iterator[FiscalTill]:
    with a_fiscal_till(sqlite_world) as made:
        yield made


def complaints(caplog: pytest.LogCaptureFixture, order_id: str) -> list[str]:
    """The errors logged about an order."""
    return [r.message for r in caplog.records if r.levelno >= logging.ERROR and vars(r).get("order_id") == order_id]


def events(fiscal: FiscalTill, order_id: str) -> list[str]:
    return [change.event for change in fiscal.world.history(order_id) if change.event.startswith("receipt")]


def receipt_of(amount: int, email: str = BUYER, **item: Any) -> dict[str, Any]:
    """The receipt of one latte."""
    price = {"value": f"{amount // 100}.{amount % 100:02}", "currency": "RUB"}
    latte = {"description": "Латте", "quantity": 1, "amount": price, "vat_code": 1, "payment_subject": "commodity"}
    items = [latte | {"payment_mode": "full_payment", "measure": "piece"} | item]
    return {"customer": {"email": email}, "items": items, "tax_system_code": 2, "internet": False}


# The buyer's address


@pytest.mark.both_databases
@pytest.mark.parametrize("email", [None, "", "  "])
def test_a_buyer_who_gave_no_address_is_told_at_once(fiscal: FiscalTill, email: str | None) -> None:
    order_id = fiscal.world.scan()
    assert code_of(fiscal.press(order_id, email)) == (400, "email_required")
    assert fiscal.world.status(order_id) == "created"
    assert fiscal.till.payments_there() == []
    assert fiscal.press(order_id, BUYER).status_code == 200


@pytest.mark.parametrize(
    "email", ["buyer", "buyer@", "@example.com", "a b@example.com", "b@example", "x" * 250 + "@a.ru"]
)
def test_an_address_nothing_can_be_sent_to_is_refused_at_once(sqlite_fiscal: FiscalTill, email: str) -> None:
    order_id = sqlite_fiscal.world.scan()
    assert code_of(sqlite_fiscal.press(order_id, email)) == (400, "email_malformed")
    assert sqlite_fiscal.receipts(order_id) == []
    assert sqlite_fiscal.till.payments_there() == []


def test_a_form_takes_the_address_and_a_page_tells_what_is_wrong_with_it(sqlite_fiscal: FiscalTill) -> None:
    order_id, headers = sqlite_fiscal.world.scan(), {"Accept": BROWSER}
    refused = sqlite_fiscal.till.press(order_id, data={"order_id": order_id, "email": ""}, headers=headers)
    assert refused.status_code == 400
    assert "Нужен e-mail: на него придёт кассовый чек." in refused.text
    assert f'href="/v1/order-status-page?order_id={order_id}"' in refused.text
    taken = sqlite_fiscal.till.press(order_id, data={"order_id": order_id, "email": f" {BUYER} "}, headers=headers)
    assert taken.status_code == 303
    [there] = sqlite_fiscal.till.payments_there()
    assert there["receipt"]["customer"] == {"email": BUYER}


def test_where_no_address_is_required_the_merchant_gets_the_receipt(sqlite_fiscal: FiscalTill) -> None:
    sqlite_fiscal.set_terms(email="optional")
    order_id = sqlite_fiscal.world.scan()
    assert sqlite_fiscal.press(order_id, None).status_code == 200
    [there] = sqlite_fiscal.till.payments_there()
    assert there["receipt"] == receipt_of(PRICE, CONTACT)
    sqlite_fiscal.decline(order_id)
    assert "оставьте поле пустым" in sqlite_fiscal.till.client().get(f"/v1/order-status-page?order_id={order_id}").text


def test_an_address_is_remembered_for_another_try_to_pay(fiscal: FiscalTill) -> None:
    order_id = fiscal.world.scan()
    fiscal.press(order_id)
    fiscal.decline(order_id)
    assert fiscal.world.status(order_id) == "not_paid"
    fiscal.follow(120)
    assert fiscal.press(order_id, None).status_code == 200
    first, second = fiscal.till.payments_there()
    assert first["receipt"] == second["receipt"]
    fiscal.decline(order_id)
    assert fiscal.press(order_id, "other@example.com").status_code == 200
    assert fiscal.sent(order_id)[-1]["receipt"] == receipt_of(PRICE, "other@example.com")


def test_the_page_asks_for_the_address_and_never_shows_it(sqlite_fiscal: FiscalTill) -> None:
    order_id = sqlite_fiscal.world.scan()
    path = f"/v1/order-status-page?order_id={order_id}"
    client = sqlite_fiscal.till.client()
    assert 'type="email"' in client.get(path).text
    assert " required " in client.get(path).text
    sqlite_fiscal.set_terms(email="optional")
    assert "оставьте поле пустым" in client.get(path).text
    assert " required " not in client.get(path).text
    sqlite_fiscal.set_terms()
    sqlite_fiscal.press(order_id)
    sqlite_fiscal.decline(order_id)
    again = client.get(path).text
    assert "Адрес для чека у нас уже есть." in again
    assert " required " not in again
    assert BUYER not in again + client.get(f"/v1/order-status/{order_id}").text


# What is sent, and what becomes of it


def test_the_receipt_goes_with_the_payment_and_is_followed_to_its_end(
    fiscal: FiscalTill, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    order_id = fiscal.poured()
    [there] = fiscal.till.payments_there()
    assert there["receipt"] == receipt_of(PRICE)
    assert fiscal.states(order_id) == ["waiting"]
    fiscal.registering(Status.PENDING)
    fiscal.follow(120)
    assert fiscal.states(order_id) == ["pending"]
    fiscal.registering(Status.SUCCEEDED)
    fiscal.follow(300)
    assert fiscal.states(order_id) == ["succeeded"]
    assert events(fiscal, order_id) == ["receipt_succeeded"]
    told = fiscal.till.client().get(f"/v1/order-status/{order_id}").get_json()
    assert (told["status"], told["receipt"]) == ("successful", {"status": "succeeded"})
    assert BUYER not in caplog.text + repr([vars(record) for record in caplog.records])


def test_the_drink_has_the_first_word_on_its_receipt(sqlite_fiscal: FiscalTill) -> None:
    sqlite_fiscal.set_terms(
        drink={"vat_code": 11, "measure": "milliliter", "payment_mode": "full_prepayment", "internet": True},
        payment_subject="service",
        timezone=3,
    )
    sqlite_fiscal.press(sqlite_fiscal.world.scan())
    [there] = sqlite_fiscal.till.payments_there()
    said: dict[str, Any] = {
        "vat_code": 11,
        "measure": "milliliter",
        "payment_mode": "full_prepayment",
        "payment_subject": "service",
    }
    assert there["receipt"] == receipt_of(PRICE, **said) | {"internet": True, "timezone": 3}


def test_a_rate_that_does_not_exist_is_refused_before_anything_is_sent(
    sqlite_fiscal: FiscalTill, caplog: pytest.LogCaptureFixture
) -> None:
    sqlite_fiscal.set_terms(vat_code=13)
    order_id = sqlite_fiscal.world.scan()
    assert code_of(sqlite_fiscal.press(order_id)) == (503, "not_payable")
    assert sqlite_fiscal.till.payments_there() == []
    assert sqlite_fiscal.world.status(order_id) == "created"
    assert sqlite_fiscal.receipts(order_id) == []
    assert "receipt.items.vat_code" in "".join(complaints(caplog, order_id))


@pytest.mark.both_databases
@pytest.mark.parametrize("after_commit", [False, True])
def test_a_repeated_call_has_the_same_key_and_bytes_whatever_was_changed_meanwhile(
    fiscal: FiscalTill, after_commit: bool
) -> None:
    fiscal.till.fault(FaultKind.ERROR_500, Endpoint.CREATE, after_commit=after_commit)
    order_id = fiscal.world.scan()
    assert code_of(fiscal.press(order_id)) == (503, "in_progress")
    [before] = fiscal.world.rows(order_id, Task.CREATE)
    fiscal.set_terms(drink={"vat_code": 11}, vat_code=4)
    fiscal.till.work(5)
    [after] = fiscal.world.rows(order_id, Task.CREATE)
    assert (after.key, after.call_body) == (before.key, before.call_body)
    assert after.verdict == "done"
    [there] = fiscal.till.payments_there()
    assert there["receipt"] == receipt_of(PRICE)


@pytest.mark.both_databases
def test_a_receipt_that_fails_alerts_with_the_orders_number(
    fiscal: FiscalTill, caplog: pytest.LogCaptureFixture
) -> None:
    fiscal.registering(Status.CANCELED)
    order_id = fiscal.poured()
    fiscal.follow(300)
    assert fiscal.states(order_id) == ["canceled"]
    assert complaints(caplog, order_id) == ["fiscal receipt was not registered: a person must act"]
    assert events(fiscal, order_id) == ["receipt_canceled"]
    assert fiscal.world.status(order_id) == "successful", "the drink is paid all the same"


def test_a_registration_that_takes_days_calls_a_person_once_and_is_still_followed(
    sqlite_fiscal: FiscalTill, caplog: pytest.LogCaptureFixture
) -> None:
    sqlite_fiscal.registering(Status.PENDING)
    order_id = sqlite_fiscal.poured()
    sqlite_fiscal.follow(2.9 * DAY_S)
    assert complaints(caplog, order_id) == []
    sqlite_fiscal.follow(2 * DAY_S)
    assert complaints(caplog, order_id) == ["fiscal receipt is still not registered: ask the provider"]
    assert sqlite_fiscal.states(order_id) == ["pending"]
    sqlite_fiscal.registering(Status.SUCCEEDED)
    sqlite_fiscal.follow(DAY_S)
    assert events(sqlite_fiscal, order_id) == ["receipt_overdue", "receipt_succeeded"]
    assert not sqlite_fiscal.keeps(BUYER)


def test_a_registration_nobody_ever_tells_of_is_given_up_and_the_address_erased(sqlite_fiscal: FiscalTill) -> None:
    sqlite_fiscal.registering(Status.PENDING)
    order_id = sqlite_fiscal.poured()
    sqlite_fiscal.follow(31 * DAY_S)
    [receipt] = sqlite_fiscal.receipts(order_id)
    assert (receipt.state, receipt.given_up, receipt.next_check_at) == ("pending", True, None)
    assert not sqlite_fiscal.keeps(BUYER)


def test_a_provider_that_does_not_answer_only_delays_the_news(sqlite_fiscal: FiscalTill) -> None:
    order_id = sqlite_fiscal.poured()
    sqlite_fiscal.till.fault(FaultKind.HTML_502, Endpoint.GET, times=3)
    sqlite_fiscal.follow(600)
    assert sqlite_fiscal.states(order_id) == ["succeeded"]


def test_a_hold_given_back_needs_no_receipt(fiscal: FiscalTill) -> None:
    order_id = fiscal.not_poured()
    fiscal.follow(120)
    assert fiscal.states(order_id) == ["not_needed"]
    assert not fiscal.keeps(BUYER)


# Money back


@pytest.mark.both_databases
def test_a_whole_refund_needs_no_receipt_of_its_own_and_is_followed_too(fiscal: FiscalTill) -> None:
    fiscal.take_at_once()
    order_id = fiscal.not_poured()
    assert "receipt" not in fiscal.sent(order_id, Task.REFUND)[0]
    fiscal.follow(300)
    assert fiscal.states(order_id) == ["succeeded", "succeeded"]
    assert events(fiscal, order_id) == ["receipt_succeeded", "receipt_succeeded"]


def test_a_part_is_returned_with_a_receipt_of_that_part(fiscal: FiscalTill) -> None:
    """A person has returned some of it in the provider's cabinet; the rest goes back by itself."""
    fiscal.take_at_once()
    order_id = fiscal.paid()
    fiscal.set_terms(drink={"vat_code": 11})
    fiscal.till.shop.sim("POST", "/refund", {"payment_id": fiscal.till.provider_id(order_id), "amount": "50.00"})
    fiscal.till.look_at(order_id)
    fiscal.refuse(order_id)
    [refund] = fiscal.sent(order_id, Task.REFUND)
    assert refund["receipt"] == receipt_of(PRICE - 5000), "it says what the payment's receipt said"
    assert [refund["status"] for refund in fiscal.till.refunds_there()] == ["succeeded", "succeeded"]
    fiscal.follow(300)
    assert set(fiscal.states(order_id)) == {"succeeded"}
    assert not fiscal.keeps(BUYER)


def test_a_part_returned_after_the_address_is_erased_is_receipted_to_the_merchant(sqlite_fiscal: FiscalTill) -> None:
    sqlite_fiscal.take_at_once()
    order_id = sqlite_fiscal.poured()
    sqlite_fiscal.follow(300)
    payment = sqlite_fiscal.world.payment(order_id)
    with sqlite_fiscal.world.database.read() as session:
        receipt = for_refund(session.connection(), payment, 5000)
    assert receipt is not None
    assert receipt_object(receipt.terms, receipt.amount, receipt.email) == receipt_of(5000, CONTACT)


def test_the_receipt_of_a_refund_that_fails_alerts(sqlite_fiscal: FiscalTill, caplog: pytest.LogCaptureFixture) -> None:
    sqlite_fiscal.take_at_once()
    order_id = sqlite_fiscal.paid()
    sqlite_fiscal.follow(120)
    sqlite_fiscal.registering(Status.CANCELED)
    sqlite_fiscal.refuse(order_id)
    sqlite_fiscal.follow(300)
    assert sqlite_fiscal.states(order_id) == ["succeeded", "canceled"]
    assert complaints(caplog, order_id) == ["fiscal receipt was not registered: a person must act"]


# The address is forgotten


def test_the_address_is_erased_everywhere_once_the_receipt_is_final(fiscal: FiscalTill) -> None:
    order_id = fiscal.poured()
    assert fiscal.keeps(BUYER)
    fiscal.follow(300)
    assert fiscal.states(order_id) == ["succeeded"]
    assert not fiscal.keeps(BUYER)
    assert fiscal.receipts(order_id)[0].next_check_at is None


def test_the_address_is_kept_while_the_order_may_still_return_money(fiscal: FiscalTill) -> None:
    fiscal.take_at_once()
    order_id = fiscal.paid()
    fiscal.follow(180)
    assert fiscal.states(order_id) == ["succeeded"]
    assert fiscal.keeps(BUYER)
    fiscal.refuse(order_id)
    fiscal.follow(180)
    assert not fiscal.keeps(BUYER)


def test_the_address_of_an_order_nobody_paid_is_erased_when_its_time_is_over(fiscal: FiscalTill) -> None:
    order_id = fiscal.world.scan()
    fiscal.press(order_id)
    fiscal.decline(order_id)
    fiscal.follow(fiscal.world.rules.order_expiration_s - 61)
    assert fiscal.keeps(BUYER), "the buyer may try again"
    fiscal.follow(180)
    assert not fiscal.keeps(BUYER)


def test_news_of_a_receipt_that_has_its_last_word_changes_nothing(sqlite_fiscal: FiscalTill) -> None:
    order_id = sqlite_fiscal.poured()
    sqlite_fiscal.follow(300)
    [receipt] = sqlite_fiscal.receipts(order_id)
    world = sqlite_fiscal.world
    world.database.transact(receipts.record_decision, receipt.id, receipts.ReceiptState.CANCELED, world.now)
    world.database.transact(receipts.expect_refund, receipt.payment_id, "rf-1", 100, world.now)
    world.database.transact(receipts.expect_refund, receipt.payment_id, "rf-1", 100, world.now)
    assert sqlite_fiscal.states(order_id) == ["succeeded", "pending"]


# Refused at the start-up check, not at the buyer's


def sell_without_receipts(fiscal: FiscalTill) -> None:
    def change(tx: Transaction) -> None:
        tx.session.get_one(Device, DEVICE).payment_scenario = "Yookassa"

    fiscal.world.database.transact(change)


def found(fiscal: FiscalTill, monkeypatch: pytest.MonkeyPatch) -> dict[str, check.Finding]:
    """What `coffee-cloud check` says of each account."""
    monkeypatch.setattr(check, "BROKER_WAIT_S", 0.05)
    url = fiscal.world.database.url.render_as_string(hide_password=False)
    settings = Settings(
        SECRET_KEY, database_url=url, yookassa_url=fiscal.till.yookassa.url, mqtt_url=f"mqtt://127.0.0.1:{free_port()}"
    )
    findings = check.checkup(settings)
    return {f.words.partition(" ")[0].partition("/")[2]: f for f in findings if f.words.startswith("north/")}


def test_a_shop_and_scenario_that_fit_pass_the_check(
    sqlite_fiscal: FiscalTill, monkeypatch: pytest.MonkeyPatch
) -> None:
    accounts = found(sqlite_fiscal, monkeypatch)
    assert accounts["YookassaReceipt"].good
    assert "Yookassa" in accounts


def test_a_shop_that_fiscalizes_and_a_machine_that_sends_no_receipt_fail_the_check(
    sqlite_fiscal: FiscalTill, monkeypatch: pytest.MonkeyPatch
) -> None:
    sell_without_receipts(sqlite_fiscal)
    wrong = found(sqlite_fiscal, monkeypatch)["Yookassa"]
    assert not wrong.good
    assert "use YookassaReceipt" in wrong.words
    [warning] = check.receipt_warnings(sqlite_fiscal.till.cloud)
    assert warning.startswith("payment Yookassa of merchant north: the shop sends fiscal receipts")


def test_receipts_that_would_be_refused_fail_the_check(
    sqlite_fiscal: FiscalTill, monkeypatch: pytest.MonkeyPatch
) -> None:
    sqlite_fiscal.set_terms(vat_code=0)
    wrong = found(sqlite_fiscal, monkeypatch)["YookassaReceipt"]
    assert not wrong.good
    assert "receipt.items.vat_code" in wrong.words
