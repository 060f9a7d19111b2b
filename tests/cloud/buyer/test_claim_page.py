"""The buyer says what is wrong, without a login and without scripts, and reads the answer."""

import pytest
from flask.testing import FlaskClient
from playwright.sync_api import expect

from cloud.database.database import Database
from cloud.orders import claims, paying
from cloud.orders.models import Order
from cloud.orders.paying import Account
from tests.chromium import Pages
from tests.cloud.buyer.orders import DEVICE, Orders, TestClock

PATH = "/v1/order-claim"


def say(client: FlaskClient, order_id: str, **form: str) -> int:
    return client.post(PATH, data={"order_id": order_id, **form}).status_code


def answer(database: Database, words: str, clock: TestClock, resolves: bool = False) -> None:
    database.transact(claims.answer, 1, "anna@example.org", words, clock(), resolves=resolves)


def test_a_claim_and_its_answer_are_read_on_the_page(
    client: FlaskClient, orders: Orders, database: Database, clock: TestClock
) -> None:
    order_id = orders.successful()
    assert "Сообщить о проблеме" in client.get(f"/v1/order-status-page?order_id={order_id}").text
    assert say(client, order_id, kind="half_poured", words="Налило <b>половину</b>") == 303
    html = client.get(f"{PATH}?order_id={order_id}").text
    assert "Налило &lt;b&gt;половину&lt;/b&gt;" in html
    assert "Налило не до конца" in html
    answer(database, "Вернём 179 ₽", clock)
    assert "Поддержка ответила" in client.get(f"/v1/order-status-page?order_id={order_id}").text
    assert "Вернём 179 ₽" in client.get(f"{PATH}?order_id={order_id}").text
    answer(database, "", clock, resolves=True)
    assert "обращение закрыто" in client.get(f"/v1/order-status-page?order_id={order_id}&lang=ru").text


def test_a_page_that_follows_its_order_goes_on_telling_of_the_claim(client: FlaskClient, orders: Orders) -> None:
    """Regression: with the drink's next step it offered to report a problem that was reported."""
    say(client, orders.accepted(), kind="other", words="it takes long")
    with client.get("/v1/orders/o-1/events?view=1", buffered=False) as follows:
        shown = next(event for event in follows.iter_encoded() if b"event: view" in event)
    assert "Ваше обращение отправлено" in shown.decode()


def test_a_stranger_who_knows_the_number_neither_reads_nor_writes(
    client: FlaskClient, stranger: FlaskClient, orders: Orders, database: Database
) -> None:
    order_id = orders.successful()
    say(client, order_id, kind="other", words="secret")
    assert stranger.get(f"{PATH}?order_id={order_id}").status_code == 403
    assert say(stranger, order_id, words="spam") == 403
    assert "обращение отправлено" not in stranger.get(f"/v1/order-status-page?order_id={order_id}").text
    with database.read() as session:
        assert [message.words for message in claims.messages_of(session, 1)] == ["secret"]


@pytest.mark.parametrize("opened_by", ["", None])
def test_nor_does_one_who_makes_a_code_up_from_the_number_once_it_is_paid(
    client: FlaskClient, stranger: FlaskClient, orders: Orders, database: Database, opened_by: str | None
) -> None:
    """Regression: a code without the machine's marks can be written by anybody, and the scan of it was believed."""
    order_id = orders.successful()
    database.transact(lambda tx: setattr(tx.session.get_one(Order, order_id), "opened_by", opened_by))
    say(client, order_id, kind="other", words="secret")
    made_up = {"deviceUuid": DEVICE, "drinkNo": "cappuccino", "size": "1", "uuid": order_id}
    assert stranger.get("/v1/pay", query_string=made_up).status_code == 302
    assert stranger.get(f"{PATH}?order_id={order_id}").status_code == 403
    assert say(stranger, order_id, words="spam") == 403
    assert "обращение отправлено" not in stranger.get(f"/v1/order-status-page?order_id={order_id}").text
    assert client.get(f"{PATH}?order_id={order_id}").status_code == 200


def test_who_buys_every_day_is_answered_about_the_first_cup_of_the_month(
    stranger: FlaskClient, orders: Orders, clock: TestClock
) -> None:
    """Regression: after eight more scans the buyer was a stranger to the claim."""
    code = {"deviceUuid": DEVICE, "drinkNo": "cappuccino", "size": "1"}
    stranger.get("/v1/pay", query_string=code | {"uuid": "day-0"})
    orders.pay_again("day-0")
    assert say(stranger, "day-0", kind="other", words="cold") == 303
    for day in range(1, 30):
        clock.forward(24 * 3600)
        assert stranger.get("/v1/pay", query_string=code | {"uuid": f"day-{day}"}).status_code == 302

    assert "cold" in stranger.get(f"{PATH}?order_id=day-0").text


def test_what_was_said_while_the_payment_was_opened_is_answered_also_when_the_provider_refused_it(
    client: FlaskClient, orders: Orders, database: Database, clock: TestClock
) -> None:
    """Regression: the claim was there and could be answered, and its buyer could not read it."""
    order_id = orders.created()
    account = Account("Yookassa", "100500", "on_dispense", "polling")
    database.transact(paying.start_payment, order_id, account, "p-1", clock())
    assert say(client, order_id, kind="other", words="it does not open") == 303
    answer(database, "try another machine", clock)
    database.transact(paying.record_payment_refused, "p-1", "invalid", clock())

    assert "Поддержка ответила" in client.get(f"/v1/order-status-page?order_id={order_id}").text
    assert "try another machine" in client.get(f"{PATH}?order_id={order_id}").text


@pytest.mark.parametrize("words", ["no cup", ""])
def test_send_pressed_twice_ends_as_pressed_once(client: FlaskClient, orders: Orders, words: str) -> None:
    order_id = orders.successful()
    assert [say(client, order_id, kind="not_poured", words=words) for _ in range(2)] == [303, 303]
    assert client.get(f"{PATH}?order_id={order_id}").text.count('class="mine"') == bool(words)


def test_another_site_cannot_speak_for_the_buyer(client: FlaskClient, orders: Orders) -> None:
    form = {"order_id": orders.successful(), "kind": "other"}
    assert client.post(PATH, data=form, headers={"Sec-Fetch-Site": "cross-site"}).status_code == 403


def test_what_is_said_too_often_or_too_long_is_refused_and_what_was_typed_stays(
    client: FlaskClient, orders: Orders
) -> None:
    order_id = orders.successful()
    refused = client.post(PATH, data={"order_id": order_id, "words": "hello"})
    assert (refused.status_code, ">hello</textarea>" in refused.text) == (400, True)
    assert say(client, order_id, kind="other", words="x" * 1001) == 400
    assert [say(client, order_id, kind="other", words="x") for _ in range(9)][-1] == 429


@pytest.mark.parametrize("state", ["created", "expired"])
def test_of_what_nobody_paid_there_is_nothing_to_report(client: FlaskClient, orders: Orders, state: str) -> None:
    order_id = getattr(orders, state)()
    assert client.get(f"{PATH}?order_id={order_id}").status_code == 409
    assert "order-claim" not in client.get(f"/v1/order-status-page?order_id={order_id}").text


@pytest.mark.browser
def test_in_a_browser_without_scripts_it_is_said_and_read(
    pages: Pages, site: str, orders: Orders, database: Database, clock: TestClock
) -> None:
    page = pages.open(f"{site}/v1/order-status-page?order_id={orders.make_failed()}", java_script_enabled=False)
    page.click("a[href*=order-claim]")
    page.check("input[value=not_poured]")
    page.fill("textarea", "Стою у автомата, стакан пустой.")
    page.click("button.main")
    expect(page.locator(".mine .words")).to_have_text("Стою у автомата, стакан пустой.")
    answer(database, "Проверили: автомат без воды, деньги уже возвращаются.", clock)
    page.reload()
    expect(page.locator(".ours")).to_be_visible()
